//! Twins of `im2col.wgsl` and `conv_direct.wgsl`.

use super::{Io, round};
use crate::kernel::{Conv, ConvAxis};
use rayon::prelude::*;
use std::ops::Range;

/// cols\[n, (c, ky, kx), (oy, ox)\] = the pixel that tap (ky, kx) of output (oy, ox) reads, 0 in the padding.
pub fn im2col(p: &Conv, io: Io<'_>) {
    let ([x], [cols]) = io.f32();
    let g = Geometry::new(p);
    let lines = cols[..g.chunk_planes * g.taps * g.line].par_chunks_mut(g.line);
    lines.enumerate().for_each(|(line, out)| {
        let source = &x[(g.first_plane + line / g.taps) * g.in_plane..][..g.in_plane];
        let (ky, kx) = (line % g.taps / g.x.kernel, line % g.x.kernel);
        for (i, out) in out.iter_mut().enumerate() {
            let at = g.y.input(g.rows.start + i / g.x.outs, ky).zip(g.x.input(i % g.x.outs, kx));
            *out = at.map_or(0.0, |(iy, ix)| source[iy * g.x.size + ix]);
        }
    });
}

/// Like [`im2col`], but copies runs of pixels, without bounds checks within a run.
pub fn im2col_fast(p: &Conv, io: Io<'_>) {
    let ([x], [cols]) = io.f32();
    let g = Geometry::new(p);
    let planes = cols[..g.chunk_planes * g.taps * g.line].par_chunks_mut(g.taps * g.line);
    planes.enumerate().for_each(|(plane, cols)| {
        let source = &x[(g.first_plane + plane) * g.in_plane..][..g.in_plane];
        for (tap, line) in cols.chunks_exact_mut(g.line).enumerate() {
            let (covered, run) = (g.y.covered(tap / g.x.kernel), g.x.run(tap % g.x.kernel));
            for (oy, out) in g.rows.clone().zip(line.chunks_exact_mut(g.x.outs)) {
                if !covered.contains(&oy) {
                    out.fill(0.0);
                    continue;
                }
                out[..run.outs.start].fill(0.0);
                out[run.outs.end..].fill(0.0);
                let iy = g.y.reads(oy, tap / g.x.kernel);
                let (out, pixels) =
                    (&mut out[run.outs.clone()], &source[iy * g.x.size..][run.pixels.clone()]);
                if g.x.stride == 1 {
                    out.copy_from_slice(pixels);
                } else {
                    out.iter_mut().zip(pixels.iter().step_by(g.x.stride)).for_each(|(out, &v)| *out = v);
                }
            }
        }
    });
}

/// dx = for each pixel, the sum of the elements of cols that [`im2col`] copies it to.
pub fn col2im(p: &Conv, io: Io<'_>) {
    let ([cols], [dx]) = io.f32();
    let g = Geometry::new(p);
    let planes = dx[g.first_plane * g.in_plane..][..g.chunk_planes * g.in_plane].par_chunks_mut(g.in_plane);
    planes.enumerate().for_each(|(plane, dx)| {
        let mut sums: Vec<f64> =
            dx.iter().map(|&v| if p.accumulate == 1 { f64::from(v) } else { 0.0 }).collect();
        for (i, &v) in cols[plane * g.taps * g.line..][..g.taps * g.line].iter().enumerate() {
            let (tap, oy, ox) = (i / g.line, g.rows.start + i % g.line / g.x.outs, i % g.x.outs);
            let at = g.y.input(oy, tap / g.x.kernel).zip(g.x.input(ox, tap % g.x.kernel));
            if let Some((iy, ix)) = at {
                sums[iy * g.x.size + ix] += f64::from(v);
            }
        }
        round(&sums, dx);
    });
}

/// Like [`col2im`], but adds runs of pixels, in `f32`.
pub fn col2im_fast(p: &Conv, io: Io<'_>) {
    let ([cols], [dx]) = io.f32();
    let g = Geometry::new(p);
    let planes = dx[g.first_plane * g.in_plane..][..g.chunk_planes * g.in_plane].par_chunks_mut(g.in_plane);
    planes.zip(cols.par_chunks_exact(g.taps * g.line)).for_each(|(dx, cols)| {
        if p.accumulate != 1 {
            dx.fill(0.0);
        }
        for (tap, line) in cols.chunks_exact(g.line).enumerate() {
            g.runs_of_tap(tap, g.rows.clone(), |outs, pixels| {
                let (line, pixels) = (&line[outs], &mut dx[pixels]);
                if g.x.stride == 1 {
                    pixels.iter_mut().zip(line).for_each(|(dx, v)| *dx += v);
                } else {
                    pixels.iter_mut().step_by(g.x.stride).zip(line).for_each(|(dx, v)| *dx += v);
                }
            });
        }
    });
}

/// y\[n, o\] = bias\[o\] + the sum over the channels of o's group and all taps of x * w.
pub fn conv_direct(p: &Conv, io: Io<'_>) {
    let ([x, w, bias], [y]) = io.f32();
    let g = Geometry::new(p);
    let planes = y[..g.batch * g.out_channels * g.out_plane].par_chunks_mut(g.out_plane);
    planes.enumerate().for_each(|(plane, y)| {
        let (n, o) = (plane / g.out_channels, plane % g.out_channels);
        let start = if p.has_bias == 1 { f64::from(bias[o]) } else { 0.0 };
        let mut sums = vec![start; g.out_plane];
        for c in 0..g.group_in {
            let x = g.input_plane(x, n, g.group_of(o) * g.group_in + c);
            g.each_run(g.filter(w, o, c), |w, outs, pixels| {
                let pixels = x[pixels].iter().step_by(g.x.stride);
                sums[outs].iter_mut().zip(pixels).for_each(|(sum, &x)| *sum += w * f64::from(x));
            });
        }
        round(&sums, y);
    });
}

/// dx\[n, c\] = the sum over the outputs o of c's group and all taps of dy * w.
pub fn conv_direct_grad_input(p: &Conv, io: Io<'_>) {
    let ([dy, w], [dx]) = io.f32();
    let g = Geometry::new(p);
    let planes = dx[..g.batch * g.in_channels * g.in_plane].par_chunks_mut(g.in_plane);
    planes.enumerate().for_each(|(plane, dx)| {
        let (n, channel) = (plane / g.in_channels, plane % g.in_channels);
        let mut sums = vec![0.0; g.in_plane];
        for o in (0..g.group_out).map(|o| channel / g.group_in * g.group_out + o) {
            let dy = g.output_plane(dy, n, o);
            g.each_run(g.filter(w, o, channel % g.group_in), |w, outs, pixels| {
                let pixels = sums[pixels].iter_mut().step_by(g.x.stride);
                pixels.zip(&dy[outs]).for_each(|(sum, &dy)| *sum += w * f64::from(dy));
            });
        }
        round(&sums, dx);
    });
}

/// dw\[o, c, ky, kx\] = the sum over images and outputs of dy * x.
pub fn conv_direct_grad_weight(p: &Conv, io: Io<'_>) {
    let ([dy, x], [dw]) = io.f32();
    let g = Geometry::new(p);
    let filters = dw[..g.out_channels * g.group_in * g.taps].par_chunks_mut(g.taps);
    filters.enumerate().for_each(|(filter, dw)| {
        let (o, c) = (filter / g.group_in, filter % g.group_in);
        for (tap, dw) in dw.iter_mut().enumerate() {
            let mut sum = 0.0;
            for n in 0..g.batch {
                let (dy, x) = (g.output_plane(dy, n, o), g.input_plane(x, n, g.group_of(o) * g.group_in + c));
                g.runs_of_tap(tap, 0..g.y.outs, |outs, pixels| {
                    let products = dy[outs].iter().zip(x[pixels].iter().step_by(g.x.stride));
                    sum += products.map(|(&dy, &x)| f64::from(dy) * f64::from(x)).sum::<f64>();
                });
            }
            *dw = sum as f32;
        }
    });
}

/// The outputs of a row for which a tap is inside the image, and the range of pixels that it reads.
struct Run {
    outs: Range<usize>,
    pixels: Range<usize>,
}

impl ConvAxis {
    /// The pixel that tap `k` of output `o` reads, if it is in the image.
    fn input(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation).checked_sub(self.padding).filter(|&i| i < self.size)
    }

    /// Like [`input`](Self::input), for a tap that is inside the image.
    fn reads(&self, o: usize, k: usize) -> usize {
        o * self.stride + k * self.dilation - self.padding
    }

    /// The outputs for which tap `k` is inside the image.
    fn covered(&self, k: usize) -> Range<usize> {
        let before =
            |pixel: usize| (pixel + self.padding).saturating_sub(k * self.dilation).div_ceil(self.stride);
        let end = before(self.size).min(self.outs);
        before(0).min(end)..end
    }

    fn run(&self, k: usize) -> Run {
        let outs = self.covered(k);
        let pixels =
            if outs.is_empty() { 0..0 } else { self.reads(outs.start, k)..self.reads(outs.end - 1, k) + 1 };
        Run { outs, pixels }
    }
}

/// A convolution's sizes as `usize`.
pub(super) struct Geometry {
    pub(super) y: ConvAxis,
    pub(super) x: ConvAxis,
    pub(super) batch: usize,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) group_in: usize,
    pub(super) group_out: usize,
    pub(super) taps: usize,
    pub(super) in_plane: usize,
    pub(super) out_plane: usize,
    /// Output rows of this launch.
    pub(super) rows: Range<usize>,
    /// Outputs of this launch in one plane.
    pub(super) line: usize,
    pub(super) first_plane: usize,
    pub(super) chunk_planes: usize,
}

impl Geometry {
    pub(super) fn new(p: &Conv) -> Self {
        let [y, x] = p.axes();
        let [in_channels, out_channels, groups] =
            [p.in_channels, p.out_channels, p.groups].map(|v| v as usize);
        Self {
            taps: y.kernel * x.kernel,
            in_plane: y.size * x.size,
            out_plane: y.outs * x.outs,
            rows: p.row_start as usize..(p.row_start + p.rows) as usize,
            line: p.rows as usize * x.outs,
            y,
            x,
            batch: p.batch as usize,
            in_channels,
            out_channels,
            group_in: in_channels / groups,
            group_out: out_channels / groups,
            first_plane: p.image_start as usize * in_channels,
            chunk_planes: p.images as usize * in_channels,
        }
    }

    fn group_of(&self, o: usize) -> usize {
        o / self.group_out
    }

    fn input_plane<'a>(&self, x: &'a [f32], n: usize, channel: usize) -> &'a [f32] {
        &x[(n * self.in_channels + channel) * self.in_plane..][..self.in_plane]
    }

    fn output_plane<'a>(&self, y: &'a [f32], n: usize, o: usize) -> &'a [f32] {
        &y[(n * self.out_channels + o) * self.out_plane..][..self.out_plane]
    }

    fn filter<'a>(&self, w: &'a [f32], o: usize, c: usize) -> &'a [f32] {
        &w[(o * self.group_in + c) * self.taps..][..self.taps]
    }

    /// Calls `f` with the outputs and pixels of each row that `tap` reads for some rows of outputs. The first of these rows
    /// starts at output 0.
    fn runs_of_tap(&self, tap: usize, rows: Range<usize>, mut f: impl FnMut(Range<usize>, Range<usize>)) {
        let (ky, run) = (tap / self.x.kernel, self.x.run(tap % self.x.kernel));
        let covered = self.y.covered(ky);
        for oy in covered.start.max(rows.start)..covered.end.min(rows.end) {
            let (out, pixel) = ((oy - rows.start) * self.x.outs, self.y.reads(oy, ky) * self.x.size);
            f(out + run.outs.start..out + run.outs.end, pixel + run.pixels.start..pixel + run.pixels.end);
        }
    }

    /// Calls `f` with the weight of each tap of a filter, and the outputs and pixels of each row that it reads.
    fn each_run(&self, filter: &[f32], mut f: impl FnMut(f64, Range<usize>, Range<usize>)) {
        for (tap, &w) in filter.iter().enumerate() {
            self.runs_of_tap(tap, 0..self.y.outs, |outs, pixels| f(f64::from(w), outs, pixels));
        }
    }
}

#[cfg(test)]
mod tests;
