//! Fast twins of `local_response_norm.wgsl`: vectorized over the pixels of a plane, in `f32`.

use super::super::Io;
use crate::kernel::LocalResponseNorm;
use crate::runtime::cpu::local_response_norm::window;
use pulp::Arch;
use rayon::prelude::*;

/// scale = k + alpha * the sum of x^2 over the channel's window; y = x scale^-beta.
pub fn local_response_norm(p: &LocalResponseNorm, io: Io<'_>) {
    let ([x], [y, scale]) = io.f32();
    let (arch, pixels, len) = (Arch::new(), p.pixels as usize, p.len as usize);
    let planes = y[..len].par_chunks_mut(pixels).zip(scale[..len].par_chunks_mut(pixels));
    planes.enumerate().for_each(|(plane, (y, scale))| {
        let window = window(p, plane, p.size / 2);
        arch.dispatch(|| {
            scale.fill(0.0);
            for x in window.map(|j| &x[j * pixels..]) {
                scale.iter_mut().zip(x).for_each(|(sum, &x)| *sum += x * x);
            }
            scale.iter_mut().for_each(|sum| *sum = p.k + p.alpha * *sum);
            divide(y, &x[plane * pixels..], scale, p.beta);
        });
    });
}

/// dx = dy scale^-beta - 2 alpha beta x * the sum of dy y / scale over the channels whose windows contain this one.
pub fn local_response_norm_grad(p: &LocalResponseNorm, io: Io<'_>) {
    let ([x, y, scale, dy], [dx]) = io.f32();
    let (arch, pixels, len) = (Arch::new(), p.pixels as usize, p.len as usize);
    let factor = 2.0 * p.alpha * p.beta;
    dx[..len].par_chunks_mut(pixels).enumerate().for_each_init(
        || vec![0.0; pixels],
        |sums, (plane, dx)| {
            let window = window(p, plane, (p.size - 1) / 2);
            let [x, scale_here, dy_here] = [x, scale, dy].map(|v| &v[plane * pixels..]);
            arch.dispatch(|| {
                sums.fill(0.0);
                for at in window.map(|j| j * pixels..(j + 1) * pixels) {
                    let factors = dy[at.clone()].iter().zip(&y[at.clone()]).zip(&scale[at]);
                    sums.iter_mut().zip(factors).for_each(|(sum, ((dy, y), scale))| *sum += dy * y / scale);
                }
                divide(dx, dy_here, scale_here, p.beta);
                for ((dx, x), sum) in dx.iter_mut().zip(x).zip(&*sums) {
                    *dx -= factor * x * sum;
                }
            });
        },
    );
}

/// y = x / scale^beta. Roots vectorize, unlike a power, and 3/4 is the usual exponent.
#[inline(always)]
fn divide(y: &mut [f32], x: &[f32], scale: &[f32], beta: f32) {
    let all = y.iter_mut().zip(x).zip(scale);
    match beta == 0.75 {
        true => all.for_each(|((y, x), scale)| {
            let root = scale.sqrt();
            *y = x / (root * root.sqrt());
        }),
        false => all.for_each(|((y, x), scale)| *y = x * scale.powf(-beta)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::{assert_close, local_response_norm as plain, noise};

    /// Even and odd windows, wider than the channels or not, the usual exponent and another, odd planes.
    #[test]
    fn fast_matches_plain() {
        let cases = [(5, 64, 49, 0.75), (4, 3, 33, 0.75), (5, 3, 1, 0.5), (1, 7, 70, 1.0), (9, 6, 17, 0.75)];
        for (seed, (size, channels, pixels, beta)) in cases.into_iter().enumerate() {
            let len = 2 * channels * pixels;
            let p = LocalResponseNorm { len, channels, pixels, size, alpha: 0.3, beta, k: 2.0 };
            let noise = |seed: u32| noise(seed, len as usize).iter().map(|v| 5.0 * v).collect::<Vec<f32>>();
            let (x, dy) = (noise(seed as u32), noise(seed as u32 + 10));
            let run = |twins: [fn(&LocalResponseNorm, Io<'_>); 2]| {
                let (x, dy) = (bytemuck::cast_slice(&x), bytemuck::cast_slice(&dy));
                // Buffers may be longer than their data.
                let [mut y, mut scale, mut dx] = std::array::from_fn(|_| vec![7u32; len as usize + 3]);
                twins[0](&p, Io { reads: vec![x], writes: vec![&mut y, &mut scale] });
                twins[1](&p, Io { reads: vec![x, &y, &scale, dy], writes: vec![&mut dx] });
                [y, scale, dx].concat().into_iter().map(f32::from_bits).collect::<Vec<f32>>()
            };
            let want = run([plain::local_response_norm, plain::local_response_norm_grad]);
            let got = run([local_response_norm, local_response_norm_grad]);
            assert_close(&got, &want, 1e-5, &format!("{p:?}"));
        }
    }
}
