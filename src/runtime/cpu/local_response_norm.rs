//! Twins of `local_response_norm.wgsl`.

use super::Io;
use crate::kernel::LocalResponseNorm;
use rayon::prelude::*;
use std::ops::Range;

/// scale = k + alpha * the sum of x^2 over the channel's window; y = x scale^-beta.
pub fn local_response_norm(p: &LocalResponseNorm, io: Io<'_>) {
    let ([x], [y, scale]) = io.f32();
    let (pixels, len) = (p.pixels as usize, p.len as usize);
    let planes = y[..len].par_chunks_mut(pixels).zip(scale[..len].par_chunks_mut(pixels));
    planes.enumerate().for_each(|(plane, (y, scale))| {
        let window = window(p, plane, p.size / 2);
        for (i, (y, scale)) in y.iter_mut().zip(scale).enumerate() {
            let squares: f64 = window.clone().map(|j| f64::from(x[j * pixels + i]).powi(2)).sum();
            let s = f64::from(p.k) + f64::from(p.alpha) * squares;
            *scale = s as f32;
            *y = (f64::from(x[plane * pixels + i]) * s.powf(-f64::from(p.beta))) as f32;
        }
    });
}

/// dx = dy scale^-beta - 2 alpha beta x * the sum of dy y / scale over the channels whose windows contain this one.
pub fn local_response_norm_grad(p: &LocalResponseNorm, io: Io<'_>) {
    let ([x, y, scale, dy], [dx]) = io.f32();
    let (pixels, len) = (p.pixels as usize, p.len as usize);
    let [alpha, beta] = [p.alpha, p.beta].map(f64::from);
    dx[..len].par_chunks_mut(pixels).enumerate().for_each(|(plane, dx)| {
        let window = window(p, plane, (p.size - 1) / 2);
        for (i, dx) in dx.iter_mut().enumerate() {
            let at = plane * pixels + i;
            let part = |j: usize| f64::from(dy[j]) * f64::from(y[j]) / f64::from(scale[j]);
            let sum: f64 = window.clone().map(|j| part(j * pixels + i)).sum();
            let through = f64::from(dy[at]) * f64::from(scale[at]).powf(-beta);
            *dx = (through - 2.0 * alpha * beta * f64::from(x[at]) * sum) as f32;
        }
    });
}

/// The planes of the channels in a window that starts `before` channels before the plane's own.
pub fn window(p: &LocalResponseNorm, plane: usize, before: u32) -> Range<usize> {
    let (channels, size, before) = (p.channels as usize, p.size as usize, before as usize);
    let c = plane % channels;
    let first = plane - c;
    first + c.saturating_sub(before)..first + (c + size - before).min(channels)
}
