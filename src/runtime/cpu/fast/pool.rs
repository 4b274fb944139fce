//! The fast twin of max-pooling in `pool.wgsl`: vectorized over the outputs of a row, one tap after another.

use super::super::Io;
use crate::kernel::Pool;
use crate::runtime::cpu::pool::{self, Sizes, Windows};
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Range;

/// y = each window's maximum and its index in the plane, exactly as the plain twin.
pub fn max_pool(p: &Pool, io: Io<'_>) {
    if p.adaptive == 1 {
        return pool::max_pool(p, io);
    }
    let ([x], [y, index]) = io.words();
    let (x, y) = (bytemuck::cast_slice::<u32, f32>(x), bytemuck::cast_slice_mut::<u32, f32>(y));
    let (windows, sizes, taps, arch) = (Windows::new(p), Sizes::new(p), Tap::all(p), Arch::new());
    let index = index[..sizes.all_out].par_chunks_mut(sizes.out);
    let outs = y[..sizes.all_out].par_chunks_mut(sizes.out).zip(index);
    outs.zip(x[..sizes.all_in].par_chunks(sizes.input)).for_each(|((y, index), x)| {
        arch.dispatch(|| {
            let out_w = windows.x.len();
            let rows = y.chunks_exact_mut(out_w).zip(index.chunks_exact_mut(out_w));
            for (window, (y, index)) in windows.y.iter().zip(rows) {
                y.fill(f32::NEG_INFINITY);
                let top = window.pixels.start * sizes.in_w;
                index.iter_mut().zip(&windows.x).for_each(|(at, x)| *at = (top + x.pixels.start) as u32);
                for (row, tap) in window.pixels.clone().flat_map(|row| taps.iter().map(move |tap| (row, tap))) {
                    let first = row * sizes.in_w + tap.first;
                    let pixels = &x[first..(row + 1) * sizes.in_w];
                    let (y, index) = (&mut y[tap.outs.clone()], &mut index[tap.outs.clone()]);
                    match p.stride_w {
                        1 => maxima::<1>(y, index, pixels, first as u32),
                        2 => maxima::<2>(y, index, pixels, first as u32),
                        stride => {
                            let pixels = pixels.iter().copied().step_by(stride as usize);
                            take_larger(y, index, pixels, first as u32, stride);
                        }
                    }
                }
            }
        });
    });
}

/// A horizontal tap.
struct Tap {
    /// The outputs for which it is inside the image.
    outs: Range<usize>,
    /// The pixel that it reads for the first of them.
    first: usize,
}

impl Tap {
    fn all(p: &Pool) -> Vec<Self> {
        let [size, stride, padding] = [p.in_w, p.stride_w, p.padding_w].map(|n| n as usize);
        let tap = |k: usize| {
            let start = padding.saturating_sub(k).div_ceil(stride);
            let end = (size + padding).saturating_sub(k).div_ceil(stride).min(p.out_w as usize);
            Self { outs: start.min(end)..end, first: (start * stride + k).saturating_sub(padding).min(size) }
        };
        (0..p.kernel_w as usize).map(tap).collect()
    }
}

/// As [`take_larger`] for every `STEP`-th pixel, in a form that vectorizes.
#[inline(always)]
fn maxima<const STEP: usize>(y: &mut [f32], index: &mut [u32], pixels: &[f32], first: u32) {
    let (whole, rest) = pixels.as_chunks::<STEP>();
    let split = whole.len().min(y.len());
    let ((y, y_rest), (index, index_rest)) = (y.split_at_mut(split), index.split_at_mut(split));
    let step = STEP as u32;
    take_larger(y, index, whole.iter().map(|pixels| pixels[0]), first, step);
    take_larger(y_rest, index_rest, rest.iter().copied(), first + split as u32 * step, step);
}

/// Replaces each maximum by its pixel if that is larger or the first NaN, and its index.
#[inline(always)]
fn take_larger(
    y: &mut [f32],
    index: &mut [u32],
    pixels: impl Iterator<Item = f32>,
    first: u32,
    step: u32,
) {
    for (i, ((y, at), value)) in (0..).zip(y.iter_mut().zip(index).zip(pixels)) {
        let replaces = (value > *y) | (value.is_nan() & !y.is_nan());
        *y = if replaces { value } else { *y };
        *at = if replaces { first + i * step } else { *at };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ties, NaN and infinity; strides 1 to 3; padding; windows that end outside; several planes.
    #[test]
    fn fast_equals_plain_to_the_bit() {
        let values = [1.0, 2.0, 2.0, -0.0, 0.0, f32::NEG_INFINITY, -3.0, f32::NAN, f32::INFINITY];
        // Image, kernel, stride, padding, and pixels beyond the image that the last window covers.
        let cases = [
            ([56, 57], [3, 3], [2, 2], 0, 1),
            ([14, 35], [3, 3], [1, 1], 1, 0),
            ([28, 28], [2, 2], [2, 2], 0, 0),
            ([9, 20], [3, 4], [1, 3], 1, 0),
            ([7, 3], [5, 3], [2, 1], 1, 0),
            ([1, 1], [1, 1], [1, 1], 0, 0),
        ];
        for (seed, ([in_h, in_w], kernel, stride, padding, beyond)) in cases.into_iter().enumerate() {
            let out = |i: usize, size: u32| (size + 2 * padding + beyond - kernel[i]) / stride[i] + 1;
            let p = Pool {
                planes: 3,
                in_h,
                in_w,
                out_h: out(0, in_h),
                out_w: out(1, in_w),
                kernel_h: kernel[0],
                kernel_w: kernel[1],
                stride_h: stride[0],
                stride_w: stride[1],
                padding_h: padding,
                padding_w: padding,
                ..Default::default()
            };
            // NaN and infinity in some planes only: they hide everything else.
            let kinds = [5, 7, 9][seed % 3];
            let noise = crate::runtime::cpu::noise(seed as u32, (3 * in_h * in_w) as usize);
            let x: Vec<f32> = noise.iter().map(|v| values[(v.abs() * kinds as f32) as usize]).collect();
            let run = |twin: fn(&Pool, Io<'_>)| {
                // Buffers may be longer than their data.
                let len = (3 * p.out_h * p.out_w) as usize + 3;
                let (mut y, mut index) = (vec![7; len], vec![7; len]);
                let writes = vec![&mut y[..], &mut index];
                twin(&p, Io { reads: vec![bytemuck::cast_slice(&x)], writes });
                [y, index]
            };
            assert_eq!(run(max_pool), run(pool::max_pool), "{p:?}");
        }
    }
}
