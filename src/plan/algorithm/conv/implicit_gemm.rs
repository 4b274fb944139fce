//! Convolution as implicit GEMM through workgroup memory, for GPUs.

use super::super::matmul::tiled;
use super::super::{Algorithm, Candidate, Pass};
use super::{Geometry, Sizes, affordable_slices, correlation, sum_slices};
use crate::Result;
use crate::kernel::{self, ConvGemm, Grid, Kernel, StorageId};
use crate::op::Lowering;
use crate::plan::NodeLowering;

const fn correlates(kernel: &'static Kernel) -> Candidate {
    Candidate { passes: &[Pass::Forward, Pass::GradInput], algorithm: ALGORITHM, kernel }
}

const fn grad_weight_by(kernel: &'static Kernel) -> Candidate {
    Candidate { passes: &[Pass::GradWeight], algorithm: ALGORITHM, kernel }
}

const ALGORITHM: Algorithm = Algorithm::ImplicitGemm;

/// Largest tile first: for 3 x 3 filters, for 1 x 1 filters, and for any others.
pub static CANDIDATES: [Candidate; 22] = [
    correlates(&kernel::CONV_GEMM_3X3_128X128),
    correlates(&kernel::CONV_GEMM_3X3_64X128),
    correlates(&kernel::CONV_GEMM_3X3_64X64),
    correlates(&kernel::CONV_GEMM_3X3_32X128),
    correlates(&kernel::CONV_GEMM_3X3_16X128),
    correlates(&kernel::CONV_GEMM_1X1_128X128),
    correlates(&kernel::CONV_GEMM_1X1_64X128),
    correlates(&kernel::CONV_GEMM_1X1_64X64),
    correlates(&kernel::CONV_GEMM_1X1_32X128),
    correlates(&kernel::CONV_GEMM_1X1_16X128),
    correlates(&kernel::CONV_GEMM_128X128),
    correlates(&kernel::CONV_GEMM_64X128),
    correlates(&kernel::CONV_GEMM_64X64),
    correlates(&kernel::CONV_GEMM_32X128),
    correlates(&kernel::CONV_GEMM_16X128),
    grad_weight_by(&kernel::CONV_GEMM_GRAD_WEIGHT_128X128),
    grad_weight_by(&kernel::CONV_GEMM_GRAD_WEIGHT_64X128),
    grad_weight_by(&kernel::CONV_GEMM_GRAD_WEIGHT_64X64),
    grad_weight_by(&kernel::CONV_GEMM_GRAD_WEIGHT_32X128),
    grad_weight_by(&kernel::CONV_GEMM_GRAD_WEIGHT_32X64),
    grad_weight_by(&kernel::CONV_GEMM_GRAD_WEIGHT_16X128),
    grad_weight_by(&kernel::CONV_GEMM_GRAD_WEIGHT_16X64),
];

/// Whether a kernel is for these taps: a specialized one for 3 x 3 and 1 x 1, a general one for the rest.
fn has_taps(kernel: &Kernel, p: &ConvGemm) -> bool {
    let taps = match [p.kernel_h, p.kernel_w] {
        square @ ([3, 3] | [1, 1]) => square,
        _ => [0, 0],
    };
    ["taps_h", "taps_w"].map(|name| kernel.constant(name)) == taps
}

/// Emits one correlation. `operands`: images, weight, bias and residual; a placeholder where there is none.
pub(super) fn correlate(
    node: &mut NodeLowering,
    pass: Pass,
    p: &ConvGemm,
    operands: [StorageId; 4],
) -> Result<()> {
    let sizes = [p.out_channels, p.batch * p.out_h * p.out_w];
    let taps = |kernel: &Kernel| has_taps(kernel, p);
    let (kernel, tiles) = tiled::choose(node.target(), pass, ALGORITHM, taps, sizes, p.groups as u64);
    let output = node.output(0);
    node.launch(kernel, p, &operands, &[output], Grid::Workgroups(tiles), correlation::flops(p))
}

/// Workgroups that fill a GPU.
const TARGET_WORKGROUPS: u64 = 1024;
/// Most slices of pixels. GPUs take more of them than others and sum them in a tree.
const MAX_SLICES: u32 = 512;
/// Fewest pixels that are worth a workgroup; a multiple of every tile's depth.
const MIN_PIXELS_PER_SLICE: u32 = 128;

/// Slices of pixels in parallel, then the sum of the slices.
pub(super) fn grad_weight(node: &mut NodeLowering, g: &Geometry) -> Result<()> {
    let p = correlation::forward(g);
    let (len, width) = (g.out_channels * Sizes::new(g).taps, p.in_channels * p.kernel_h * p.kernel_w);
    let pixels = p.batch * p.out_h * p.out_w;
    let most = affordable_slices(node.target(), len, MAX_SLICES).min(pixels.div_ceil(MIN_PIXELS_PER_SLICE));
    let (kernel, tiles) = tiled::choose(
        node.target(),
        Pass::GradWeight,
        ALGORITHM,
        |_| true,
        [p.out_channels, width],
        (p.groups * most) as u64,
    );
    let tiles = tiles / most as u64;
    let slices = u32::try_from(TARGET_WORKGROUPS.div_ceil(tiles)).unwrap_or(most).min(most);
    let k_per_slice = pixels.div_ceil(slices).next_multiple_of(MIN_PIXELS_PER_SLICE);
    let slices = pixels.div_ceil(k_per_slice);

    let p = ConvGemm { k_per_slice, ..p };
    let partial = if slices == 1 { node.output(0) } else { node.scratch("slices", (slices * len) as usize) };
    let reads = [node.input(0), node.input(1)];
    let grid = Grid::Workgroups(tiles * slices as u64);
    node.launch(kernel, &p, &reads, &[partial], grid, correlation::flops(&p))?;
    if slices > 1 {
        sum_slices(node, partial, slices, len)?;
    }
    Ok(())
}
