//! Twins of the register-tiled direct convolutions: `conv_pack.wgsl`, `conv_register_tiled.wgsl`, `conv_register_tiled_grad_weight.wgsl`.

use super::conv_gemm::reads;
use super::{Io, with_epilogue};
use crate::kernel::{ConvPack, ConvRegisterTiled};
use rayon::prelude::*;

fn input_row(p: &ConvRegisterTiled, oy: u32, ky: u32) -> Option<usize> {
    reads(oy, ky, [p.stride_h, p.dilation_h, p.padding_h, p.in_h])
}

fn input_column(p: &ConvRegisterTiled, ox: u32, kx: u32) -> Option<usize> {
    reads(ox, kx, [p.stride_w, 1, p.padding_w, p.in_w])
}

/// Packs the weights in the order that the shader documents.
pub fn conv_pack(p: &ConvPack, io: Io<'_>) {
    let ([w], [packed]) = io.f32();
    let blocks = p.out_channels.div_ceil(p.channels);
    let [windows_h, windows_w] = [p.kernel_h.div_ceil(p.taps_h), p.kernel_w.div_ceil(p.taps_w)];
    for (line, out) in (0..p.lines).zip(packed.chunks_mut(p.line as usize)) {
        let windows = windows_h * windows_w;
        let (window, c) = (line % windows, line / windows % p.in_channels);
        let block = line / (windows * p.in_channels) % blocks;
        let g = line / (windows * p.in_channels * blocks);
        for (at, value) in (0..p.taps_h * p.taps_w * p.channels).zip(out) {
            let (t, o) = (at / p.channels, block * p.channels + at % p.channels);
            let ky = window / windows_w * p.taps_h + t / p.taps_w;
            let kx = window % windows_w * p.taps_w + t % p.taps_w;
            let there = o < p.out_channels && ky < p.kernel_h && kx < p.kernel_w;
            *value = if there { w[weight_at(p, [g, o, c], [ky, kx])] } else { 0.0 };
        }
    }
}

/// Index of a weight before packing.
fn weight_at(p: &ConvPack, [g, o, c]: [u32; 3], [ky, kx]: [u32; 2]) -> usize {
    let fixed = i64::from(g * p.w_group + o * p.w_out + c * p.w_in + p.w_start);
    let steps = i64::from(ky) * i64::from(p.w_down as i32) + i64::from(kx) * i64::from(p.w_right as i32);
    (fixed + steps) as usize
}

/// Index of a weight after packing.
fn packed_at(p: &ConvRegisterTiled, g: usize, o: usize, [c, ky, kx]: [u32; 3]) -> usize {
    let (g, o) = (g as u32, o as u32);
    let blocks = p.out_channels.div_ceil(p.channels);
    let [windows_h, windows_w] = [p.kernel_h.div_ceil(p.taps_h), p.kernel_w.div_ceil(p.taps_w)];
    let window = ky / p.taps_h * windows_w + kx / p.taps_w;
    let block = g * blocks + o / p.channels;
    let line = (block * p.in_channels + c) * windows_h * windows_w + window;
    let tap = ky % p.taps_h * p.taps_w + kx % p.taps_w;
    (line * p.line + tap * p.channels + o % p.channels) as usize
}

/// One result: channel o of group g of image n.
fn result(p: &ConvRegisterTiled, x: &[f32], w: &[f32], [n, g, o]: [usize; 3], [oy, ox]: [u32; 2]) -> f64 {
    let mut sum = 0.0;
    for c in 0..p.in_channels {
        let plane = (n * p.groups as usize + g) * p.in_channels as usize + c as usize;
        for ky in 0..p.kernel_h {
            let Some(iy) = input_row(p, oy, ky) else { continue };
            for kx in 0..p.kernel_w {
                let Some(ix) = input_column(p, ox, kx) else { continue };
                let pixel = x[(plane * p.in_h as usize + iy) * p.in_w as usize + ix];
                sum += f64::from(pixel) * f64::from(w[packed_at(p, g, o, [c, ky, kx])]);
            }
        }
    }
    sum
}

/// y = x * w + bias, then the epilogue.
pub fn conv_register_tiled(p: &ConvRegisterTiled, io: Io<'_>) {
    let ([x, w, bias, residual], [y]) = io.f32();
    let channels = (p.groups * p.out_channels) as usize;
    let len = p.batch as usize * channels * p.y_plane as usize;
    y[..len].par_chunks_mut(p.y_plane as usize).enumerate().for_each(|(plane, out)| {
        let (n, channel) = (plane / channels, plane % channels);
        let (g, o) = (channel / p.out_channels as usize, channel % p.out_channels as usize);
        let shift = if p.has_bias == 1 { f64::from(bias[channel]) } else { 0.0 };
        for (oy, ox) in (0..p.out_h).flat_map(|oy| (0..p.out_w).map(move |ox| (oy, ox))) {
            let at = (p.y_start + oy * p.y_down + ox * p.y_right) as usize;
            let added = if p.epilogue == 2 { residual[plane * p.y_plane as usize + at] } else { 0.0 };
            out[at] = with_epilogue(p.epilogue, result(p, x, w, [n, g, o], [oy, ox]) + shift, added);
        }
    });
}

/// The input gradient of a 3 x 3 convolution at stride 2 and padding 1, from weights rotated by 180 degrees.
pub fn conv_register_tiled_polyphase(p: &ConvRegisterTiled, io: Io<'_>) {
    let ([dy, w], [dx]) = io.f32();
    let channels = (p.groups * p.out_channels) as usize;
    let len = p.batch as usize * channels * p.y_plane as usize;
    // The pixel of dy that a tap adds to a pixel of dx.
    let source = |to: u32, tap: u32, size: u32| {
        let from = (to + 1).checked_sub(tap).filter(|twice| twice.is_multiple_of(2))? / 2;
        (from < size).then_some(from)
    };
    dx[..len].par_chunks_mut(p.y_plane as usize).enumerate().for_each(|(plane, out)| {
        let (n, channel) = (plane / channels, plane % channels);
        let (g, c) = (channel / p.out_channels as usize, channel % p.out_channels as usize);
        for (at, value) in (0..).zip(out) {
            let mut sum = 0.0;
            for (o, tap) in (0..p.in_channels).flat_map(|o| (0..9).map(move |tap| (o, tap))) {
                let (y, x) = (source(at / p.out_w, tap / 3, p.in_h), source(at % p.out_w, tap % 3, p.in_w));
                let (Some(y), Some(x)) = (y, x) else { continue };
                let plane = (n as u32 * p.groups + g as u32) * p.in_channels + o;
                let up = dy[((plane * p.in_h + y) * p.in_w + x) as usize];
                let weight = w[packed_at(p, g, c, [o, 2 - tap / 3, 2 - tap % 3])];
                sum += f64::from(up) * f64::from(weight);
            }
            *value = sum as f32;
        }
    });
}

/// Weight gradients, one partial sum per slice of images.
pub fn conv_register_tiled_grad_weight(p: &ConvRegisterTiled, io: Io<'_>) {
    let ([x, dy], [partial]) = io.f32();
    let taps = (p.kernel_h * p.kernel_w) as usize;
    let filter = p.in_channels as usize * taps;
    let channels = (p.groups * p.out_channels) as usize;
    let slices = p.batch.div_ceil(p.images_per_slice) as usize;
    let len = slices * channels * filter;
    partial[..len].par_chunks_mut(filter).enumerate().for_each(|(which, out)| {
        let (slice, channel) = (which / channels, which % channels);
        let g = channel / p.out_channels as usize;
        let first = slice as u32 * p.images_per_slice;
        for (at, value) in out.iter_mut().enumerate() {
            let (c, tap) = (at / taps, (at % taps) as u32);
            let (ky, kx) = (tap / p.kernel_w, tap % p.kernel_w);
            let mut sum = 0.0;
            for n in first..(first + p.images_per_slice).min(p.batch) {
                let plane = (n * p.groups) as usize * p.in_channels as usize + g * p.in_channels as usize + c;
                let up = (n as usize * channels + channel) * (p.out_h * p.out_w) as usize;
                for oy in 0..p.out_h {
                    let Some(iy) = input_row(p, oy, ky) else { continue };
                    for ox in 0..p.out_w {
                        let Some(ix) = input_column(p, ox, kx) else { continue };
                        let pixel = x[(plane * p.in_h as usize + iy) * p.in_w as usize + ix];
                        sum += f64::from(pixel) * f64::from(dy[up + (oy * p.out_w + ox) as usize]);
                    }
                }
            }
            *value = sum as f32;
        }
    });
}
