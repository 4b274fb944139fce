//! Twins of `pool.wgsl`.

use super::{Io, round};
use crate::kernel::Pool;
use rayon::prelude::*;
use std::ops::Range;

/// y = each window's maximum and its index in the plane. Ties go to the first element; if there are NaNs, the first NaN wins.
pub fn max_pool(p: &Pool, io: Io<'_>) {
    let ([x], [y, index]) = io.words();
    let (x, y) = (bytemuck::cast_slice::<u32, f32>(x), bytemuck::cast_slice_mut::<u32, f32>(y));
    let (windows, sizes) = (Windows::new(p), Sizes::new(p));
    let index = index[..sizes.all_out].par_chunks_mut(sizes.out);
    let outs = y[..sizes.all_out].par_chunks_mut(sizes.out).zip(index);
    outs.zip(x[..sizes.all_in].par_chunks(sizes.input)).for_each(|((y, index), x)| {
        for ((wy, wx), (y, index)) in windows.pairs().zip(y.iter_mut().zip(index)) {
            let mut best_at = wy.pixels.start * sizes.in_w + wx.pixels.start;
            let mut best = x[best_at];
            for iy in wy.pixels.clone() {
                let first = iy * sizes.in_w + wx.pixels.start;
                for (i, &value) in x[first..][..wx.pixels.len()].iter().enumerate() {
                    if value > best || (value.is_nan() && !best.is_nan()) {
                        (best, best_at) = (value, first + i);
                    }
                }
            }
            (*y, *index) = (best, best_at as u32);
        }
    });
}

/// dx = the sum of dy over the windows whose maximum the pixel was.
pub fn max_pool_grad(p: &Pool, io: Io<'_>) {
    let ([dy, index], [dx]) = io.words();
    let (dy, dx) = (bytemuck::cast_slice::<u32, f32>(dy), bytemuck::cast_slice_mut::<u32, f32>(dx));
    let sizes = Sizes::new(p);
    let index = index[..sizes.all_out].par_chunks(sizes.out);
    let planes =
        dx[..sizes.all_in].par_chunks_mut(sizes.input).zip(dy[..sizes.all_out].par_chunks(sizes.out));
    planes.zip(index).for_each(|((dx, dy), index)| {
        let mut sums = vec![0.0; dx.len()];
        for (&dy, &at) in dy.iter().zip(index) {
            // Indices outside the plane are ignored, as on a GPU.
            if let Some(sum) = sums.get_mut(at as usize) {
                *sum += f64::from(dy);
            }
        }
        round(&sums, dx);
    });
}

/// y = the sum of each window / its divisor.
pub fn avg_pool(p: &Pool, io: Io<'_>) {
    let ([x], [y]) = io.f32();
    let (windows, sizes) = (Windows::new(p), Sizes::new(p));
    let planes = y[..sizes.all_out].par_chunks_mut(sizes.out).zip(x[..sizes.all_in].par_chunks(sizes.input));
    planes.for_each(|(y, x)| {
        for ((wy, wx), y) in windows.pairs().zip(y) {
            let rows = wy.pixels.clone().map(|iy| &x[iy * sizes.in_w..][wx.pixels.clone()]);
            let sum: f64 = rows.flatten().map(|&v| f64::from(v)).sum();
            *y = (sum / divisor(p, wy, wx)) as f32;
        }
    });
}

/// dx = the sum of dy / divisor over the windows that contain the pixel.
pub fn avg_pool_grad(p: &Pool, io: Io<'_>) {
    let ([dy], [dx]) = io.f32();
    let (windows, sizes) = (Windows::new(p), Sizes::new(p));
    let planes =
        dx[..sizes.all_in].par_chunks_mut(sizes.input).zip(dy[..sizes.all_out].par_chunks(sizes.out));
    planes.for_each(|(dx, dy)| {
        let mut sums = vec![0.0; dx.len()];
        for ((wy, wx), &dy) in windows.pairs().zip(dy) {
            let share = f64::from(dy) / divisor(p, wy, wx);
            for iy in wy.pixels.clone() {
                sums[iy * sizes.in_w..][wx.pixels.clone()].iter_mut().for_each(|sum| *sum += share);
            }
        }
        round(&sums, dx);
    });
}

/// One output's window along an axis.
struct Window {
    /// Pixels of the image in the window.
    pixels: Range<usize>,
    /// Extent of the window, padding included.
    padded: usize,
}

struct Windows {
    y: Vec<Window>,
    x: Vec<Window>,
}

impl Windows {
    fn new(p: &Pool) -> Self {
        let axis = |outs: u32, size: u32, kernel: u32, stride: u32, padding: u32| {
            let fixed = |o: i64| {
                let start = o * i64::from(stride) - i64::from(padding);
                (start, (start + i64::from(kernel)).min(i64::from(size) + i64::from(padding)))
            };
            let (outs, size) = (i64::from(outs), i64::from(size));
            let adaptive = |o: i64| (o * size / outs, ((o + 1) * size + outs - 1) / outs);
            let window = |o| {
                let (start, end) = if p.adaptive == 1 { adaptive(o) } else { fixed(o) };
                let pixels = start.clamp(0, size) as usize..end.clamp(0, size) as usize;
                Window { pixels, padded: (end - start).max(0) as usize }
            };
            (0..outs).map(window).collect()
        };
        Self {
            y: axis(p.out_h, p.in_h, p.kernel_h, p.stride_h, p.padding_h),
            x: axis(p.out_w, p.in_w, p.kernel_w, p.stride_w, p.padding_w),
        }
    }

    /// The windows of a plane's outputs, in order.
    fn pairs(&self) -> impl Iterator<Item = (&Window, &Window)> {
        self.y.iter().flat_map(|wy| self.x.iter().map(move |wx| (wy, wx)))
    }
}

fn divisor(p: &Pool, wy: &Window, wx: &Window) -> f64 {
    if p.count_include_pad == 1 {
        return (wy.padded * wx.padded) as f64;
    }
    (wy.pixels.len() * wx.pixels.len()) as f64
}

/// Elements of a plane and of all planes.
pub struct Sizes {
    in_w: usize,
    pub input: usize,
    pub out: usize,
    pub all_in: usize,
    pub all_out: usize,
}

impl Sizes {
    pub fn new(p: &Pool) -> Self {
        let (input, out) = ((p.in_h * p.in_w) as usize, (p.out_h * p.out_w) as usize);
        let planes = p.planes as usize;
        Self { in_w: p.in_w as usize, input, out, all_in: planes * input, all_out: planes * out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::run;

    fn pool(in_w: u32, out_w: u32, kernel_w: u32, stride_w: u32, padding_w: u32) -> Pool {
        let row = Pool { planes: 1, in_h: 1, out_h: 1, kernel_h: 1, stride_h: 1, ..Default::default() };
        Pool { in_w, out_w, kernel_w, stride_w, padding_w, ..row }
    }

    #[test]
    fn the_first_maximum_and_the_first_nan_win() {
        let x = [3.0, 3.0, 1.0, f32::NAN, 9.0, f32::NAN].map(f32::to_bits);
        let (mut y, mut index) = ([0; 2], [0; 2]);
        max_pool(&pool(6, 2, 3, 3, 0), Io { reads: vec![&x], writes: vec![&mut y, &mut index] });
        assert_eq!((f32::from_bits(y[0]), f32::from_bits(y[1]).is_nan(), index), (3.0, true, [0, 3]));
    }

    #[test]
    fn indices_outside_the_plane_are_ignored() {
        let (dy, index) = ([2.0, 3.0].map(f32::to_bits), [u32::MAX, 4]);
        let mut dx = [0; 6];
        max_pool_grad(&pool(6, 2, 3, 3, 0), Io { reads: vec![&dy, &index], writes: vec![&mut dx] });
        assert_eq!(dx.map(f32::from_bits), [0.0, 0.0, 0.0, 0.0, 3.0, 0.0]);
    }

    #[test]
    fn padding_counts_if_requested_but_not_beyond_its_end() {
        // Windows [-1, 2), [1, 4), and [3, 6) cut at 4 + 1.
        let p = pool(4, 3, 3, 2, 1);
        let mut y = [0.0; 3];
        run(avg_pool, &p, &[&[1.0, 2.0, 3.0, 4.0]], &mut y);
        assert_eq!(y, [1.5, 3.0, 4.0]);
        run(avg_pool, &Pool { count_include_pad: 1, ..p }, &[&[1.0, 2.0, 3.0, 4.0]], &mut y);
        assert_eq!(y, [1.0, 3.0, 2.0]);
    }

    #[test]
    fn adaptive_windows_overlap_if_the_sizes_do_not_divide() {
        let p = Pool { adaptive: 1, ..pool(5, 3, 0, 0, 0) };
        let mut y = [0.0; 3];
        run(avg_pool, &p, &[&[1.0, 2.0, 3.0, 4.0, 5.0]], &mut y);
        assert_eq!(y, [1.5, 3.0, 4.5]);
        let mut dx = [0.0; 5];
        run(avg_pool_grad, &p, &[&[2.0, 3.0, 4.0]], &mut dx);
        assert_eq!(dx, [1.0, 2.0, 1.0, 3.0, 2.0]);
    }
}
