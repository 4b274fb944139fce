//! Batch norm: scalar and vec4 kernels, with reductions in workgroup memory or by subgroup shuffles.

use super::epilogue::residual;
use crate::Result;
use crate::kernel::{self, BatchNorm as Params, Grid, Kernel, StorageId};
use crate::op::{
    BatchNorm, BatchNormEval, BatchNormEvalGrad, BatchNormGrad, Epilogue, Lowering, SyncBatchNorm, planes,
    to_u32,
};
use crate::plan::{Family, NodeLowering, Target};

/// Minimum number of elements per slice.
fn elements_per_slice(family: Family) -> usize {
    match family {
        // Few enough for many workgroups, to fill the GPU.
        Family::Gpu => 2048,
        // Many, because each slice has barriers, which are expensive here.
        Family::Software | Family::Cpu => 8192,
    }
}

fn params(node: &NodeLowering, eps: f32, epilogue: Epilogue) -> Params {
    let [batch, channels, pixels] = planes(&node.input_shape(0));
    let images = elements_per_slice(node.target().family).div_ceil(pixels);
    let images_per_slice = images.max(batch.div_ceil(MAX_SLICES)).min(batch);
    let columns = if is_vec4(node.target(), pixels) { pixels / 4 } else { pixels };
    let slices = to_u32(batch.div_ceil(images_per_slice));
    Params {
        batch: to_u32(batch),
        channels: to_u32(channels),
        pixels: to_u32(pixels),
        slices,
        partials: slices,
        images_per_slice: to_u32(images_per_slice),
        width: to_u32(columns.next_power_of_two().min(lanes_per_slice(node.target()))),
        eps,
        epilogue: epilogue as u32,
        ..Default::default()
    }
}

/// Maximum number of slices per channel, whose partial results one invocation or every workgroup merges.
const MAX_SLICES: usize = 256;
/// Invocations per workgroup.
const LANES: usize = 64;

/// Number of lanes that work on a slice.
fn lanes_per_slice(target: &Target) -> usize {
    match target.family {
        // Software adapters run the subgroups of a workgroup one after another. With one subgroup per slice, each walks memory
        // linearly and needs no barriers.
        Family::Software if target.subgroup > 0 => LANES.min(target.subgroup as usize),
        _ => LANES,
    }
}

/// Whether planes are read as vec4s.
fn is_vec4(target: &Target, pixels: usize) -> bool {
    let excluded = |k: &&Kernel| k.file.starts_with("batch_norm") && k.name.ends_with("vec4");
    pixels.is_multiple_of(4) && !target.excluded.iter().any(excluded)
}

/// The scalar or the vec4 variant of a kernel.
fn pick(target: &Target, p: &Params, [scalar, vec4]: [&'static Kernel; 2]) -> &'static Kernel {
    if is_vec4(target, p.pixels as usize) { vec4 } else { scalar }
}

fn elements(p: &Params) -> u64 {
    p.batch as u64 * p.channels as u64 * p.pixels as u64
}

fn grid(p: &Params) -> Grid {
    Grid::Workgroups(p.slices as u64 * p.channels as u64)
}

/// The variants of a reduction kernel: in workgroup memory and by subgroup shuffles, each scalar and vec4.
type ReductionKernels = [[&'static Kernel; 2]; 2];

static MOMENTS: ReductionKernels = [
    [&kernel::BATCH_NORM_PARTIAL, &kernel::BATCH_NORM_PARTIAL_VEC4],
    [&kernel::BATCH_NORM_PARTIAL_SUBGROUP, &kernel::BATCH_NORM_PARTIAL_SUBGROUP_VEC4],
];
static GRADIENT_SUMS: ReductionKernels = [
    [&kernel::BATCH_NORM_GRAD_PARTIAL, &kernel::BATCH_NORM_GRAD_PARTIAL_VEC4],
    [&kernel::BATCH_NORM_GRAD_PARTIAL_SUBGROUP, &kernel::BATCH_NORM_GRAD_PARTIAL_SUBGROUP_VEC4],
];

/// Emits the partial sums of each slice and channel.
fn launch_reduction(
    node: &mut NodeLowering,
    [workgroup, shuffled]: &ReductionKernels,
    p: &Params,
    reads: &[StorageId],
    partial: StorageId,
    flops: u64,
) -> Result<()> {
    let lanes = lanes_per_slice(node.target());
    let kernel = pick(node.target(), p, if lanes == LANES { *workgroup } else { *shuffled });
    let grid = Grid::Invocations(p.slices as u64 * p.channels as u64 * lanes as u64);
    node.launch(kernel, p, reads, &[partial], grid, flops)
}

/// Emits the normalization with given statistics. `operands`: x, mean, variance, weight and bias.
fn apply(node: &mut NodeLowering, p: &Params, epilogue: Epilogue, operands: [StorageId; 5]) -> Result<()> {
    let kernel = pick(node.target(), p, [&kernel::BATCH_NORM_APPLY, &kernel::BATCH_NORM_APPLY_VEC4]);
    let [x, mean, variance, weight, bias] = operands;
    let residual = residual(epilogue, node).unwrap_or(x);
    let reads = [x, mean, variance, weight, bias, residual];
    let writes = [node.output(0)];
    node.launch(kernel, p, &reads, &writes, grid(p), (3 + p.epilogue as u64) * elements(p))
}

/// Whether the last pass merges the partial results. On software adapters, whose barriers are expensive, a launch of its own does.
fn merges(target: &Target, kernels: [&'static Kernel; 2]) -> bool {
    target.family == Family::Gpu && kernels.iter().all(|kernel| target.allows(kernel))
}

pub fn forward(op: &BatchNorm, node: &mut NodeLowering) -> Result<()> {
    let p = params(node, op.eps, op.epilogue);
    let [x, weight, bias] = [0, 1, 2].map(|i| node.input(i));
    let [y, mean, variance] = [0, 1, 2].map(|i| node.output(i));
    let partial = node.scratch("moments", (p.slices * p.channels * 3) as usize);
    launch_reduction(node, &MOMENTS, &p, &[x], partial, 3 * elements(&p))?;
    let kernels = [&kernel::BATCH_NORM_MERGE_APPLY, &kernel::BATCH_NORM_MERGE_APPLY_VEC4];
    if merges(node.target(), kernels) {
        let kernel = pick(node.target(), &p, kernels);
        let residual = residual(op.epilogue, node).unwrap_or(x);
        let reads = [x, partial, residual, weight, bias];
        let flops = (3 + p.epilogue as u64) * elements(&p) + p.slices as u64 * merge_flops(&p);
        return node.launch(kernel, &p, &reads, &[y, mean, variance], grid(&p), flops);
    }
    launch_stats(node, &p, partial, [mean, variance])?;
    apply(node, &p, op.epilogue, [x, mean, variance, weight, bias])
}

pub fn moments(node: &mut NodeLowering) -> Result<()> {
    let p = params(node, 0.0, Epilogue::None);
    let (x, statistics) = (node.input(0), [0, 1].map(|i| node.output(i)));
    let partial = node.scratch("moments", (p.slices * p.channels * 3) as usize);
    launch_reduction(node, &MOMENTS, &p, &[x], partial, 3 * elements(&p))?;
    launch_stats(node, &p, partial, statistics)
}

/// Emits the merging of partial moments into mean and variance.
fn launch_stats(
    node: &mut NodeLowering,
    p: &Params,
    partial: StorageId,
    statistics: [StorageId; 2],
) -> Result<()> {
    let (grid, flops) = (Grid::Invocations(p.channels as u64), merge_flops(p));
    node.launch(&kernel::BATCH_NORM_STATS, p, &[partial], &statistics, grid, flops)
}

fn merge_flops(p: &Params) -> u64 {
    8 * p.slices as u64 * p.channels as u64
}

/// Emits the gradients of x, weight and bias. `fixed`: mean and variance do not depend on x.
fn lower_grad(node: &mut NodeLowering, eps: f32, epilogue: Epilogue, fixed: bool) -> Result<()> {
    let p = Params { fixed: fixed as u32, ..params(node, eps, epilogue) };
    let [x, mean, variance, grad_output, weight, bias] = [0, 1, 2, 3, 4, 5].map(|i| node.input(i));
    let [grad_input, grad_weight, grad_bias] = [0, 1, 2].map(|i| node.output(i));
    let partial = node.scratch("sums by slice", ((2 * p.slices + 4) * p.channels) as usize);
    let reads = [x, mean, variance, weight, bias, grad_output];
    launch_reduction(node, &GRADIENT_SUMS, &p, &reads, partial, 4 * elements(&p))?;

    let sums = 2 * p.slices as u64 * p.channels as u64;
    let kernels = [&kernel::BATCH_NORM_MERGE_GRAD_INPUT, &kernel::BATCH_NORM_MERGE_GRAD_INPUT_VEC4];
    if merges(node.target(), kernels) {
        let kernel = pick(node.target(), &p, kernels);
        let writes = [grad_input, grad_weight, grad_bias];
        let flops = 5 * elements(&p) + p.slices as u64 * sums;
        return node.launch(kernel, &p, &[x, partial, grad_output], &writes, grid(&p), flops);
    }
    let coefficients = node.scratch("coefficients", 5 * p.channels as usize);
    let writes = [grad_weight, grad_bias, coefficients];
    let channels = Grid::Invocations(p.channels as u64);
    node.launch(&kernel::BATCH_NORM_GRAD_STATS, &p, &[partial], &writes, channels, sums)?;
    let kernel =
        pick(node.target(), &p, [&kernel::BATCH_NORM_GRAD_INPUT, &kernel::BATCH_NORM_GRAD_INPUT_VEC4]);
    let reads = [x, grad_output, coefficients];
    node.launch(kernel, &p, &reads, &[grad_input], grid(&p), 5 * elements(&p))
}

pub fn grad(op: &BatchNormGrad, node: &mut NodeLowering) -> Result<()> {
    let epilogue = if op.relu { Epilogue::Relu } else { Epilogue::None };
    lower_grad(node, op.eps, epilogue, false)
}

pub fn sync(op: &SyncBatchNorm, node: &mut NodeLowering) -> Result<()> {
    eval(&BatchNormEval { eps: op.eps, epilogue: Epilogue::None }, node)
}

pub fn eval(op: &BatchNormEval, node: &mut NodeLowering) -> Result<()> {
    let p = params(node, op.eps, op.epilogue);
    let [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| node.input(i));
    apply(node, &p, op.epilogue, [x, mean, variance, weight, bias])
}

pub fn eval_grad(op: &BatchNormEvalGrad, node: &mut NodeLowering) -> Result<()> {
    lower_grad(node, op.eps, Epilogue::None, true)
}
