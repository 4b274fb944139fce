//! Twins of `batch_norm.wgsl` and `batch_norm_merge.wgsl`. x: `[batch, channels, pixels]`, statistics per channel.

use super::reduce::{slice, sum};
use super::{Io, with_epilogue};
use crate::kernel::{BatchNorm, FoldBatchNorm};
use rayon::prelude::*;

/// partial\[c, s\] = (count, mean, sum of squared distances from it) of slice s.
pub fn partial(p: &BatchNorm, io: Io<'_>) {
    let ([x], [out]) = io.f32();
    out[..(p.slices * p.channels * 3) as usize].par_chunks_mut(3).enumerate().for_each(|(which, out)| {
        let planes = || planes(p, which).map(|at| &x[at..][..p.pixels as usize]);
        let count = (planes().count() * p.pixels as usize) as f64;
        let mean = planes().map(|plane| sum(plane, |v| v)).sum::<f64>() / count.max(1.0);
        let m2: f64 = planes().map(|plane| sum(plane, |v| (v - mean) * (v - mean))).sum();
        out.copy_from_slice(&[count as f32, mean as f32, m2 as f32]);
    });
}

/// mean\[c\] and var\[c\], biased, from the slices.
pub fn stats(p: &BatchNorm, io: Io<'_>) {
    let ([partial], [mean_out, var_out]) = io.f32();
    let channels = p.channels as usize;
    let outs = mean_out[..channels].iter_mut().zip(&mut var_out[..channels]);
    for (c, (mean_out, var_out)) in outs.enumerate() {
        let partials = p.partials as usize;
        let own = |s: usize| [0, 1, 2].map(|i| f64::from(partial[(c * partials + s) * 3 + i]));
        let slices = || (0..partials).map(own);
        let count: f64 = slices().map(|[count, ..]| count).sum();
        let mean = slices().map(|[count, mean, _]| count * mean).sum::<f64>() / count;
        let m2: f64 = slices().map(|[count, m, m2]| m2 + count * (m - mean) * (m - mean)).sum();
        (*mean_out, *var_out) = (mean as f32, (m2 / count) as f32);
    }
}

/// y = (x - mean) / sqrt(var + eps) * weight + bias, then the epilogue.
pub fn apply(p: &BatchNorm, io: Io<'_>) {
    let ([x, mean, var, weight, bias, residual], [y]) = io.f32();
    map_planes(p, y, |c, range, y| {
        let normalized = normalized(p, c, [mean, var, weight, bias]);
        for ((y, &x), &r) in y.iter_mut().zip(&x[range.clone()]).zip(&residual[range]) {
            *y = with_epilogue(p.epilogue, normalized(x), [r, 0.0]);
        }
    });
}

/// [`stats`], then [`apply`].
pub fn merge_apply(p: &BatchNorm, io: Io<'_>) {
    let ([x, partial, residual, weight, bias], [y, mean, var]) = io.words();
    stats(p, Io { reads: vec![partial], writes: vec![&mut *mean, &mut *var] });
    apply(p, Io { reads: vec![x, mean, var, weight, bias, residual], writes: vec![y] });
}

/// Folds a batch norm into the weight and bias of the convolution before it.
pub fn fold(p: &FoldBatchNorm, io: Io<'_>) {
    let ([w, gamma, beta, mean, var, bias], [w_out, bias_out]) = io.f32();
    let filters =
        w_out[..p.len as usize].chunks_mut(p.per_channel as usize).zip(w.chunks(p.per_channel as usize));
    for (o, (w_out, w)) in filters.enumerate() {
        let scale = f64::from(gamma[o]) / (f64::from(var[o]) + f64::from(p.eps)).sqrt();
        w_out.iter_mut().zip(w).for_each(|(out, &w)| *out = (f64::from(w) * scale) as f32);
        let bias = if p.has_bias == 1 { f64::from(bias[o]) } else { 0.0 };
        bias_out[o] = ((bias - f64::from(mean[o])) * scale + f64::from(beta[o])) as f32;
    }
}

/// The sums of dy and of dy * xhat in each slice, then the coefficients of each channel.
pub fn grad_partial(p: &BatchNorm, io: Io<'_>) {
    let ([x, mean, var, weight, bias, dy], [partial]) = io.f32();
    let (sums, affine) = split_sums(p, partial);
    write_affine(p, affine, [mean, var, weight, bias]);
    let outs = sums.par_chunks_mut(2);
    outs.enumerate().for_each(|(which, out)| {
        let c = which / p.slices as usize;
        let normalized = normalized(p, c, [mean, var, weight, bias]);
        let mean = f64::from(mean[c]);
        let (mut of_dy, mut of_product) = (0.0, 0.0);
        for at in planes(p, which) {
            let range = at..at + p.pixels as usize;
            for (&x, &dy) in x[range.clone()].iter().zip(&dy[range]) {
                if !(p.epilogue == 1 && normalized(x) <= 0.0) {
                    of_dy += f64::from(dy);
                    of_product += f64::from(dy) * (f64::from(x) - mean);
                }
            }
        }
        out.copy_from_slice(&[of_dy as f32, (of_product * inv_std(p, var, c)) as f32]);
    });
}

/// The sums of all slices and channels, and the four coefficients of each channel: mean, 1 / sqrt(var + eps), weight / sqrt(var +
/// eps), and bias.
pub(super) fn split_sums<'a>(p: &BatchNorm, partial: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
    partial[..((2 * p.slices + 4) * p.channels) as usize].split_at_mut((2 * p.slices * p.channels) as usize)
}

/// Writes the coefficients of each channel.
pub(super) fn write_affine(p: &BatchNorm, out: &mut [f32], [mean, var, weight, bias]: [&[f32]; 4]) {
    for (c, out) in out.chunks_mut(4).enumerate() {
        let inv_std = inv_std(p, var, c);
        let scale = f64::from(weight[c]) * inv_std;
        out.copy_from_slice(&[mean[c], inv_std as f32, scale as f32, bias[c]]);
    }
}

/// Gradients of weight and bias, and each channel's coefficients of the gradient of x.
pub fn grad_stats(p: &BatchNorm, io: Io<'_>) {
    let ([partial], [grad_weight, grad_bias, coefficients]) = io.f32();
    let affine = &partial[(2 * p.slices * p.channels) as usize..];
    let count = f64::from(p.batch) * f64::from(p.pixels);
    for (c, out) in coefficients[..5 * p.channels as usize].chunks_mut(5).enumerate() {
        let sum = |i: usize| -> f64 {
            let slices = (0..p.slices as usize).map(|s| (c * p.slices as usize + s) * 2 + i);
            slices.map(|at| f64::from(partial[at])).sum()
        };
        let (of_dy, of_product) = (sum(0), sum(1));
        (grad_bias[c], grad_weight[c]) = (of_dy as f32, of_product as f32);
        let [mean, inv_std, scale, shift] = std::array::from_fn(|i| affine[4 * c + i]);
        let [dy_mean, slope] = match p.fixed {
            1 => [0.0; 2],
            _ => [of_dy / count, of_product / count * f64::from(inv_std)].map(|v| v as f32),
        };
        out.copy_from_slice(&[mean, scale, shift, dy_mean, slope]);
    }
}

/// dx, from the coefficients of each channel.
pub fn grad_input(p: &BatchNorm, io: Io<'_>) {
    let ([x, dy, coefficients], [dx]) = io.f32();
    map_planes(p, dx, |c, range, dx| {
        let [mean, scale, shift, dy_mean, slope] =
            std::array::from_fn(|i| f64::from(coefficients[5 * c + i]));
        let normalized = affine([mean, scale, shift]);
        for ((dx, &dy), &x) in dx.iter_mut().zip(&dy[range.clone()]).zip(&x[range]) {
            let centered = f64::from(x) - mean;
            let off = p.epilogue == 1 && normalized(x) <= 0.0;
            let dy = if off { 0.0 } else { f64::from(dy) };
            *dx = (scale * (dy - dy_mean - centered * slope)) as f32;
        }
    });
}

/// [`grad_stats`], then [`grad_input`].
pub fn merge_grad_input(p: &BatchNorm, io: Io<'_>) {
    let ([x, partial, dy], [dx, grad_weight, grad_bias]) = io.words();
    let mut coefficients = vec![0; 5 * p.channels as usize];
    let writes = vec![grad_weight, grad_bias, &mut coefficients[..]];
    grad_stats(p, Io { reads: vec![partial], writes });
    grad_input(p, Io { reads: vec![x, dy, &coefficients], writes: vec![dx] });
}

/// x of channel `c`, normalized, scaled and shifted.
fn normalized(
    p: &BatchNorm,
    c: usize,
    [mean, var, weight, bias]: [&[f32]; 4],
) -> impl Fn(f32) -> f64 + use<> {
    // Rounded as in the gradient, so that forward and backward agree on which results are above 0.
    let scale = (f64::from(weight[c]) * inv_std(p, var, c)) as f32;
    affine([mean[c], scale, bias[c]].map(f64::from))
}

fn affine([mean, scale, shift]: [f64; 3]) -> impl Fn(f32) -> f64 {
    move |x| (f64::from(x) - mean) * scale + shift
}

pub(super) fn inv_std(p: &BatchNorm, var: &[f32], c: usize) -> f64 {
    1.0 / (f64::from(var[c]) + f64::from(p.eps)).sqrt()
}

/// Offsets of the planes that are summed to result `which`, a pair of channel and slice.
pub(super) fn planes(p: &BatchNorm, which: usize) -> impl Iterator<Item = usize> {
    let (channels, pixels) = (p.channels as usize, p.pixels as usize);
    let (c, s) = (which / p.slices as usize, which % p.slices as usize);
    slice(s, p.images_per_slice, p.batch).map(move |n| (n * channels + c) * pixels)
}

/// Calls `f` with each plane's channel, its range of elements and its part of `y`.
pub(super) fn map_planes(
    p: &BatchNorm,
    y: &mut [f32],
    f: impl Fn(usize, std::ops::Range<usize>, &mut [f32]) + Sync,
) {
    let (channels, pixels) = (p.channels as usize, p.pixels as usize);
    let planes = y[..p.batch as usize * channels * pixels].par_chunks_mut(pixels.max(1));
    planes.enumerate().for_each(|(plane, y)| f(plane % channels, plane * pixels..(plane + 1) * pixels, y));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::{assert_close, noise};

    #[test]
    fn slices_merge_into_the_statistics_of_the_batch() {
        // The mean far exceeds the deviation, and the last slice is short.
        let p = BatchNorm {
            batch: 5,
            channels: 2,
            pixels: 7,
            slices: 3,
            images_per_slice: 2,
            partials: 3,
            ..BatchNorm::default()
        };
        let x: Vec<f32> = noise(4, 70).iter().map(|v| v + 1000.0).collect();
        let mut parts = [0u32; 3 * 2 * 3];
        partial(&p, Io { reads: vec![bytemuck::cast_slice(&x)], writes: vec![&mut parts] });
        let (mut mean, mut var) = ([0u32; 2], [0u32; 2]);
        stats(&p, Io { reads: vec![&parts], writes: vec![&mut mean, &mut var] });
        for c in 0..2 {
            let own = || (0..70).filter(|i| i / 7 % 2 == c).map(|i| f64::from(x[i]));
            let want_mean = own().sum::<f64>() / 35.0;
            let want_var = own().map(|v| (v - want_mean).powi(2)).sum::<f64>() / 35.0;
            let got = [f32::from_bits(mean[c]), f32::from_bits(var[c])];
            assert_close(&got, &[want_mean as f32, want_var as f32], 1e-6, "seed 4");
        }
    }
}
