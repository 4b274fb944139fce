//! Twins of `reduce.wgsl` and `slice_sums.wgsl`, and the sums that other twins use.

use super::{BLOCK, Io};
use crate::kernel::{ChannelSum, SliceSum, SliceSums};
use rayon::prelude::*;

/// out\[s, c\] = the sum of all pixels of channel c in the images of slice s.
pub fn channel_sum(p: &ChannelSum, io: Io<'_>) {
    let ([x], [out]) = io.f32();
    let (channels, pixels) = (p.channels as usize, p.pixels as usize);
    let slices = p.batch.div_ceil(p.images_per_slice) as usize;
    out[..slices * channels].par_iter_mut().enumerate().for_each(|(which, out)| {
        let images = slice(which / channels, p.images_per_slice, p.batch);
        let planes = images.map(|n| (n * channels + which % channels) * pixels);
        let total: f64 = planes.map(|start| sum(&x[start..][..pixels], |v| v)).sum();
        *out = total as f32;
    });
}

/// out\[i\] = scale * the sum of x\[s, i\] over slices, added to out\[i\] if `accumulate`.
pub fn slice_sum(p: &SliceSum, io: Io<'_>) {
    let ([x], [out]) = io.f32();
    let len = p.len as usize;
    out[..len].par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
        let mut sums = vec![0.0; out.len()];
        for s in 0..p.slices as usize {
            let row = &x[s * len + block * BLOCK..][..out.len()];
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            let before = if p.accumulate == 1 { f64::from(*out) } else { 0.0 };
            *out = (sum * f64::from(p.scale) + before) as f32;
        }
    });
}

/// out\[at_k + i\] = the sum of x_k\[s, i\] over slices, for each array k.
pub fn slice_sums(p: &SliceSums, io: Io<'_>) {
    let (arrays, [out]) = io.f32::<7, 1>();
    for (x, row) in arrays.into_iter().zip(p.arrays) {
        let [len, slices, at, _] = row.map(|n| n as usize);
        for i in 0..len {
            let terms = (0..slices).map(|s| f64::from(x[s * len + i]));
            out[at + i] = terms.sum::<f64>() as f32;
        }
    }
}

/// The images of slice `s`.
pub(super) fn slice(s: usize, images_per_slice: u32, batch: u32) -> std::ops::Range<usize> {
    let (step, batch) = (images_per_slice as usize, batch as usize);
    (s * step).min(batch)..((s + 1) * step).min(batch)
}

/// The sum of `f` over the elements.
pub(super) fn sum(xs: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    sum2(xs, xs, |x, _| f(x))
}

/// The sum of `f` over pairs of elements, in eight lanes so that it vectorizes.
pub(super) fn sum2(xs: &[f32], ys: &[f32], f: impl Fn(f64, f64) -> f64) -> f64 {
    let f = |(&x, &y): (&f32, &f32)| f(f64::from(x), f64::from(y));
    let ((xs, x_rest), (ys, y_rest)) = (xs.as_chunks::<8>(), ys.as_chunks::<8>());
    let mut lanes = [0.0; 8];
    for (xs, ys) in xs.iter().zip(ys) {
        lanes.iter_mut().zip(xs.iter().zip(ys)).for_each(|(lane, pair)| *lane += f(pair));
    }
    lanes.iter().sum::<f64>() + x_rest.iter().zip(y_rest).map(f).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::run;

    #[test]
    fn sums_ignore_what_follows_the_data() {
        // Three rows of one channel with four pixels, two rows a slice. The rest of the pooled buffer is NaN.
        let x: Vec<f32> = (1..=12).map(|v| v as f32).chain([f32::NAN]).collect();
        let p = ChannelSum { batch: 3, channels: 1, pixels: 4, images_per_slice: 2 };
        let mut out = [0.0; 3];
        run(channel_sum, &p, &[&x], &mut out);
        assert_eq!(out, [36.0, 42.0, 0.0]);
    }

    #[test]
    fn slice_sum_scales_then_accumulates() {
        let mut out = [100.0, 200.0, 7.0];
        let p = SliceSum { len: 2, slices: 3, scale: 0.5, accumulate: 1 };
        run(slice_sum, &p, &[&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], &mut out);
        assert_eq!(out, [104.5, 206.0, 7.0]);
    }
}
