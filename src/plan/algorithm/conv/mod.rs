//! Convolutions and their gradients.

mod correlation;
mod im2col;
mod implicit_gemm;
mod register_tiled;
mod winograd;

use super::epilogue::{after, grad_operands, residual};
use super::preferences::{self, FEW_CHANNELS, Shape};
use super::{Algorithm, Pass, ShapeClass};
use crate::Result;
use crate::kernel::{self, Conv as Geometry, ConvGemm, Grid, Kernel, StorageId};
use crate::op::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Lowering};
use crate::plan::{NodeLowering, Target};

pub(super) fn forward(op: &Conv2d, node: &mut NodeLowering) -> Result<()> {
    let residual = residual(op.epilogue, node);
    let has_bias = (node.inputs() - residual.iter().len() == 3) as u32;
    let g = Geometry { has_bias, ..op.geometry_of(&node.input_shape(0), &node.input_shape(1)) };
    let (x, weight) = (node.input(0), node.input(1));
    let bias = if has_bias == 1 { node.input(2) } else { weight };
    let p = ConvGemm { epilogue: op.epilogue as u32, ..correlation::forward(&g) };
    let operands = [x, weight, bias, residual.unwrap_or(weight)];
    let after = |node: &mut NodeLowering, compute: &dyn Fn(&mut NodeLowering, StorageId) -> Result<()>| {
        after(p.epilogue, residual.as_slice(), node, compute)
    };
    match algorithm(&g, node.target(), Pass::Forward, g.stride_w, true) {
        Algorithm::RegisterTiled => register_tiled::correlate(node, Pass::Forward, &p, operands),
        Algorithm::ImplicitGemm => implicit_gemm::correlate(node, Pass::Forward, &p, operands),
        Algorithm::Winograd => {
            after(node, &|node, y| winograd::correlate(node, Pass::Forward, &p, [x, weight, bias], y))
        }
        Algorithm::Direct => {
            after(node, &|node, y| direct(node, &kernel::CONV_DIRECT, &[x, weight, bias], y, &g))
        }
        _ => after(node, &|node, y| im2col::forward(node, &g, y)),
    }
}

pub(super) fn grad_input(op: &Conv2dGradInput, node: &mut NodeLowering) -> Result<()> {
    let g = op.conv.geometry_of(&op.input_shape, &node.input_shape(1));
    let (grad_output, weight, epilogue) = (node.input(0), node.input(1), op.epilogue as u32);
    let [other, relu] = grad_operands(op.epilogue, node);
    // A gradient has no bias; its binding is the output of the ReLU.
    let operands = [grad_output, weight, relu.unwrap_or(weight), other.unwrap_or(weight)];
    let more: Vec<StorageId> = [other, relu].into_iter().flatten().collect();
    let after = |node: &mut NodeLowering, compute: &dyn Fn(&mut NodeLowering, StorageId) -> Result<()>| {
        after(epilogue, &more, node, compute)
    };
    let by_phase = |node: &mut NodeLowering, together: usize, correlate: Correlate| {
        let launches = correlation::polyphase(&g, together);
        for p in &launches {
            correlate(node, Pass::GradInput, &ConvGemm { epilogue, ..*p }, operands)?;
            if launches.len() > 1 {
                node.set_bytes(correlation::phase_bytes(p, more.len() as u64));
            }
        }
        Ok(())
    };
    // Every phase is a stride-1 correlation.
    match algorithm(&g, node.target(), Pass::GradInput, 1, correlation::has_few_phases(&g)) {
        Algorithm::RegisterTiled if register_tiled::fits_polyphase_kernel(node.target(), &g) => {
            after(node, &|node, y| register_tiled::grad_input(node, &g, y))
        }
        Algorithm::RegisterTiled => by_phase(node, 1, register_tiled::correlate),
        Algorithm::ImplicitGemm => by_phase(node, ConvGemm::PHASES_PER_LAUNCH, implicit_gemm::correlate),
        Algorithm::Winograd => after(node, &|node, y| {
            let whole = &correlation::polyphase(&g, 1)[0];
            winograd::correlate(node, Pass::GradInput, whole, [grad_output, weight, weight], y)
        }),
        Algorithm::Direct => after(node, &|node, y| {
            direct(node, &kernel::CONV_DIRECT_GRAD_INPUT, &[grad_output, weight], y, &g)
        }),
        _ => after(node, &|node, y| im2col::grad_input(node, &g, y)),
    }
}

pub(super) fn grad_weight(op: &Conv2dGradWeight, node: &mut NodeLowering) -> Result<()> {
    let g = op.conv.geometry_of(&node.input_shape(0), &op.weight_shape);
    let (x, grad_output, grad_weight) = (node.input(0), node.input(1), node.output(0));
    match algorithm(&g, node.target(), Pass::GradWeight, g.stride_w, true) {
        Algorithm::RegisterTiled => register_tiled::grad_weight(node, &g),
        Algorithm::ImplicitGemm => implicit_gemm::grad_weight(node, &g),
        Algorithm::Winograd => winograd::grad_weight(node, &g),
        Algorithm::Direct => {
            let reads = [grad_output, x];
            direct(node, &kernel::CONV_DIRECT_GRAD_WEIGHT, &reads, grad_weight, &g)
        }
        _ => im2col::grad_weight(node, &g),
    }
}

/// Emits a direct kernel: one invocation per element of the result.
fn direct(
    node: &mut NodeLowering,
    kernel: &'static Kernel,
    reads: &[StorageId],
    output: StorageId,
    g: &Geometry,
) -> Result<()> {
    let flops = correlation::flops(&correlation::forward(g));
    node.launch(kernel, g, reads, &[output], Grid::Invocations(node.output_len(0) as u64), flops)
}

/// The algorithm for a pass. `stride`: the horizontal stride of a register-tiled kernel; `correlation`: whether the pass is a
/// correlation, which some input gradients are not.
fn algorithm(g: &Geometry, target: &Target, pass: Pass, stride: u32, correlation: bool) -> Algorithm {
    let can = |algorithm| match algorithm {
        Algorithm::RegisterTiled => {
            correlation
                && target.subgroup > 0
                && g.dilation_w == 1
                && stride <= 2
                && register_tiled::packed_bytes(g) <= target.scratch_limit()
        }
        Algorithm::ImplicitGemm => correlation,
        Algorithm::Winograd => winograd::supports(g, target),
        _ => true,
    };
    let is = |shape| match shape {
        Shape::Any => true,
        Shape::FewChannels => g.groups > 1 && g.in_channels / g.groups < FEW_CHANNELS,
        Shape::Large { channels, tiles } => {
            let found = g.batch * g.out_h.div_ceil(4) * g.out_w.div_ceil(4);
            g.in_channels.min(g.out_channels) >= channels && found >= tiles
        }
    };
    preferences::algorithm(target, pass, is, can).unwrap_or(Algorithm::Im2col)
}

/// The tuning class of a convolution, with sizes rounded up to powers of two.
pub(super) fn shape_class(pass: Pass, g: &Geometry) -> ShapeClass {
    let pair = |[a, b]: [u32; 2]| if a == b { a.to_string() } else { format!("{a}x{b}") };
    let [ins, outs, height, width, batch] =
        [g.in_channels, g.out_channels, g.in_h, g.in_w, g.batch].map(u32::next_power_of_two);
    let unless_one = |name: &str, n: String| if n == "1" { String::new() } else { format!(", {name} {n}") };
    let shape = format!(
        "{}x{} stride {}{}{}, {ins} to {outs} channels, {height}x{width} pixels, batch {batch}",
        g.kernel_h,
        g.kernel_w,
        pair([g.stride_h, g.stride_w]),
        unless_one("dilation", pair([g.dilation_h, g.dilation_w])),
        unless_one("groups", g.groups.to_string()),
    );
    ShapeClass { pass, shape }
}

/// Emits a correlation of images, weight, bias and residual, with placeholders for missing ones.
type Correlate = fn(&mut NodeLowering, Pass, &ConvGemm, [StorageId; 4]) -> Result<()>;

/// Sizes of the matrix products of a convolution, one per image and group.
struct Sizes {
    /// Output channels per group.
    outs: u32,
    /// Products per output element: input channels per group times filter size.
    taps: u32,
    /// Rows of the im2col matrix of one image, over all groups.
    lines: u32,
    /// Output pixels.
    pixels: u32,
}

impl Sizes {
    fn new(g: &Geometry) -> Self {
        let lines = g.in_channels * g.kernel_h * g.kernel_w;
        Self { outs: g.out_channels / g.groups, taps: lines / g.groups, lines, pixels: g.out_h * g.out_w }
    }
}

/// Maximum number of slices of images for weight gradients.
const MAX_SLICES: u32 = 32;

/// The number of slices of a weight gradient of `len` elements that fit in scratch memory, at most `most`.
fn affordable_slices(target: &Target, len: u32, most: u32) -> u32 {
    let slices = target.scratch_limit() / (4 * len as u64);
    u32::try_from(slices).unwrap_or(most).clamp(1, most)
}

/// Emits a weight gradient of `len` elements: `launch` emits the partial sums of the slices into a storage, then they are added.
fn in_slices(
    node: &mut NodeLowering,
    slices: u32,
    len: u32,
    launch: impl FnOnce(&mut NodeLowering, StorageId) -> Result<()>,
) -> Result<()> {
    let grad_weight = node.output(0);
    if slices == 1 {
        return launch(node, grad_weight);
    }
    let partial = node.scratch("slices", (slices * len) as usize);
    launch(node, partial)?;
    node.sum_slices(partial, grad_weight, [slices as usize, len as usize], 1.0, false)
}
