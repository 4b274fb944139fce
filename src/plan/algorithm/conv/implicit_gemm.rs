//! Convolution as implicit GEMM through workgroup memory, for GPUs.

use super::super::matmul::tiled;
use super::super::{Algorithm, Pass};
use super::{Geometry, Sizes, affordable_slices, correlation, in_slices};
use crate::Result;
use crate::kernel::{ConvGemm, Grid, Kernel, StorageId};
use crate::op::Lowering;
use crate::plan::NodeLowering;

const ALGORITHM: Algorithm = Algorithm::ImplicitGemm;

/// Rows, columns and terms of a phase, with the channels and taps that fill up panels.
fn sizes(kernel: &Kernel, p: &ConvGemm) -> [u64; 3] {
    let [channels, kernel_h, kernel_w] = [p.in_channels, p.kernel_h, p.kernel_w].map(u64::from);
    let [tile_k, taps] = ["tile_k", "taps"].map(|name| kernel.constant(name) as u64);
    let terms = channels.next_multiple_of(tile_k / taps) * kernel_h * kernel_w.next_multiple_of(taps);
    [p.out_channels as u64, (p.batch * p.out_h * p.out_w) as u64, terms]
}

/// Columns of all phases together, and their mean number of terms.
fn total_sizes(kernel: &Kernel, p: &ConvGemm) -> [u64; 3] {
    let sizes: Vec<[u64; 3]> = p.each_phase().map(|p| sizes(kernel, &p)).collect();
    let columns = sizes.iter().map(|[_, columns, _]| columns).sum::<u64>();
    let products = sizes.iter().map(|[_, columns, terms]| *columns as f64 * *terms as f64).sum::<f64>();
    [sizes[0][0], columns, (products / columns.max(1) as f64).ceil() as u64]
}

/// Emits one correlation. `operands`: images, weight, bias and residual, with placeholders for missing ones.
pub(super) fn correlate(
    node: &mut NodeLowering,
    pass: Pass,
    p: &ConvGemm,
    operands: [StorageId; 4],
) -> Result<()> {
    let (kernel, _) =
        tiled::choose(node.target(), pass, ALGORITHM, |kernel| total_sizes(kernel, p), p.groups as u64);
    let tiles = p.each_phase().map(|p| tiled::tiles(kernel, sizes(kernel, &p), p.groups as u64)).sum();
    let output = node.output(0);
    node.launch(kernel, p, &operands, &[output], Grid::Workgroups(tiles), correlation::flops(p))
}

/// Workgroups that fill a GPU.
const TARGET_WORKGROUPS: u64 = 512;
/// Maximum number of slices of pixels. More than elsewhere, because GPUs sum slices in a tree.
const MAX_SLICES: u32 = 512;
/// Minimum number of pixels per slice; a multiple of every tile's depth.
const MIN_PIXELS_PER_SLICE: u32 = 64;

/// Emits the weight gradient: slices of pixels in parallel, then their sum.
pub(super) fn grad_weight(node: &mut NodeLowering, g: &Geometry) -> Result<()> {
    let p = correlation::forward(g);
    let len = g.out_channels * Sizes::new(g).taps;
    let pixels = p.batch * p.out_h * p.out_w;
    let most = affordable_slices(node.target(), len, MAX_SLICES).min(pixels.div_ceil(MIN_PIXELS_PER_SLICE));
    // Columns are channels, in whole blocks, for each tap.
    let sizes = |kernel: &Kernel| {
        let channels = (p.in_channels as u64).next_multiple_of(kernel.constant("channels") as u64);
        [p.out_channels as u64, channels * (p.kernel_h * p.kernel_w) as u64, pixels as u64]
    };
    let batches = (p.groups * most) as u64;
    let (kernel, tiles) = tiled::choose(node.target(), Pass::GradWeight, ALGORITHM, sizes, batches);
    let tiles = tiles / most as u64;
    let slices = u32::try_from(TARGET_WORKGROUPS.div_ceil(tiles)).unwrap_or(most).min(most);
    let pixels_per_slice = pixels.div_ceil(slices).next_multiple_of(MIN_PIXELS_PER_SLICE);
    let slices = pixels.div_ceil(pixels_per_slice);

    let p = ConvGemm { pixels_per_slice, ..p };
    let reads = [node.input(0), node.input(1)];
    let grid = Grid::Workgroups(tiles * slices as u64);
    in_slices(node, slices, len, |node, partial| {
        node.launch(kernel, &p, &reads, &[partial], grid, correlation::flops(&p))
    })
}
