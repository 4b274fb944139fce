//! Fast twins of `batch_norm.wgsl`: sums in `f32` within a piece of a plane, in `f64` across pieces.

use super::super::Io;
use crate::kernel::BatchNorm;
use crate::runtime::cpu::batch_norm::{inv_std, map_planes, planes, split_sums, write_affine};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Independent vectors of sums, which hide the latency of additions.
const UNROLL: usize = 4;
/// Elements of a piece: few enough to sum in `f32` and to read twice from the cache.
const PIECE: usize = 4096;

/// partial\[c, s\] = (count, mean, sum of squared distances from it) of slice s.
pub fn partial(p: &BatchNorm, io: Io<'_>) {
    let ([x], [out]) = io.f32();
    let (arch, results) = (Arch::new(), (p.slices * p.channels) as usize);
    out[..results * 3].par_chunks_mut(3).enumerate().for_each(|(which, out)| {
        let (mut count, mut mean, mut m2) = (0.0, 0.0, 0.0);
        for piece in planes(p, which).flat_map(|at| x[at..][..p.pixels as usize].chunks(PIECE)) {
            let ([own, own_m2], len) = (moments(arch, piece), piece.len() as f64);
            let (all, difference) = (count + len, own - mean);
            m2 += own_m2 + difference * difference * count * len / all;
            mean += difference * len / all;
            count = all;
        }
        out.copy_from_slice(&[count as f32, mean as f32, m2 as f32]);
    });
}

/// The sums of dy and of dy * xhat in each slice, then the coefficients of each channel.
pub fn grad_partial(p: &BatchNorm, io: Io<'_>) {
    let ([x, mean, var, weight, bias, dy], [partial]) = io.f32();
    let (sums, affine) = split_sums(p, partial);
    write_affine(p, affine, [mean, var, weight, bias]);
    let arch = Arch::new();
    sums.par_chunks_mut(2).enumerate().for_each(|(which, out)| {
        let c = which / p.slices as usize;
        let scale = (f64::from(weight[c]) * inv_std(p, var, c)) as f32;
        let affine = Affine { mean: mean[c], scale, shift: bias[c] };
        let (mut totals, mut passed) = ([0.0; 2], [0.0; PIECE]);
        for at in planes(p, which) {
            let [dy, x] = [dy, x].map(|v| v[at..][..p.pixels as usize].chunks(PIECE));
            for (dy, x) in dy.zip(x) {
                let dy = match p.epilogue {
                    1 => through_relu(arch, affine, dy, x, &mut passed),
                    _ => dy,
                };
                let piece = arch.dispatch(Sums { values: [dy, x], shifts: [0.0, mean[c]] });
                totals = [totals[0] + piece[0], totals[1] + piece[1]];
            }
        }
        out.copy_from_slice(&[totals[0] as f32, (totals[1] * inv_std(p, var, c)) as f32]);
    });
}

/// Normalization, scale and shift of a channel.
#[derive(Clone, Copy)]
struct Affine {
    mean: f32,
    scale: f32,
    shift: f32,
}

impl Affine {
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        (x - self.mean) * self.scale + self.shift
    }
}

/// dy where the ReLU passed x, else 0.
fn through_relu<'a>(arch: Arch, affine: Affine, dy: &[f32], x: &[f32], passed: &'a mut [f32]) -> &'a [f32] {
    let passed = &mut passed[..dy.len()];
    arch.dispatch(|| {
        for ((passed, &dy), &x) in passed.iter_mut().zip(dy).zip(x) {
            *passed = if affine.of(x) <= 0.0 { 0.0 } else { dy };
        }
    });
    passed
}

/// y = (x - mean) / sqrt(var + eps) * weight + bias, then the epilogue.
pub fn apply(p: &BatchNorm, io: Io<'_>) {
    let ([x, mean, var, weight, bias, residual], [y]) = io.f32();
    let arch = Arch::new();
    let relu = |v: f32| if v <= 0.0 { 0.0 } else { v };
    map_planes(p, y, |c, range, y| {
        let scale = (f64::from(weight[c]) * inv_std(p, var, c)) as f32;
        let affine = Affine { mean: mean[c], scale, shift: bias[c] };
        let (x, residual) = (&x[range.clone()], &residual[range.clone()]);
        arch.dispatch(|| match p.epilogue {
            0 => y.iter_mut().zip(x).for_each(|(y, &x)| *y = affine.of(x)),
            1 => y.iter_mut().zip(x).for_each(|(y, &x)| *y = relu(affine.of(x))),
            _ => {
                let pairs = x.iter().zip(residual);
                y.iter_mut().zip(pairs).for_each(|(y, (&x, &r))| *y = relu(affine.of(x) + r));
            }
        });
    });
}

/// dx, from the coefficients of each channel.
pub fn grad_input(p: &BatchNorm, io: Io<'_>) {
    let ([x, dy, coefficients], [dx]) = io.f32();
    let (arch, relu) = (Arch::new(), p.epilogue == 1);
    map_planes(p, dx, |c, range, dx| {
        let [mean, scale, shift, dy_mean, slope] = std::array::from_fn(|i| coefficients[5 * c + i]);
        let affine = Affine { mean, scale, shift };
        let pairs = dy[range.clone()].iter().zip(&x[range]);
        arch.dispatch(|| {
            for (dx, (&dy, &x)) in dx.iter_mut().zip(pairs) {
                let dy = if relu && affine.of(x) <= 0.0 { 0.0 } else { dy };
                *dx = scale * (dy - dy_mean - (x - mean) * slope);
            }
        });
    });
}

/// The mean, and the sum of squared distances from it.
fn moments(arch: Arch, x: &[f32]) -> [f64; 2] {
    let sums = |shift| arch.dispatch(Sums { values: [x, x], shifts: [shift; 2] });
    let count = x.len() as f64;
    // A rounded mean, then its correction.
    let near = (sums(0.0)[0] / count) as f32;
    let [sum, squares] = sums(near);
    let squares = squares - sum * sum / count;
    // Rounding may make it negative. `max` would drop a NaN.
    [f64::from(near) + sum / count, if squares < 0.0 { 0.0 } else { squares }]
}

/// The sums of a and of a * b, each value less its shift.
struct Sums<'a> {
    /// a and b.
    values: [&'a [f32]; 2],
    shifts: [f32; 2],
}

impl WithSimd for Sums<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f64; 2] {
        let Self { values: [a, b], shifts } = self;
        let shift = shifts.map(|shift| simd.splat_f32s(shift));
        let mut lanes = [[simd.splat_f32s(0.0); UNROLL]; 2];
        let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
        let ((a, a_few), (b, b_few)) = (a.as_chunks::<UNROLL>(), b.as_chunks::<UNROLL>());
        for (a, b) in a.iter().zip(b) {
            for i in 0..UNROLL {
                let (a, b) = (simd.sub_f32s(a[i], shift[0]), simd.sub_f32s(b[i], shift[1]));
                lanes[0][i] = simd.add_f32s(lanes[0][i], a);
                lanes[1][i] = simd.mul_add_e_f32s(a, b, lanes[1][i]);
            }
        }
        for (&a, &b) in a_few.iter().zip(b_few) {
            let (a, b) = (simd.sub_f32s(a, shift[0]), simd.sub_f32s(b, shift[1]));
            lanes[0][0] = simd.add_f32s(lanes[0][0], a);
            lanes[1][0] = simd.mul_add_e_f32s(a, b, lanes[1][0]);
        }
        let mut totals = [0.0; 2];
        for (total, lanes) in totals.iter_mut().zip(lanes) {
            for lanes in lanes {
                *total += f64::from(simd.reduce_sum_f32s(lanes));
            }
        }
        for (&a, &b) in a_rest.iter().zip(b_rest) {
            let (a, b) = (a - shifts[0], b - shifts[1]);
            totals = [totals[0] + f64::from(a), totals[1] + f64::from(a) * f64::from(b)];
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::{assert_close, batch_norm, noise};

    /// The mean is much larger than the deviation, the first element is an outlier, the last slice is short, and plane
    /// sizes are odd.
    #[test]
    fn fast_matches_plain_despite_cancellation() {
        let cases = [(1, 0.0, 0), (7, 1e4, 0), (33, -1e4, 0), (64, 3.0, 1), (35, 0.5, 2)];
        for (seed, (pixels, mean, epilogue)) in cases.into_iter().enumerate() {
            let p = BatchNorm {
                batch: 5,
                channels: 3,
                pixels,
                slices: 3,
                images_per_slice: 2,
                partials: 3,
                eps: 1e-5,
                epilogue,
                ..Default::default()
            };
            let len = (5 * 3 * pixels) as usize;
            let mut x: Vec<f32> = noise(seed as u32, len).iter().map(|v| v + mean).collect();
            x[0] += 50.0;
            let dy = noise(seed as u32 + 10, len);
            let channel = [0.5f32, -2.0, 1.5].map(f32::to_bits);
            let run = |twins: [fn(&BatchNorm, Io<'_>); 4]| {
                let (x, dy) = (bytemuck::cast_slice(&x), bytemuck::cast_slice(&dy));
                let mut parts = [0u32; 3 * 3 * 3];
                twins[0](&p, Io { reads: vec![x], writes: vec![&mut parts] });
                let (mut mean, mut var) = ([0u32; 3], [0u32; 3]);
                batch_norm::stats(&p, Io { reads: vec![&parts], writes: vec![&mut mean, &mut var] });
                let (mut y, mut dx) = (vec![0u32; len], vec![0u32; len]);
                let reads = vec![x, &mean[..], &var, &channel, &channel, dy];
                twins[1](&p, Io { reads: reads.clone(), writes: vec![&mut y] });
                let mut sums = [0u32; 3 * 3 * 2 + 3 * 4];
                twins[2](&p, Io { reads, writes: vec![&mut sums] });
                let (mut weight, mut bias, mut coefficients) = ([0u32; 3], [0u32; 3], [0u32; 15]);
                let writes = vec![&mut weight[..], &mut bias, &mut coefficients];
                batch_norm::grad_stats(&p, Io { reads: vec![&sums], writes });
                twins[3](&p, Io { reads: vec![x, dy, &coefficients], writes: vec![&mut dx] });
                let words = [&mean[..], &var, &y, &bias, &weight, &dx].concat();
                words.into_iter().map(f32::from_bits).collect::<Vec<_>>()
            };
            let want = run([
                batch_norm::partial,
                batch_norm::apply,
                batch_norm::grad_partial,
                batch_norm::grad_input,
            ]);
            let got = run([partial, apply, grad_partial, grad_input]);
            assert_close(&got, &want, 1e-5, &format!("seed {seed}, {pixels} pixels around {mean}"));
        }
    }
}
