//! Fast twins of `conv_direct.wgsl`.

use super::super::Io;
use super::correlation::{Correlation, Strides, images_per_tile, rows_that_fit};
use super::panel::Axis;
use crate::kernel::{Conv, ConvAxis};
use crate::runtime::cpu::conv::Geometry;
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Range;

/// y\[n, o\] = bias\[o\] + the sum over the channels of o's group and all taps of x * w.
pub fn forward(p: &Conv, io: Io<'_>) {
    forward_on(Arch::new(), p, io);
}

fn forward_on(arch: Arch, p: &Conv, io: Io<'_>) {
    let ([x, w, bias], [y]) = io.f32();
    let g = Geometry::new(p);
    let axes = [&Axis::forward(&g.y), &Axis::forward(&g.x)];
    let rows = rows_per_task(&g, axes, g.group_in);
    let strides = Strides {
        result: g.group_in * g.taps,
        source: g.taps,
        group: g.group_out * g.group_in * g.taps,
        down: g.x.kernel,
    };
    let sums = Correlation::new(arch, axes, [g.group_in, g.group_out], p.groups as usize, rows, w, strides);
    let y = &mut y[..g.batch * g.out_channels * g.out_plane];
    let parts =
        parts(y, g.out_channels, g.out_plane, rows * g.x.outs, images_per_tile(arch, g.out_plane, g.batch));
    parts.into_par_iter().for_each_init(Vec::new, |panel, mut part| {
        for group in 0..p.groups as usize {
            let source = |n| &x[(n * g.in_channels + group * g.group_in) * g.in_plane..];
            let sources: Vec<&[f32]> = part.images.clone().map(source).collect();
            let bias = (p.has_bias == 1).then(|| &bias[group * g.group_out..]);
            let row = part.index * rows;
            let mut results = part.planes(group * g.group_out..(group + 1) * g.group_out);
            sums.run(group, &sources, row, &mut results, bias, panel);
        }
    });
}

/// dx\[n, c\] = the sum over the outputs o of c's group and all taps of dy * w.
///
/// Polyphase: each set of pixels one stride apart is a convolution of dy with some of the taps, rotated by 180 degrees.
pub fn grad_input(p: &Conv, io: Io<'_>) {
    grad_input_on(Arch::new(), p, io);
}

fn grad_input_on(arch: Arch, p: &Conv, io: Io<'_>) {
    let ([dy, w], [dx]) = io.f32();
    let g = Geometry::new(p);
    let strides = Strides {
        result: g.taps,
        source: g.group_in * g.taps,
        group: g.group_out * g.group_in * g.taps,
        down: g.x.kernel,
    };
    let phases_of = |axis: ConvAxis| -> Vec<(usize, Axis)> {
        axis.phases().map(|phase| (phase.start, Axis::transposed(axis, phase))).collect()
    };
    let (vertical, horizontal) = (phases_of(g.y), phases_of(g.x));
    let rows = rows_per_task(&g, [&vertical[0].1, &horizontal[0].1], g.group_out);
    let mut phases = Vec::new();
    for (top, y) in &vertical {
        for (left, x) in &horizontal {
            let planes = [g.group_out, g.group_in];
            let sums = Correlation::new(arch, [y, x], planes, p.groups as usize, rows, w, strides);
            phases.push((*top, *left, x.outs, sums));
        }
    }
    let dx = &mut dx[..g.batch * g.in_channels * g.in_plane];
    let together = images_per_tile(arch, vertical[0].1.outs * horizontal[0].1.outs, g.batch);
    let parts = parts(dx, g.in_channels, g.in_plane, rows * g.y.stride * g.x.size, together);
    let scratch = <(Vec<f32>, Vec<f32>)>::default;
    parts.into_par_iter().for_each_init(scratch, |(panel, phase), mut part| {
        for group in 0..p.groups as usize {
            let source = |n| &dy[(n * g.out_channels + group * g.group_out) * g.out_plane..];
            let sources: Vec<&[f32]> = part.images.clone().map(source).collect();
            let row = part.index * rows;
            let mut planes = part.planes(group * g.group_in..(group + 1) * g.group_in);
            for (top, left, width, sums) in &phases {
                if g.y.stride == 1 && g.x.stride == 1 {
                    sums.run(group, &sources, row, &mut planes, None, panel);
                    continue;
                }
                let height = (planes[0].len() / g.x.size).saturating_sub(*top).div_ceil(g.y.stride);
                if height == 0 {
                    continue;
                }
                phase.resize(planes.len() * height * width, 0.0);
                let mut results: Vec<&mut [f32]> = phase.chunks_exact_mut(height * width).collect();
                sums.run(group, &sources, row, &mut results, None, panel);
                for (plane, results) in planes.iter_mut().zip(results) {
                    for (row, results) in results.chunks_exact(*width).enumerate() {
                        let dx = &mut plane[(row * g.y.stride + top) * g.x.size..][*left..g.x.size];
                        dx.iter_mut().step_by(g.x.stride).zip(results).for_each(|(dx, &v)| *dx = v);
                    }
                }
            }
        }
    });
}

/// Rows of results per task: as many as fit the cache, but fewer if there are too few images to keep all threads busy.
fn rows_per_task(g: &Geometry, axes: [&Axis; 2], planes: usize) -> usize {
    let all = g.batch * axes[0].outs;
    let fair = all.div_ceil(4 * rayon::current_num_threads());
    rows_that_fit(axes[0], axes[1], planes).min(fair.max(1))
}

/// What a task computes: rows of one image, or several whole images.
struct Part<'a> {
    images: Range<usize>,
    /// Index among the parts of an image.
    index: usize,
    /// Its rows of each plane, image by image.
    rows: Vec<&'a mut [f32]>,
}

impl Part<'_> {
    /// Its rows of these planes of each image.
    fn planes(&mut self, planes: Range<usize>) -> Vec<&mut [f32]> {
        let channels = self.rows.len() / self.images.len();
        let images = self.rows.chunks_mut(channels);
        images.flat_map(|image| image[planes.clone()].iter_mut().map(|rows| &mut **rows)).collect()
    }
}

/// Splits images into parts of `len` elements per plane, or if that is all, into parts of `together` images.
fn parts(images: &mut [f32], channels: usize, plane: usize, len: usize, together: usize) -> Vec<Part<'_>> {
    let count = plane.div_ceil(len);
    let together = if count == 1 { together } else { 1 };
    let mut all = Vec::new();
    for (i, images) in images.chunks_mut(together * channels * plane).enumerate() {
        let first = all.len();
        let own = i * together..i * together + images.len() / (channels * plane);
        all.extend((0..count).map(|index| Part { images: own.clone(), index, rows: Vec::new() }));
        for plane in images.chunks_exact_mut(plane) {
            all[first..].iter_mut().zip(plane.chunks_mut(len)).for_each(|(part, rows)| part.rows.push(rows));
        }
    }
    all
}

#[cfg(test)]
mod tests;
