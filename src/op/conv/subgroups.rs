//! Convolution without unfolding, for targets whose lanes hand numbers to each other.

use super::super::reduce::slice_sum;
use super::{Geometry, Sizes, affordable_slices};
use crate::Result;
use crate::kernel::{self, ConvSubgroups};
use crate::plan::{Grid, Lowering};

/// Channels that an invocation computes.
const CHANNELS: u32 = 16;
/// Pixels of a row that it computes.
const PIXELS: u32 = 8;
/// Invocations a workgroup.
const LANES: u64 = 64;
/// Filter columns that share a row of pixels.
const COLUMNS: u32 = 3;

/// The kernel's parameters for the convolution itself.
fn params(g: &Geometry) -> ConvSubgroups {
    let s = Sizes::new(g);
    let taps = g.kernel_h * g.kernel_w;
    ConvSubgroups {
        batch: g.batch,
        in_channels: g.in_channels / g.groups,
        in_h: g.in_h,
        in_w: g.in_w,
        out_channels: s.outs,
        out_h: g.out_h,
        out_w: g.out_w,
        kernel_h: g.kernel_h,
        kernel_w: g.kernel_w,
        stride_h: g.stride_h,
        stride_w: g.stride_w,
        dilation_h: g.dilation_h,
        padding_h: g.padding_h,
        padding_w: g.padding_w,
        groups: g.groups,
        w_group: s.outs * s.taps,
        w_out: s.taps,
        w_in: taps,
        w_start: 0,
        w_down: g.kernel_w,
        w_right: 1,
        y_plane: s.pixels,
        y_start: 0,
        y_down: g.out_w,
        y_right: 1,
        has_bias: g.has_bias,
        images_per_slice: 0,
    }
}

/// The taps that a convolution of this stride reads the pixels of one phase by (those at `phase`, `phase` +
/// stride, ... along an axis): the first, how many, and the padding that makes them a convolution of
/// stride 1 over the outputs, with its taps in falling order.
fn phase_taps(phase: u32, [kernel, stride, dilation, padding]: [u32; 4]) -> (u32, u32, u32) {
    if stride == 1 {
        return (0, kernel, (dilation * (kernel - 1)).wrapping_sub(padding));
    }
    // Output o reads pixel i by tap k if i = o * stride - padding + k (no dilation at larger strides).
    let first = (phase + padding) % stride;
    let count = kernel.saturating_sub(first).div_ceil(stride);
    let nearest = (phase + padding - first) / stride;
    (first, count, count.wrapping_sub(1).wrapping_sub(nearest))
}

/// The same for the gradient with respect to the pixels of one phase: a convolution of the upstream gradient
/// with every stride-th tap of the filters, turned around, and the channels' roles exchanged.
fn transposed(g: &Geometry, [phase_h, phase_w]: [u32; 2]) -> ConvSubgroups {
    let p = params(g);
    let (first_h, kernel_h, padding_h) =
        phase_taps(phase_h, [g.kernel_h, g.stride_h, g.dilation_h, g.padding_h]);
    let (first_w, kernel_w, padding_w) =
        phase_taps(phase_w, [g.kernel_w, g.stride_w, g.dilation_w, g.padding_w]);
    let last = |first: u32, count: u32, stride: u32| first + count.saturating_sub(1) * stride;
    ConvSubgroups {
        in_channels: p.out_channels,
        in_h: g.out_h,
        in_w: g.out_w,
        out_channels: p.in_channels,
        out_h: (g.in_h - phase_h).div_ceil(g.stride_h),
        out_w: (g.in_w - phase_w).div_ceil(g.stride_w),
        kernel_h,
        kernel_w,
        stride_h: 1,
        stride_w: 1,
        padding_h,
        padding_w,
        w_out: p.w_in,
        w_in: p.w_out,
        w_start: last(first_h, kernel_h, g.stride_h) * g.kernel_w + last(first_w, kernel_w, g.stride_w),
        w_down: (g.stride_h * g.kernel_w).wrapping_neg(),
        w_right: g.stride_w.wrapping_neg(),
        y_plane: g.in_h * g.in_w,
        y_start: phase_h * g.in_w + phase_w,
        y_down: g.stride_h * g.in_w,
        y_right: g.stride_w,
        has_bias: 0,
        ..p
    }
}

fn grid(p: &ConvSubgroups) -> Grid {
    let row_tiles = (p.batch * p.out_h) as u64 * p.out_w.div_ceil(PIXELS) as u64;
    Grid::Workgroups(row_tiles.div_ceil(LANES) * (p.groups * p.out_channels.div_ceil(CHANNELS)) as u64)
}

fn flops(g: &Geometry) -> u64 {
    let s = Sizes::new(g);
    2 * (g.batch * g.out_channels) as u64 * s.pixels as u64 * s.taps as u64
}

/// y = x * w + bias.
pub(super) fn forward(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let p = params(g);
    let bias = node.input(if g.has_bias == 1 { 2 } else { 1 });
    let (reads, writes) = ([node.input(0), node.input(1), bias], [node.output(0)]);
    let kernel = match g.stride_w {
        1 => &kernel::CONV_SUBGROUPS,
        _ => &kernel::CONV_SUBGROUPS_STRIDE2,
    };
    node.launch(kernel, &p, &reads, &writes, grid(&p), flops(g))
}

/// The upstream gradient convolved with the filters turned around, phase by phase.
pub(super) fn grad_input(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let (reads, writes) = ([node.input(0), node.input(1), node.input(1)], [node.output(0)]);
    for phase_h in 0..g.stride_h.min(g.in_h) {
        for phase_w in 0..g.stride_w.min(g.in_w) {
            let p = transposed(g, [phase_h, phase_w]);
            let pairs = 2 * (g.batch * g.in_channels) as u64 * (g.out_channels / g.groups) as u64;
            let flops = pairs * (p.out_h * p.out_w) as u64 * (p.kernel_h * p.kernel_w) as u64;
            node.launch(&kernel::CONV_SUBGROUPS, &p, &reads, &writes, grid(&p), flops)?;
        }
    }
    Ok(())
}

/// Slices of pictures in parallel, then the sum of the slices.
pub(super) fn grad_weight(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let len = g.out_channels * Sizes::new(g).taps;
    let images_per_slice = g.batch.div_ceil(affordable_slices(node.target(), len));
    let slices = g.batch.div_ceil(images_per_slice);
    let p = ConvSubgroups { images_per_slice, ..params(g) };
    let partial = if slices == 1 { node.output(0) } else { node.scratch("slices", (slices * len) as usize) };
    let triples = p.in_channels as u64 * p.kernel_h as u64 * p.kernel_w.div_ceil(COLUMNS) as u64;
    let blocks = (p.groups * p.out_channels.div_ceil(CHANNELS)) as u64;
    let grid = Grid::Workgroups(slices as u64 * blocks * triples.div_ceil(LANES));
    let reads = [node.input(0), node.input(1)];
    let kernel = match g.stride_w {
        1 => &kernel::CONV_SUBGROUPS_GRAD_WEIGHT,
        _ => &kernel::CONV_SUBGROUPS_STRIDE2_GRAD_WEIGHT,
    };
    node.launch(kernel, &p, &reads, &[partial], grid, flops(g))?;
    if slices > 1 {
        slice_sum(node, partial, node.output(0), [slices as usize, len as usize], 1.0, false)?;
    }
    Ok(())
}
