//! Twins of the implicit GEMM convolutions, `conv_gemm.wgsl` and `conv_gemm_grad_weight.wgsl`.

use super::{Io, epilogue_operands, with_epilogue};
use crate::kernel::ConvGemm;
use rayon::prelude::*;

/// The pixel that tap `k` of output `o` reads along an axis, if it is in the image. Padding may be negative.
pub(super) fn reads(o: u32, k: u32, [stride, dilation, padding, size]: [u32; 4]) -> Option<usize> {
    let i = i64::from(o * stride + k * dilation) - i64::from(padding as i32);
    (0..i64::from(size)).contains(&i).then_some(i as usize)
}

fn row(p: &ConvGemm, oy: u32, ky: u32) -> Option<usize> {
    reads(oy, ky, [p.stride_h, p.dilation_h, p.padding_h, p.in_h])
}

fn column(p: &ConvGemm, ox: u32, kx: u32) -> Option<usize> {
    reads(ox, kx, [p.stride_w, p.dilation_w, p.padding_w, p.in_w])
}

fn weight_at(p: &ConvGemm, [g, o, c]: [u32; 3], [ky, kx]: [u32; 2]) -> usize {
    let fixed = i64::from(g * p.w_group + o * p.w_out + c * p.w_in + p.w_start);
    let steps = i64::from(ky) * i64::from(p.w_down as i32) + i64::from(kx) * i64::from(p.w_right as i32);
    (fixed + steps) as usize
}

/// y = x * w + bias, then the epilogue, in each phase.
pub fn conv_gemm(p: &ConvGemm, io: Io<'_>) {
    let (operands, [y]) = io.f32();
    p.each_phase().for_each(|p| phase(&p, operands, y));
}

fn phase(p: &ConvGemm, [x, w, bias, residual]: [&[f32]; 4], y: &mut [f32]) {
    let channels = p.groups * p.out_channels;
    let planes = y[..(p.batch * channels * p.y_plane) as usize].par_chunks_mut(p.y_plane as usize);
    planes.enumerate().for_each(|(plane, out)| {
        let (n, channel) = (plane as u32 / channels, plane as u32 % channels);
        let (g, o) = (channel / p.out_channels, channel % p.out_channels);
        let shift = if p.has_bias == 1 { f64::from(bias[channel as usize]) } else { 0.0 };
        for (oy, ox) in (0..p.out_h).flat_map(|oy| (0..p.out_w).map(move |ox| (oy, ox))) {
            let mut sum = shift;
            for c in 0..p.in_channels {
                let plane = ((n * p.groups + g) * p.in_channels + c) as usize;
                for (ky, kx) in (0..p.kernel_h).flat_map(|ky| (0..p.kernel_w).map(move |kx| (ky, kx))) {
                    if let Some((iy, ix)) = row(p, oy, ky).zip(column(p, ox, kx)) {
                        let pixel = x[(plane * p.in_h as usize + iy) * p.in_w as usize + ix];
                        sum += f64::from(pixel) * f64::from(w[weight_at(p, [g, o, c], [ky, kx])]);
                    }
                }
            }
            let at = (p.y_start + oy * p.y_down + ox * p.y_right) as usize;
            let operands = epilogue_operands(p.epilogue, [residual, bias], plane * p.y_plane as usize + at);
            out[at] = with_epilogue(p.epilogue, sum, operands);
        }
    });
}

/// [`conv_gemm`], and partial\[c, s\] = (count, mean, sum of squared deviations from it) of channel c in the pixels of slice s.
pub fn conv_gemm_moments(p: &ConvGemm, io: Io<'_>) {
    let (reads, [y, partial]) = io.words::<4, 2>();
    conv_gemm(p, Io { reads: reads.to_vec(), writes: vec![&mut *y] });
    let (y, partial): (&[f32], &mut [f32]) = (bytemuck::cast_slice(y), bytemuck::cast_slice_mut(partial));
    let (channels, plane) = ((p.groups * p.out_channels) as usize, (p.out_h * p.out_w) as usize);
    let (pixels, per_slice) = (p.batch as usize * plane, p.pixels_per_slice as usize);
    let slices = pixels.div_ceil(per_slice);
    partial[..channels * slices * 3].par_chunks_mut(3).enumerate().for_each(|(which, out)| {
        let (c, first) = (which / slices, which % slices * per_slice);
        let pixels = first..pixels.min(first + per_slice);
        let value = |k: usize| f64::from(y[(k / plane * channels + c) * plane + k % plane]);
        let count = pixels.len() as f64;
        let mean = pixels.clone().map(value).sum::<f64>() / count;
        let m2: f64 = pixels.map(|k| (value(k) - mean).powi(2)).sum();
        out.copy_from_slice(&[count as f32, mean as f32, m2 as f32]);
    });
}

/// Weight gradients, one partial sum per slice of pixels.
pub fn conv_gemm_grad_weight(p: &ConvGemm, io: Io<'_>) {
    let ([x, dy], [partial]) = io.f32();
    let (taps, plane) = (p.kernel_h * p.kernel_w, p.out_h * p.out_w);
    let (filter, channels, pixels) = (p.in_channels * taps, p.groups * p.out_channels, p.batch * plane);
    let slices = pixels.div_ceil(p.pixels_per_slice);
    let filters = partial[..(slices * channels * filter) as usize].par_chunks_mut(filter as usize);
    filters.enumerate().for_each(|(which, out)| {
        let (slice, channel) = (which as u32 / channels, which as u32 % channels);
        let first = slice * p.pixels_per_slice;
        for (at, value) in (0..filter).zip(out) {
            let (c, ky, kx) = (at / taps, at % taps / p.kernel_w, at % p.kernel_w);
            let mut sum = 0.0;
            for k in first..(first + p.pixels_per_slice).min(pixels) {
                let (n, oy, ox) = (k / plane, k % plane / p.out_w, k % p.out_w);
                let channel_in = ((n * p.groups + channel / p.out_channels) * p.in_channels + c) as usize;
                if let Some((iy, ix)) = row(p, oy, ky).zip(column(p, ox, kx)) {
                    let pixel = x[(channel_in * p.in_h as usize + iy) * p.in_w as usize + ix];
                    let up = dy[((n * channels + channel) * plane + k % plane) as usize];
                    sum += f64::from(pixel) * f64::from(up);
                }
            }
            *value = sum as f32;
        }
    });
}
