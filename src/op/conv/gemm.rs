//! Convolution as an implicit matrix product through workgroup memory, for GPUs.

use super::super::matmul::suits;
use super::super::reduce::slice_sum;
use super::{Geometry, Sizes, affordable_slices, correlation};
use crate::Result;
use crate::kernel::{self, ConvGemm, Kernel};
use crate::plan::{Grid, Lowering, Pass, StorageId};

/// The kernels, largest tile first: of the convolution itself and its transpose for 3 x 3 taps, 1 x 1, and any number; then those of
/// the weight gradient.
pub(super) static KERNELS: [&Kernel; 22] = [
    &kernel::CONV_GEMM_3X3_128X128,
    &kernel::CONV_GEMM_3X3_64X128,
    &kernel::CONV_GEMM_3X3_64X64,
    &kernel::CONV_GEMM_3X3_32X128,
    &kernel::CONV_GEMM_3X3_16X128,
    &kernel::CONV_GEMM_1X1_128X128,
    &kernel::CONV_GEMM_1X1_64X128,
    &kernel::CONV_GEMM_1X1_64X64,
    &kernel::CONV_GEMM_1X1_32X128,
    &kernel::CONV_GEMM_1X1_16X128,
    &kernel::CONV_GEMM_128X128,
    &kernel::CONV_GEMM_64X128,
    &kernel::CONV_GEMM_64X64,
    &kernel::CONV_GEMM_32X128,
    &kernel::CONV_GEMM_16X128,
    &kernel::CONV_GEMM_GRAD_WEIGHT_128X128,
    &kernel::CONV_GEMM_GRAD_WEIGHT_64X128,
    &kernel::CONV_GEMM_GRAD_WEIGHT_64X64,
    &kernel::CONV_GEMM_GRAD_WEIGHT_32X128,
    &kernel::CONV_GEMM_GRAD_WEIGHT_32X64,
    &kernel::CONV_GEMM_GRAD_WEIGHT_16X128,
    &kernel::CONV_GEMM_GRAD_WEIGHT_16X64,
];

/// How many of them there are for each kind of taps, and for the convolution itself.
const TILES: usize = 5;
const FORWARD: usize = 3 * TILES;

/// Those for a pass.
pub(super) fn kernels(pass: Pass) -> &'static [&'static Kernel] {
    let (forward, grad_weight) = KERNELS.split_at(FORWARD);
    if pass == Pass::GradWeight { grad_weight } else { forward }
}

fn with_taps(p: &ConvGemm) -> &'static [&'static Kernel] {
    let kind = match [p.kernel_h, p.kernel_w] {
        [3, 3] => 0,
        [1, 1] => 1,
        _ => 2,
    };
    &KERNELS[TILES * kind..][..TILES]
}

/// Emits one correlation. `operands`: images, weight and, where there are any, bias and residual.
pub(super) fn correlate(
    node: &mut Lowering,
    pass: Pass,
    p: &ConvGemm,
    operands: [StorageId; 4],
) -> Result<()> {
    let sizes = [p.out_channels, p.batch * p.out_h * p.out_w];
    let (kernel, tiles) = suits(node.target(), pass, with_taps(p), sizes, p.groups as u64);
    let output = node.output(0);
    node.launch(kernel, p, &operands, &[output], Grid::Workgroups(tiles), correlation::flops(p))
}

/// Workgroups that are enough to keep a GPU busy.
const ENOUGH: u64 = 1024;
/// Most slices of pixels: a GPU wants more of them than others, and adds them up in a tree.
const MAX_SLICES: u32 = 512;
/// Pixels that are worth a workgroup of their own, a multiple of every tile's depth.
const WORTHWHILE: u32 = 128;

/// Slices of the pixels in parallel, then the sum of the slices.
pub(super) fn grad_weight(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let p = correlation::forward(g);
    let (len, width) = (g.out_channels * Sizes::new(g).taps, p.in_channels * p.kernel_h * p.kernel_w);
    let pixels = p.batch * p.out_h * p.out_w;
    let most = affordable_slices(node.target(), len, MAX_SLICES).min(pixels.div_ceil(WORTHWHILE));
    let (kernel, tiles) = suits(
        node.target(),
        Pass::GradWeight,
        kernels(Pass::GradWeight),
        [p.out_channels, width],
        (p.groups * most) as u64,
    );
    let tiles = tiles / most as u64;
    let slices = u32::try_from(ENOUGH.div_ceil(tiles)).unwrap_or(most).min(most);
    let k_per_slice = pixels.div_ceil(slices).next_multiple_of(WORTHWHILE);
    let slices = pixels.div_ceil(k_per_slice);

    let p = ConvGemm { k_per_slice, ..p };
    let partial = if slices == 1 { node.output(0) } else { node.scratch("slices", (slices * len) as usize) };
    let reads = [node.input(0), node.input(1)];
    let grid = Grid::Workgroups(tiles * slices as u64);
    node.launch(kernel, &p, &reads, &[partial], grid, correlation::flops(&p))?;
    if slices > 1 {
        slice_sum(node, partial, node.output(0), [slices as usize, len as usize], 1.0, false)?;
    }
    Ok(())
}
