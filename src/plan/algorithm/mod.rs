//! The choice of algorithms and kernels, one file per family.
//!
//! [`candidates`] lists every kernel that can compute a pass. A plan chooses from it, in this order: what the [`Target`] requests
//! (`kernels`, then `algorithms`), the kernel that was measured to be fastest (`tuned`), and the first row of [`PREFERENCES`]
//! whose algorithm supports the shape. Among the kernels of that algorithm, the plan uses the cheapest, and on ties the first.
//! `--kernel`, `striate tune`, `striate kernels` and the parity tests all read this list.

mod batch_norm;
mod conv;
mod epilogue;
mod matmul;
mod pool;
mod preferences;
mod reduce;
mod requested;
mod tuned;

pub(crate) use preferences::defaults;
pub use preferences::{PREFERENCES, Preference, Shape};
pub(super) use reduce::slice_sum;
pub(super) use requested::Requested;
pub use requested::UNUSED;
pub use tuned::{ShapeClass, Tuned};

use super::{NodeLowering, Target};
use crate::Result;
use crate::graph::{Graph, Node};
use crate::kernel::{self, Kernel};
use crate::op::Op;

/// A computation with several algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pass {
    /// Convolution.
    Forward,
    /// Gradient of a convolution with respect to its input.
    GradInput,
    /// Gradient of a convolution with respect to its weight.
    GradWeight,
    /// Matrix product.
    Matmul,
}

impl Pass {
    /// All passes.
    pub const ALL: [Pass; 4] = [Pass::Forward, Pass::GradInput, Pass::GradWeight, Pass::Matmul];

    /// The passes of a convolution.
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

    /// The algorithms that can compute this pass.
    pub fn algorithms(self) -> Vec<Algorithm> {
        let mut algorithms: Vec<Algorithm> = candidates(self).map(|c| c.algorithm).collect();
        algorithms.dedup();
        algorithms
    }

    /// The kernels of an algorithm that can compute this pass.
    pub fn kernels_of(self, algorithm: Algorithm) -> impl Iterator<Item = &'static Kernel> {
        candidates(self).filter(move |c| c.algorithm == algorithm).map(|c| c.kernel)
    }
}

/// How to compute a convolution or matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Convolution: im2col, then a matrix product. Supports every target and shape.
    Im2col,
    /// Convolution: direct, from the definition. Supports every target and shape.
    Direct,
    /// Convolution: direct, with a tile of results in registers and weights shared by subgroup broadcasts.
    RegisterTiled,
    /// Convolution: implicit GEMM through workgroup memory.
    ImplicitGemm,
    /// Convolution: Winograd's F(4x4, 3x3), or F(2x2, 3x3) if its kernels are requested (Lavin & Gray 2016). Supports 3 x 3 filters
    /// at stride 1 without dilation or groups.
    Winograd,
    /// Matrix product: tiles in workgroup memory.
    Tiled,
    /// Matrix product: operands packed into panels, with values shared by subgroup broadcasts.
    Packed,
    /// Matrix product: tiles in registers only. Supports every target.
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

/// A kernel that can compute a pass. Where an algorithm needs several kernels, like im2col, one stands for all.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The kernel.
    pub kernel: &'static Kernel,
}

/// The candidates: algorithm, passes, and the entry point whose kernels compute them. On ties, earlier kernels win.
static CANDIDATES: [(Algorithm, &[Pass], &str); 15] = [
    (Algorithm::Im2col, &Pass::CONVOLUTIONS, "im2col"),
    (Algorithm::Im2col, &[Pass::GradInput], "col2im"),
    (Algorithm::Direct, &[Pass::Forward], "conv_direct"),
    (Algorithm::Direct, &[Pass::GradInput], "conv_direct_grad_input"),
    (Algorithm::Direct, &[Pass::GradWeight], "conv_direct_grad_weight"),
    (Algorithm::RegisterTiled, &[Pass::Forward, Pass::GradInput], "conv_register_tiled"),
    (Algorithm::RegisterTiled, &[Pass::GradInput], "conv_register_tiled_polyphase"),
    (Algorithm::RegisterTiled, &[Pass::GradWeight], "conv_register_tiled_grad_weight"),
    (Algorithm::ImplicitGemm, &[Pass::Forward, Pass::GradInput], "conv_gemm"),
    (Algorithm::ImplicitGemm, &[Pass::GradWeight], "conv_gemm_grad_weight"),
    (Algorithm::Winograd, &[Pass::Forward, Pass::GradInput], "winograd_filter"),
    (Algorithm::Winograd, &[Pass::GradWeight], "winograd_filter_grad"),
    (Algorithm::Tiled, &[Pass::Matmul], "matmul_tiled"),
    (Algorithm::Packed, &[Pass::Matmul], "matmul_packed"),
    (Algorithm::Registers, &[Pass::Matmul], "matmul_registers"),
];

/// All candidates for a pass.
pub fn candidates(pass: Pass) -> impl Iterator<Item = Candidate> {
    let rows = CANDIDATES.iter().filter(move |(_, passes, _)| passes.contains(&pass));
    rows.flat_map(|(algorithm, _, entry)| {
        kernel::of_entry(entry).iter().map(|kernel| Candidate { algorithm: *algorithm, kernel })
    })
}

/// The kernel of an algorithm for work that it `can` do: the requested one if possible, else the cheapest.
fn choose_kernel(
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
        Op::Moments(_) => batch_norm::moments(node),
        Op::SyncBatchNorm(op) => batch_norm::sync(op, node),
        Op::MaxPool(op) => pool::max(op, node),
        Op::MaxPoolGrad(op) => pool::max_grad(op, node),
        Op::AvgPool(op) => pool::avg(op, node),
        Op::AvgPoolGrad(op) => pool::avg_grad(op, node),
        op => op.lower(node),
    }
}

/// The targets to lower a node for, best first: the given one with the tuned kernel requested, and where kernels are excluded,
/// those with other kernels requested, with and without subgroups.
pub(super) fn alternatives(graph: &Graph, node: &Node, target: &Target) -> Vec<Target> {
    let class = shape_class(graph, node);
    let first = class.as_ref().and_then(|class| target.tuned_for(class)).unwrap_or_else(|| target.clone());
    if target.excluded.is_empty() {
        return vec![first];
    }
    let mut targets = vec![first.clone()];
    let allowed = |pass| candidates(pass).map(move |c| (pass, c.kernel)).filter(|(_, k)| target.allows(k));
    for subgroup in [first.subgroup, 0] {
        let target = Target { subgroup, algorithms: Vec::new(), ..first.clone() };
        targets.push(target.clone());
        for product in allowed(Pass::Matmul) {
            // Convolutions contain matrix products.
            let convolutions = class.iter().filter(|class| class.pass != Pass::Matmul);
            let requests = convolutions.flat_map(|class| allowed(class.pass)).map(|own| vec![own, product]);
            let requests = requests.chain([vec![product]]);
            targets.extend(requests.map(|kernels| Target { kernels, ..target.clone() }));
        }
    }
    targets
}

/// The tuning class of a node, if its operation has several algorithms.
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
