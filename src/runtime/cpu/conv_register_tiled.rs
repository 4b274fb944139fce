//! Twins of the register-tiled direct convolutions: `conv_pack.wgsl`, `conv_register_tiled.wgsl`, `conv_register_tiled_grad_weight.wgsl`.

use super::conv_gemm::reads;
use super::{Io, epilogue_operands, with_epilogue};
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
fn packed_at(p: &ConvRegisterTiled, [g, o, c]: [u32; 3], [ky, kx]: [u32; 2]) -> usize {
    let blocks = p.out_channels.div_ceil(p.channels);
    let [windows_h, windows_w] = [p.kernel_h.div_ceil(p.taps_h), p.kernel_w.div_ceil(p.taps_w)];
    let window = ky / p.taps_h * windows_w + kx / p.taps_w;
    let block = g * blocks + o / p.channels;
    let line = (block * p.in_channels + c) * windows_h * windows_w + window;
    let tap = ky % p.taps_h * p.taps_w + kx % p.taps_w;
    (line * p.line + tap * p.channels + o % p.channels) as usize
}

/// Index of a pixel of x.
fn pixel_at(p: &ConvRegisterTiled, [n, g, c]: [u32; 3], [iy, ix]: [usize; 2]) -> usize {
    let plane = (n * p.groups + g) * p.in_channels + c;
    (plane as usize * p.in_h as usize + iy) * p.in_w as usize + ix
}

/// One result: channel o of group g of image n.
fn result(p: &ConvRegisterTiled, x: &[f32], w: &[f32], [n, g, o]: [u32; 3], [oy, ox]: [u32; 2]) -> f64 {
    let mut sum = 0.0;
    for (c, ky) in (0..p.in_channels).flat_map(|c| (0..p.kernel_h).map(move |ky| (c, ky))) {
        let Some(iy) = input_row(p, oy, ky) else { continue };
        for kx in 0..p.kernel_w {
            let Some(ix) = input_column(p, ox, kx) else { continue };
            let weight = w[packed_at(p, [g, o, c], [ky, kx])];
            sum += f64::from(x[pixel_at(p, [n, g, c], [iy, ix])]) * f64::from(weight);
        }
    }
    sum
}

/// Calls `f` with each plane of y, and its image, group and channel.
fn planes(p: &ConvRegisterTiled, y: &mut [f32], f: impl Fn([u32; 3], &mut [f32]) + Sync) {
    let channels = p.groups * p.out_channels;
    let planes = y[..(p.batch * channels * p.y_plane) as usize].par_chunks_mut(p.y_plane as usize);
    planes.enumerate().for_each(|(plane, y)| {
        let (n, channel) = (plane as u32 / channels, plane as u32 % channels);
        f([n, channel / p.out_channels, channel % p.out_channels], y);
    });
}

/// y = x * w + bias, then the epilogue.
pub fn conv_register_tiled(p: &ConvRegisterTiled, io: Io<'_>) {
    let ([x, w, bias, residual], [y]) = io.f32();
    planes(p, y, |[n, g, o], y| {
        let channel = g * p.out_channels + o;
        let plane = (n * p.groups * p.out_channels + channel) as usize * p.y_plane as usize;
        let shift = if p.has_bias == 1 { f64::from(bias[channel as usize]) } else { 0.0 };
        for (oy, ox) in (0..p.out_h).flat_map(|oy| (0..p.out_w).map(move |ox| (oy, ox))) {
            let at = (p.y_start + oy * p.y_down + ox * p.y_right) as usize;
            let operands = epilogue_operands(p.epilogue, [residual, bias], plane + at);
            y[at] = with_epilogue(p.epilogue, result(p, x, w, [n, g, o], [oy, ox]) + shift, operands);
        }
    });
}

/// The input gradient of a 3 x 3 convolution at stride 2 and padding 1, from weights rotated by 180 degrees.
pub fn conv_register_tiled_polyphase(p: &ConvRegisterTiled, io: Io<'_>) {
    let ([dy, w], [dx]) = io.f32();
    // The pixel of dy that a tap adds to a pixel of dx.
    let source = |to: u32, tap: u32, size: u32| {
        let from = (to + 1).checked_sub(tap).filter(|twice| twice.is_multiple_of(2))? / 2;
        (from < size).then_some(from as usize)
    };
    planes(p, dx, |[n, g, c], dx| {
        for (at, value) in (0..).zip(dx) {
            let mut sum = 0.0;
            for (o, ky, kx) in (0..p.in_channels).flat_map(|o| (0..9).map(move |tap| (o, tap / 3, tap % 3))) {
                let sources = source(at / p.out_w, ky, p.in_h).zip(source(at % p.out_w, kx, p.in_w));
                let Some((y, x)) = sources else { continue };
                let weight = w[packed_at(p, [g, c, o], [2 - ky, 2 - kx])];
                sum += f64::from(dy[pixel_at(p, [n, g, o], [y, x])]) * f64::from(weight);
            }
            *value = sum as f32;
        }
    });
}

/// Weight gradients, one partial sum per slice of images.
pub fn conv_register_tiled_grad_weight(p: &ConvRegisterTiled, io: Io<'_>) {
    let ([x, dy], [partial]) = io.f32();
    let taps = p.kernel_h * p.kernel_w;
    let (filter, channels) = (p.in_channels * taps, p.groups * p.out_channels);
    let slices = p.batch.div_ceil(p.images_per_slice);
    let filters = partial[..(slices * channels * filter) as usize].par_chunks_mut(filter as usize);
    filters.enumerate().for_each(|(which, out)| {
        let (slice, channel) = (which as u32 / channels, which as u32 % channels);
        let g = channel / p.out_channels;
        let first = slice * p.images_per_slice;
        for (at, value) in (0..filter).zip(out) {
            let (c, ky, kx) = (at / taps, at % taps / p.kernel_w, at % p.kernel_w);
            let mut sum = 0.0;
            for (n, oy) in (first..(first + p.images_per_slice).min(p.batch))
                .flat_map(|n| (0..p.out_h).map(move |oy| (n, oy)))
            {
                let Some(iy) = input_row(p, oy, ky) else { continue };
                let row = ((n * channels + channel) * p.out_h + oy) * p.out_w;
                for ox in 0..p.out_w {
                    let Some(ix) = input_column(p, ox, kx) else { continue };
                    let up = dy[(row + ox) as usize];
                    sum += f64::from(x[pixel_at(p, [n, g, c], [iy, ix])]) * f64::from(up);
                }
            }
            *value = sum as f32;
        }
    });
}
