//! Batch norm in training and evaluation.

use super::epilogue::{Epilogue, expect_residual};
use super::{Operation, expect_shape, floats, planes, same_shape, word};
use crate::graph::Gradient;
use crate::kernel::{self, BatchNorm as Params, Kernel};
use crate::plan::{Family, Grid, Lowering, StorageId, Target};
use crate::{Result, TensorType};

/// Batch norm with the batch's own statistics (Ioffe & Szegedy 2015). Inputs x `[batch, channels, ...]`,
/// weight and bias `[channels]`; outputs y, and mean and (biased) variance of each channel. Gradients pass
/// through y only, the dependence of mean and variance on x included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// What comes after, in the same pass.
    pub epilogue: Epilogue,
}

/// Gradients of [`BatchNorm`]: inputs x, mean, variance, upstream gradient, weight and bias; outputs the
/// gradients of x, weight and bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormGrad {
    /// Added to the variance.
    pub eps: f32,
    /// Whether a ReLU came after, through which the upstream gradient has yet to pass.
    pub relu: bool,
}

/// Batch norm with given statistics: inputs x, weight, bias, mean, variance. The statistics are constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEval {
    /// Added to the variance.
    pub eps: f32,
    /// What comes after, in the same pass.
    pub epilogue: Epilogue,
}

/// Gradients of [`BatchNormEval`]: inputs and outputs as [`BatchNormGrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEvalGrad {
    /// Added to the variance.
    pub eps: f32,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { eps: 1e-5, epilogue: Epilogue::None }
    }
}

impl Default for BatchNormEval {
    fn default() -> Self {
        Self { eps: 1e-5, epilogue: Epilogue::None }
    }
}

/// Channels of x, after checking that all else has one number a channel.
fn channels(x: &TensorType, per_channel: &[(&str, &TensorType)]) -> Result<usize, String> {
    if x.shape.len() < 2 {
        return Err(format!("expected an input of shape [batch, channels, ...], found {:?}", x.shape));
    }
    for (what, ty) in per_channel {
        expect_shape(&format!("{what} for an input of {:?}", x.shape), ty, &[x.shape[1]])?;
    }
    Ok(x.shape[1])
}

/// Elements that one workgroup goes through, at least.
fn elements_per_slice(family: Family) -> usize {
    match family {
        // Enough workgroups to fill a GPU.
        Family::Gpu => 2048,
        // Few barriers, which are dear there.
        Family::Software | Family::Cpu => 8192,
    }
}

fn params(node: &Lowering, eps: f32, epilogue: Epilogue) -> Params {
    let [batch, channels, pixels] = planes(node.input_shape(0));
    let images = elements_per_slice(node.target().family).div_ceil(pixels);
    let images_per_slice = images.max(batch.div_ceil(MOST_SLICES)).min(batch);
    let columns = if is_quads(pixels) { pixels / 4 } else { pixels };
    Params {
        batch: word(batch),
        channels: word(channels),
        pixels: word(pixels),
        slices: word(batch.div_ceil(images_per_slice)),
        images_per_slice: word(images_per_slice),
        width: word(columns.next_power_of_two().min(lanes_of_a_slice(node.target()))),
        eps,
        epilogue: epilogue as u32,
        fixed: 0,
    }
}

/// Slices of a channel whose partial results are merged by one invocation.
const MOST_SLICES: usize = 256;
/// Invocations a workgroup.
const LANES: usize = 64;

/// Lanes that share the images of a slice, and an image, at most.
fn lanes_of_a_slice(target: &Target) -> usize {
    match target.family {
        // One subgroup runs after another there, each through its whole loop: each should walk memory in a line, and wait for
        // no other.
        Family::Software if target.subgroup > 0 => LANES.min(target.subgroup as usize),
        _ => LANES,
    }
}

/// Whether planes can be read four pixels at a time.
fn is_quads(pixels: usize) -> bool {
    pixels.is_multiple_of(4)
}

/// Of a kernel that goes through all pixels, the form that suits them.
fn form(p: &Params, single: &'static Kernel, quads: &'static Kernel) -> &'static Kernel {
    if is_quads(p.pixels as usize) { quads } else { single }
}

fn elements(p: &Params) -> u64 {
    p.batch as u64 * p.channels as u64 * p.pixels as u64
}

fn grid(p: &Params) -> Grid {
    Grid::Workgroups(p.slices as u64 * p.channels as u64)
}

/// The forms of a kernel that sums up: through workgroup memory, and from lane to lane; each of those for single pixels and for quads.
type Sums = [[&'static Kernel; 2]; 2];

static MOMENTS: Sums = [
    [&kernel::BATCH_NORM_PARTIAL, &kernel::BATCH_NORM_PARTIAL_QUADS],
    [&kernel::BATCH_NORM_PARTIAL_HANDED, &kernel::BATCH_NORM_PARTIAL_HANDED_QUADS],
];
static GRADIENT_SUMS: Sums = [
    [&kernel::BATCH_NORM_GRAD_PARTIAL, &kernel::BATCH_NORM_GRAD_PARTIAL_QUADS],
    [&kernel::BATCH_NORM_GRAD_PARTIAL_HANDED, &kernel::BATCH_NORM_GRAD_PARTIAL_HANDED_QUADS],
];

/// Emits the sums over each slice and channel.
fn sum_up(
    node: &mut Lowering,
    [shared, handed]: &Sums,
    p: &Params,
    reads: &[StorageId],
    partial: StorageId,
    flops: u64,
) -> Result<()> {
    let (kernel, grid) = match lanes_of_a_slice(node.target()) {
        LANES => (form(p, shared[0], shared[1]), grid(p)),
        subgroup => {
            let subgroups = p.slices as u64 * p.channels as u64;
            (form(p, handed[0], handed[1]), Grid::Workgroups(subgroups.div_ceil((LANES / subgroup) as u64)))
        }
    };
    node.launch(kernel, p, reads, &[partial], grid, flops)
}

/// Emits y from given statistics. `operands`: x, mean, variance, weight and bias.
fn apply(node: &mut Lowering, p: &Params, epilogue: Epilogue, operands: [StorageId; 5]) -> Result<()> {
    let kernel = form(p, &kernel::BATCH_NORM_APPLY, &kernel::BATCH_NORM_APPLY_QUADS);
    let [x, mean, variance, weight, bias] = operands;
    let residual = epilogue.residual(node).unwrap_or(x);
    let reads = [x, mean, variance, weight, bias, residual];
    let writes = [node.output(0)];
    node.launch(kernel, p, &reads, &writes, grid(p), (3 + p.epilogue as u64) * elements(p))
}

impl Operation for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn fused(&self) -> &'static [&'static str] {
        self.epilogue.operations()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (own, residual) = self.epilogue.split(inputs);
        let [x, weight, bias] = floats(own)?;
        expect_residual(residual, x)?;
        let channels = channels(x, &[("a weight", weight), ("a bias", bias)])?;
        if x.len() == channels {
            return Err(format!(
                "expected more than one value a channel in training, found {:?}; use a larger batch or larger images",
                x.shape
            ));
        }
        let statistic = TensorType::f32([channels]);
        Ok(vec![x.clone(), statistic.clone(), statistic])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        self.epilogue.refuse(node)?;
        let [x, weight, bias] = [0, 1, 2].map(|i| node.input(i));
        let inputs = [x, node.output(1), node.output(2), node.grad_output()?, weight, bias];
        let grads = node.apply(BatchNormGrad { eps: self.eps, relu: false }, &inputs)?;
        for (i, grad) in grads.into_iter().enumerate() {
            node.set(i, grad);
        }
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let p = params(node, self.eps, self.epilogue);
        let [x, weight, bias] = [0, 1, 2].map(|i| node.input(i));
        let [mean, variance] = [1, 2].map(|i| node.output(i));
        let partial = node.scratch("moments", (p.slices * p.channels * 3) as usize);
        sum_up(node, &MOMENTS, &p, &[x], partial, 3 * elements(&p))?;
        let merges = 8 * p.slices as u64 * p.channels as u64;
        let grid = Grid::Invocations(p.channels as u64);
        node.launch(&kernel::BATCH_NORM_STATS, &p, &[partial], &[mean, variance], grid, merges)?;
        apply(node, &p, self.epilogue, [x, mean, variance, weight, bias])
    }
}

fn infer_grad(inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let [x, mean, variance, grad_output, weight, bias] = floats(inputs)?;
    let per_channel = [("a mean", mean), ("a variance", variance), ("a weight", weight), ("a bias", bias)];
    let channels = channels(x, &per_channel)?;
    same_shape("input and gradient", x, grad_output)?;
    Ok(vec![x.clone(), TensorType::f32([channels]), TensorType::f32([channels])])
}

/// Emits the gradients of x, weight and bias. `fixed`: mean and variance are constants.
fn lower_grad(node: &mut Lowering, eps: f32, epilogue: Epilogue, fixed: bool) -> Result<()> {
    let p = Params { fixed: fixed as u32, ..params(node, eps, epilogue) };
    let [x, mean, variance, grad_output, weight, bias] = [0, 1, 2, 3, 4, 5].map(|i| node.input(i));
    let [grad_input, grad_weight, grad_bias] = [0, 1, 2].map(|i| node.output(i));
    let partial = node.scratch("sums by slice", (2 * p.slices * p.channels) as usize);
    let coefficients = node.scratch("coefficients", 5 * p.channels as usize);

    let reads = [x, mean, variance, weight, bias, grad_output];
    sum_up(node, &GRADIENT_SUMS, &p, &reads, partial, 4 * elements(&p))?;

    let writes = [grad_weight, grad_bias, coefficients];
    let (channels, sums) = (p.channels as u64, 2 * p.slices as u64 * p.channels as u64);
    let reads = [partial, mean, variance, weight, bias];
    let kernel = &kernel::BATCH_NORM_GRAD_STATS;
    node.launch(kernel, &p, &reads, &writes, Grid::Invocations(channels), sums)?;

    let kernel = form(&p, &kernel::BATCH_NORM_GRAD_INPUT, &kernel::BATCH_NORM_GRAD_INPUT_QUADS);
    let reads = [x, grad_output, coefficients];
    node.launch(kernel, &p, &reads, &[grad_input], grid(&p), 5 * elements(&p))
}

impl Operation for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch_norm_grad"
    }

    fn fused(&self) -> &'static [&'static str] {
        if self.relu { &["relu_grad"] } else { &[] }
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_grad(inputs)
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let epilogue = if self.relu { Epilogue::Relu } else { Epilogue::None };
        lower_grad(node, self.eps, epilogue, false)
    }
}

impl Operation for BatchNormEval {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn fused(&self) -> &'static [&'static str] {
        self.epilogue.operations()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (own, residual) = self.epilogue.split(inputs);
        let [x, weight, bias, mean, variance] = floats(own)?;
        expect_residual(residual, x)?;
        let rest = [("a weight", weight), ("a bias", bias), ("a mean", mean), ("a variance", variance)];
        channels(x, &rest)?;
        Ok(vec![x.clone()])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        self.epilogue.refuse(node)?;
        let [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| node.input(i));
        let inputs = [x, mean, variance, node.grad_output()?, weight, bias];
        let grads = node.apply(BatchNormEvalGrad { eps: self.eps }, &inputs)?;
        for (i, grad) in grads.into_iter().enumerate() {
            node.set(i, grad);
        }
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let p = params(node, self.eps, self.epilogue);
        let [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| node.input(i));
        apply(node, &p, self.epilogue, [x, mean, variance, weight, bias])
    }
}

impl Operation for BatchNormEvalGrad {
    fn name(&self) -> &'static str {
        "batch_norm_eval_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_grad(inputs)
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        lower_grad(node, self.eps, Epilogue::None, true)
    }
}
