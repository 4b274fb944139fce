//! The choice between algorithms and their kernels, a file per family.
//!
//! [`candidates`] is the one list of what can compute a pass. Among them a plan takes, in this order: what the [`Target`] requests
//! (`kernels`, `algorithms`), what was measured to be fastest (`tuned`), the first row of [`PREFERENCES`] whose algorithm can do the
//! work. Of that algorithm's kernels it takes the cheapest that can, the first of equals. `--kernel`, `striate tune`, `striate kernels`
//! and the parity tests read the same list.

mod batch_norm;
mod conv;
mod epilogue;
mod matmul;
mod pool;
mod preferences;
mod reduce;
mod requested;
mod tuned;

pub use preferences::{PREFERENCES, Preference, Shape};
pub(super) use reduce::sum_slices;
pub(super) use requested::Requested;
pub use tuned::{ShapeClass, Tuned};

use super::{NodeLowering, Target};
use crate::Result;
use crate::graph::{Graph, Node};
use crate::kernel::Kernel;
use crate::op::{Op, Operation};

/// A computation that several algorithms can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pass {
    /// A convolution.
    Forward,
    /// Its gradient with respect to the input.
    GradInput,
    /// Its gradient with respect to the weight.
    GradWeight,
    /// A matrix product.
    Matmul,
}

impl Pass {
    /// All of them.
    pub const ALL: [Pass; 4] = [Pass::Forward, Pass::GradInput, Pass::GradWeight, Pass::Matmul];

    /// Those of convolutions.
    pub const CONVOLUTIONS: [Pass; 3] = [Pass::Forward, Pass::GradInput, Pass::GradWeight];

    /// `forward`, `grad_input`, `grad_weight` or `matmul`.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::GradInput => "grad_input",
            Pass::GradWeight => "grad_weight",
            Pass::Matmul => "matmul",
        }
    }

    /// The algorithms that can compute it.
    pub fn algorithms(self) -> Vec<Algorithm> {
        let mut algorithms: Vec<Algorithm> = candidates(self).map(|c| c.algorithm).collect();
        algorithms.dedup();
        algorithms
    }

    /// The kernels of one of its algorithms.
    pub fn kernels_of(self, algorithm: Algorithm) -> impl Iterator<Item = &'static Kernel> {
        candidates(self).filter(move |c| c.algorithm == algorithm).map(|c| c.kernel)
    }
}

/// How a convolution or a matrix product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Convolution: images unfolded to columns, then a matrix product. Every target can do it.
    Im2col,
    /// Convolution: straight from the definition. Every target can do it.
    Direct,
    /// Convolution: direct, with a tile of results in registers and weights shared by subgroup broadcasts.
    RegisterTiled,
    /// Convolution: an implicit matrix product through workgroup memory.
    ImplicitGemm,
    /// Convolution: fewer multiplications (F(4x4, 3x3) of Lavin & Gray 2016, or F(2x2, 3x3) by its kernels' names), for 3 x 3 taps at
    /// stride 1 without dilation or groups.
    Winograd,
    /// Matrix product: tiles in workgroup memory.
    Tiled,
    /// Matrix product: operands packed into panels, which subgroups multiply by broadcasts.
    Packed,
    /// Matrix product: tiles in registers alone. Every target can do it.
    Registers,
}

impl Algorithm {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Im2col => "im2col",
            Algorithm::Direct => "direct",
            Algorithm::RegisterTiled => "register_tiled",
            Algorithm::ImplicitGemm => "implicit_gemm",
            Algorithm::Winograd => "winograd",
            Algorithm::Tiled => "tiled",
            Algorithm::Packed => "packed",
            Algorithm::Registers => "registers",
        }
    }
}

/// A kernel that can compute some passes. Of an algorithm with several kernels, as im2col, it is the one that stands for it.
#[derive(Debug)]
pub struct Candidate {
    /// What it computes.
    pub passes: &'static [Pass],
    /// The algorithm that it belongs to.
    pub algorithm: Algorithm,
    /// The kernel.
    pub kernel: &'static Kernel,
}

/// The candidates of each family, in order of preference where costs are equal.
static FAMILIES: [&[Candidate]; 8] = [
    &conv::im2col::CANDIDATES,
    &conv::direct::CANDIDATES,
    &conv::register_tiled::CANDIDATES,
    &conv::implicit_gemm::CANDIDATES,
    &conv::winograd::CANDIDATES,
    &matmul::tiled::CANDIDATES,
    &matmul::packed::CANDIDATES,
    &matmul::registers::CANDIDATES,
];

/// Everything that can compute a pass.
pub fn candidates(pass: Pass) -> impl Iterator<Item = &'static Candidate> {
    FAMILIES.into_iter().flatten().filter(move |c| c.passes.contains(&pass))
}

/// Of an algorithm's kernels that `can` do the work, the requested one, else the cheapest, else the first of equals.
fn kernel(
    target: &Target,
    pass: Pass,
    algorithm: Algorithm,
    can: impl Fn(&Kernel) -> bool,
    cost: impl Fn(&Kernel) -> f64,
) -> Option<&'static Kernel> {
    let able = || pass.kernels_of(algorithm).filter(|kernel| can(kernel));
    let requested = able().find(|kernel| target.kernel(pass) == Some(kernel));
    requested.or_else(|| able().min_by(|a, b| cost(a).total_cmp(&cost(b))))
}

/// Emits the launches of a node.
pub(super) fn lower(op: &Op, node: &mut NodeLowering) -> Result<()> {
    match op {
        Op::Conv2d(op) => conv::forward(op, node),
        Op::Conv2dGradInput(op) => conv::grad_input(op, node),
        Op::Conv2dGradWeight(op) => conv::grad_weight(op, node),
        Op::Matmul(op) => matmul::lower(op, node),
        Op::BatchNorm(op) => batch_norm::forward(op, node),
        Op::BatchNormGrad(op) => batch_norm::grad(op, node),
        Op::BatchNormEval(op) => batch_norm::eval(op, node),
        Op::BatchNormEvalGrad(op) => batch_norm::eval_grad(op, node),
        Op::MaxPool(op) => pool::max(op, node),
        Op::MaxPoolGrad(op) => pool::max_grad(op, node),
        Op::AvgPool(op) => pool::avg(op, node),
        Op::AvgPoolGrad(op) => pool::avg_grad(op, node),
        op => op.lower(node),
    }
}

/// What the choice of a node's kernel depends on, where there are several.
pub(crate) fn shape_class(graph: &Graph, node: &Node) -> Option<ShapeClass> {
    let inputs: Vec<&[usize]> = node.inputs.iter().map(|v| graph.shape(*v)).collect();
    match &node.op {
        Op::Conv2d(op) => Some(conv::shape_class(Pass::Forward, &op.geometry_of(inputs[0], inputs[1]))),
        Op::Conv2dGradInput(op) => {
            Some(conv::shape_class(Pass::GradInput, &op.conv.geometry_of(&op.input_shape, inputs[1])))
        }
        Op::Conv2dGradWeight(op) => {
            Some(conv::shape_class(Pass::GradWeight, &op.conv.geometry_of(inputs[0], &op.weight_shape)))
        }
        Op::Matmul(op) => Some(matmul::shape_class(op, &inputs)),
        _ => None,
    }
}
