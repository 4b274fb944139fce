//! The fast twin of max-pooling in `pool.wgsl`: vectors hold neighboring outputs of a row.

use super::super::Io;
use super::tile::Size;
use crate::kernel::Pool;
use crate::runtime::cpu::pool::{self, Sizes};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of outputs computed together, which hides the latency of comparisons.
const ROWS: usize = 4;

/// y = each window's maximum and its index in the plane, exactly as the plain twin.
pub fn max_pool(p: &Pool, io: Io<'_>) {
    max_pool_on(Arch::new(), p, io);
}

fn max_pool_on(arch: Arch, p: &Pool, io: Io<'_>) {
    // Windows larger than the image are mostly padding, which would take more memory than the image, without bound.
    if p.adaptive == 1 || p.kernel_h > p.in_h || p.kernel_w > p.in_w {
        return pool::max_pool(p, io);
    }
    let ([x], [y, index]) = io.words();
    let (x, y) = (bytemuck::cast_slice::<u32, f32>(x), bytemuck::cast_slice_mut::<u32, f32>(y));
    let (layout, sizes) = (Layout::new(p, Size::new(arch).lanes), Sizes::new(p));
    let index = index[..sizes.all_out].par_chunks_mut(sizes.out);
    let outs = y[..sizes.all_out].par_chunks_mut(sizes.out).zip(index);
    let planes = outs.zip(x[..sizes.all_in].par_chunks(sizes.input));
    planes.for_each_init(Vec::new, |padded, ((y, index), x)| {
        layout.pad(x, padded);
        arch.dispatch(Plane { layout: &layout, padded, y, index });
    });
}

#[derive(Clone, Copy)]
struct Axis {
    size: usize,
    outs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Axis {
    /// The first pixel of an output's window.
    fn first(&self, out: usize) -> usize {
        (out * self.stride).saturating_sub(self.padding)
    }
}

/// How images are padded, and where taps read.
struct Layout {
    /// Vertical and horizontal.
    axes: [Axis; 2],
    /// Length of a run: the pixels that a tap reads for neighboring outputs become neighbors.
    run: usize,
    /// Length of a row: one run for each remainder modulo the stride.
    row: usize,
    /// For each tap, the offset of the first output's element in the padded image, and of its pixel in the image. The latter
    /// wraps around in the padding, where it is not used.
    taps: Vec<(usize, u32)>,
    /// The first column of each output's window, and the column of its first tap less the padding.
    columns: [Vec<u32>; 2],
}

impl Layout {
    fn new(p: &Pool, lanes: usize) -> Self {
        let axis = |sizes: [u32; 5]| {
            let [size, outs, kernel, stride, padding] = sizes.map(|n| n as usize);
            Axis { size, outs, kernel, stride, padding }
        };
        let y = axis([p.in_h, p.out_h, p.kernel_h, p.stride_h, p.padding_h]);
        let x = axis([p.in_w, p.out_w, p.kernel_w, p.stride_w, p.padding_w]);
        let outs = x.outs.next_multiple_of(lanes);
        let run = outs + (x.kernel - 1) / x.stride;
        let row = run * x.stride.min(x.kernel);
        let tap = |ky: usize, kx: usize| {
            let pixel = (ky * x.size + kx).wrapping_sub(y.padding * x.size + x.padding);
            (ky * row + kx % x.stride * run + kx / x.stride, pixel as u32)
        };
        let taps = (0..y.kernel).flat_map(|ky| (0..x.kernel).map(move |kx| tap(ky, kx))).collect();
        let columns = [
            (0..outs).map(|out| x.first(out) as u32).collect(),
            (0..outs).map(|out| (out * x.stride) as u32).collect(),
        ];
        Self { axes: [y, x], run, row, taps, columns }
    }

    /// Copies the image and pads it with values that never replace a maximum.
    fn pad(&self, image: &[f32], padded: &mut Vec<f32>) {
        let [y, x] = self.axes;
        padded.clear();
        padded.resize(((y.outs - 1) * y.stride + y.kernel) * self.row, f32::NEG_INFINITY);
        let rows = padded.chunks_exact_mut(self.row).skip(y.padding);
        for (row, pixels) in rows.zip(image.chunks_exact(x.size)) {
            for (tap, run) in row.chunks_exact_mut(self.run).enumerate() {
                let start = x.padding.saturating_sub(tap).div_ceil(x.stride);
                let from = &pixels[(start * x.stride + tap - x.padding).min(x.size)..];
                match x.stride {
                    1 => copy_every(&mut run[start..], from, 1),
                    2 => copy_every(&mut run[start..], from, 2),
                    stride => copy_every(&mut run[start..], from, stride),
                }
            }
        }
    }
}

/// The padded image of a plane, and its maxima and their indices.
struct Plane<'a> {
    layout: &'a Layout,
    padded: &'a [f32],
    y: &'a mut [f32],
    index: &'a mut [u32],
}

impl WithSimd for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Layout { axes: [y, x], row, taps, columns, .. } = self.layout;
        for top in (0..y.outs).step_by(ROWS) {
            // The last row may be computed more than once.
            let rows: [usize; ROWS] = std::array::from_fn(|r| (top + r).min(y.outs - 1));
            for left in (0..x.outs).step_by(S::F32_LANES) {
                let mut largest = [simd.splat_f32s(f32::NEG_INFINITY); ROWS];
                let mut at = [simd.splat_u32s(0); ROWS];
                let mut here = at;
                let mut panels = [self.padded; ROWS];
                // Loops, because closures are not compiled for the vectors.
                for r in 0..ROWS {
                    let (first, line) = (y.first(rows[r]) * x.size, rows[r] * y.stride);
                    at[r] = simd.add_u32s(vector(&columns[0][left..]), simd.splat_u32s(first as u32));
                    here[r] =
                        simd.add_u32s(vector(&columns[1][left..]), simd.splat_u32s((line * x.size) as u32));
                    panels[r] = &self.padded[line * row + left..];
                }
                for &(tap, pixel) in taps {
                    let pixel = simd.splat_u32s(pixel);
                    for r in 0..ROWS {
                        let value: S::f32s = vector(&panels[r][tap..]);
                        let larger = simd.less_than_f32s(largest[r], value);
                        let number = simd.equal_f32s(largest[r], largest[r]);
                        let nan = simd.not_m32s(simd.equal_f32s(value, value));
                        let replaces = simd.or_m32s(larger, simd.and_m32s(nan, number));
                        largest[r] = simd.select_f32s(replaces, value, largest[r]);
                        at[r] = simd.select_u32s(replaces, simd.add_u32s(here[r], pixel), at[r]);
                    }
                }
                for r in 0..ROWS {
                    let outs = rows[r] * x.outs + left..rows[r] * x.outs + x.outs.min(left + S::F32_LANES);
                    let len = outs.len();
                    self.y[outs.clone()].copy_from_slice(&bytemuck::cast_slice(&largest[r..=r])[..len]);
                    self.index[outs].copy_from_slice(&bytemuck::cast_slice(&at[r..=r])[..len]);
                }
            }
        }
    }
}

/// The first elements as a vector.
#[inline(always)]
fn vector<T: bytemuck::Pod, V: bytemuck::Pod>(elements: &[T]) -> V {
    bytemuck::cast_slice(&elements[..size_of::<V>() / size_of::<T>()])[0]
}

/// Copies every `stride`-th element, as many as there are and fit. Vectorizes if the compiler knows the stride.
#[inline(always)]
fn copy_every(to: &mut [f32], from: &[f32], stride: usize) {
    let len = to.len().min(from.len().div_ceil(stride));
    for i in 0..len {
        to[i] = from[i * stride];
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
            let run = |twin: &dyn Fn(&Pool, Io<'_>)| {
                // Buffers may be longer than their data.
                let len = (3 * p.out_h * p.out_w) as usize + 3;
                let (mut y, mut index) = (vec![7; len], vec![7; len]);
                let writes = vec![&mut y[..], &mut index];
                twin(&p, Io { reads: vec![bytemuck::cast_slice(&x)], writes });
                [y, index]
            };
            for arch in [Arch::new(), Arch::Scalar] {
                assert_eq!(run(&|p, io| max_pool_on(arch, p, io)), run(&pool::max_pool), "{p:?} on {arch:?}");
            }
        }
    }
}
