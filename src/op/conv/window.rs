//! Convolution without unfolding, for software adapters whose lanes hand numbers to each other.

use super::super::reduce::slice_sum;
use super::{Geometry, Sizes, affordable_slices};
use crate::Result;
use crate::kernel::{self, ConvPack, ConvWindow, Kernel};
use crate::plan::{Grid, Lowering, StorageId};

/// Columns of results that an invocation computes.
const COLUMNS: u32 = 4;

/// The kernels of the convolution itself and of its transpose. The first that fits is taken.
static FORWARD: [&Kernel; 11] = [
    &kernel::CONV_WINDOW_3X3_HANDED,
    &kernel::CONV_WINDOW_3X3_QUADS,
    &kernel::CONV_WINDOW_3X3,
    &kernel::CONV_WINDOW_3X3_STRIDE2_HANDED,
    &kernel::CONV_WINDOW_3X3_STRIDE2_QUADS,
    &kernel::CONV_WINDOW_3X3_STRIDE2,
    &kernel::CONV_WINDOW_1X1_QUADS,
    &kernel::CONV_WINDOW_1X1,
    &kernel::CONV_WINDOW_1X1_STRIDE2,
    &kernel::CONV_WINDOW_1X3,
    &kernel::CONV_WINDOW_1X3_STRIDE2,
];

/// The kernels of the weight gradient. The first that fits is taken.
static GRAD_WEIGHT: [&Kernel; 9] = [
    &kernel::CONV_GRAD_WEIGHT_3X3_QUADS,
    &kernel::CONV_GRAD_WEIGHT_3X3,
    &kernel::CONV_GRAD_WEIGHT_3X3_STRIDE2_QUADS,
    &kernel::CONV_GRAD_WEIGHT_3X3_STRIDE2,
    &kernel::CONV_GRAD_WEIGHT_1X1_QUADS,
    &kernel::CONV_GRAD_WEIGHT_1X1,
    &kernel::CONV_GRAD_WEIGHT_1X1_STRIDE2,
    &kernel::CONV_GRAD_WEIGHT_1X3,
    &kernel::CONV_GRAD_WEIGHT_1X3_STRIDE2,
];

/// Whether a kernel can compute this, on subgroups of so many lanes.
fn fits(kernel: &Kernel, p: &ConvWindow, subgroup: u32) -> bool {
    let [taps_h, taps_w, stride] = ["taps_h", "taps_w", "stride"].map(|name| kernel.constant(name));
    let whole = [p.kernel_h, p.kernel_w] == [taps_h, taps_w];
    // A window of several rows shares them between the rows of a tile, so they must be neighbours.
    let rows = taps_h == 1 || (p.stride_h == stride && p.dilation_h == 1);
    // Kernels of any size are walked in windows of 1 x 3.
    let window = p.stride_w == stride && rows && (whole || [taps_h, taps_w] == [1, 3]);
    // Quads must lie within a row, the tile's first pixel must begin one, and results must lie likewise.
    let quads = whole
        && p.padding_w == (taps_w - 1) / 2
        && p.in_w % (COLUMNS * stride) == 0
        && p.out_w * stride == p.in_w
        && [p.y_start, p.y_right] == [0, 1];
    let flag = |name| kernel.has(name);
    window
        && (!flag("quads") || quads)
        && (!flag("handed") || p.out_w.div_ceil(COLUMNS).next_power_of_two() <= subgroup)
}

fn choose(kernels: &[&'static Kernel], p: &ConvWindow, subgroup: u32) -> &'static Kernel {
    let fitting = kernels.iter().find(|kernel| fits(kernel, p, subgroup));
    fitting.expect("`method` admits strides 1 and 2, and kernels of any size are walked in windows of three")
}

/// The kernel's parameters for the convolution itself, less what depends on the choice of the kernel.
fn params(g: &Geometry) -> ConvWindow {
    ConvWindow {
        batch: g.batch,
        in_channels: g.in_channels / g.groups,
        in_h: g.in_h,
        in_w: g.in_w,
        out_channels: g.out_channels / g.groups,
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
        y_plane: g.out_h * g.out_w,
        y_down: g.out_w,
        y_right: 1,
        has_bias: g.has_bias,
        ..Default::default()
    }
}

/// Where the weights of the convolution itself lie.
fn weights(g: &Geometry) -> ConvPack {
    let s = Sizes::new(g);
    ConvPack {
        w_group: s.outs * s.taps,
        w_out: s.taps,
        w_in: g.kernel_h * g.kernel_w,
        w_down: g.kernel_w,
        w_right: 1,
        ..Default::default()
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

/// The gradient with respect to the pixels of one phase: a convolution of the upstream gradient with every
/// stride-th tap of the filters, turned around, and the channels' roles exchanged.
fn transposed(g: &Geometry, [phase_h, phase_w]: [u32; 2]) -> (ConvWindow, ConvPack) {
    let (p, w) = (params(g), weights(g));
    let (first_h, kernel_h, padding_h) =
        phase_taps(phase_h, [g.kernel_h, g.stride_h, g.dilation_h, g.padding_h]);
    let (first_w, kernel_w, padding_w) =
        phase_taps(phase_w, [g.kernel_w, g.stride_w, g.dilation_w, g.padding_w]);
    let last = |first: u32, count: u32, stride: u32| first + count.saturating_sub(1) * stride;
    let params = ConvWindow {
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
        y_plane: g.in_h * g.in_w,
        y_start: phase_h * g.in_w + phase_w,
        y_down: g.stride_h * g.in_w,
        y_right: g.stride_w,
        has_bias: 0,
        ..p
    };
    let weights = ConvPack {
        w_out: w.w_in,
        w_in: w.w_out,
        w_start: last(first_h, kernel_h, g.stride_h) * g.kernel_w + last(first_w, kernel_w, g.stride_w),
        w_down: (g.stride_h * g.kernel_w).wrapping_neg(),
        w_right: g.stride_w.wrapping_neg(),
        ..w
    };
    (params, weights)
}

fn flops(g: &Geometry) -> u64 {
    let s = Sizes::new(g);
    2 * (g.batch * g.out_channels) as u64 * s.pixels as u64 * s.taps as u64
}

/// Emits a convolution: its weights put in order, then the kernel that suits it.
fn convolve(
    node: &mut Lowering,
    (p, weights): (ConvWindow, ConvPack),
    [x, weight, bias]: [StorageId; 3],
    flops: u64,
) -> Result<()> {
    let subgroup = node.target().subgroup;
    let kernel = choose(&FORWARD, &p, subgroup);
    let [taps_h, taps_w, rows, channels] =
        ["taps_h", "taps_w", "rows", "channels"].map(|name| kernel.constant(name));
    let across = p.out_w.div_ceil(COLUMNS);
    let p = ConvWindow {
        across: if kernel.has("handed") { across.next_power_of_two() } else { across },
        // Every lane loads four numbers at a time.
        line: (taps_h * taps_w * channels).next_multiple_of(4 * subgroup),
        channels,
        taps_h,
        taps_w,
        ..p
    };
    let blocks = p.groups * p.out_channels.div_ceil(channels);
    let windows = p.kernel_h.div_ceil(taps_h) * p.kernel_w.div_ceil(taps_w);
    let len = p.in_channels * windows * blocks * p.line;
    // Where no tap reads a pixel, as between the steps of a large stride, its gradient is 0.
    let packed = node.scratch("weights in order", len.max(p.line) as usize);
    if len > 0 {
        let pack = ConvPack {
            len,
            in_channels: p.in_channels,
            out_channels: p.out_channels,
            kernel_h: p.kernel_h,
            kernel_w: p.kernel_w,
            taps_h,
            taps_w,
            channels,
            line: p.line,
            ..weights
        };
        node.launch(&kernel::CONV_PACK, &pack, &[weight], &[packed], Grid::Invocations(len as u64), 0)?;
    }
    let tiles = p.batch as u64 * p.out_h.div_ceil(rows) as u64 * p.across as u64;
    let grid = Grid::Workgroups(tiles.div_ceil(kernel.threads as u64) * blocks as u64);
    let output = node.output(0);
    node.launch(kernel, &p, &[x, packed, bias], &[output], grid, flops)
}

/// y = x * w + bias.
pub(super) fn forward(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let bias = node.input(if g.has_bias == 1 { 2 } else { 1 });
    let operands = [node.input(0), node.input(1), bias];
    convolve(node, (params(g), weights(g)), operands, flops(g))
}

/// The upstream gradient convolved with the filters turned around, phase by phase.
pub(super) fn grad_input(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let operands = [node.input(0), node.input(1), node.input(1)];
    for phase_h in 0..g.stride_h.min(g.in_h) {
        for phase_w in 0..g.stride_w.min(g.in_w) {
            let (p, weights) = transposed(g, [phase_h, phase_w]);
            let pairs = 2 * (g.batch * g.in_channels) as u64 * (g.out_channels / g.groups) as u64;
            let flops = pairs * (p.out_h * p.out_w) as u64 * (p.kernel_h * p.kernel_w) as u64;
            convolve(node, (p, weights), operands, flops)?;
        }
    }
    Ok(())
}

/// Subgroups that are enough to keep every core busy.
const ENOUGH: u32 = 512;

/// Slices of pictures in parallel, then the sum of the slices.
pub(super) fn grad_weight(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let subgroup = node.target().subgroup;
    let p = params(g);
    let kernel = choose(&GRAD_WEIGHT, &p, subgroup);
    let [taps_h, taps_w, channels] = ["taps_h", "taps_w", "channels"].map(|name| kernel.constant(name));
    let pairs = p.in_channels * p.kernel_h.div_ceil(taps_h) * p.kernel_w.div_ceil(taps_w);
    let work = pairs.div_ceil(subgroup) * p.groups * p.out_channels.div_ceil(channels);

    let len = g.out_channels * Sizes::new(g).taps;
    let slices = affordable_slices(node.target(), len).min(ENOUGH.div_ceil(work));
    let images_per_slice = g.batch.div_ceil(slices);
    let slices = g.batch.div_ceil(images_per_slice);
    let partial = if slices == 1 { node.output(0) } else { node.scratch("slices", (slices * len) as usize) };
    let p = ConvWindow { images_per_slice, ..p };
    let subgroups = slices as u64 * work as u64;
    let grid = Grid::Workgroups(subgroups.div_ceil((kernel.threads / subgroup) as u64));
    let reads = [node.input(0), node.input(1)];
    node.launch(kernel, &p, &reads, &[partial], grid, flops(g))?;
    if slices > 1 {
        slice_sum(node, partial, node.output(0), [slices as usize, len as usize], 1.0, false)?;
    }
    Ok(())
}
