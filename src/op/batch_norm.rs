//! Batch norm in training and evaluation.

use super::reduce::{images_per_slice, slice_sum};
use super::{Operation, expect_shape, floats, planes, same_shape};
use crate::graph::Gradient;
use crate::kernel::{self, BatchNorm as Params};
use crate::plan::{Grid, Lowering};
use crate::{Result, TensorType};

/// Batch norm with the batch's own statistics (Ioffe & Szegedy 2015). Inputs x `[batch, channels, ...]`,
/// weight and bias `[channels]`; outputs y, and mean and (biased) variance of each channel. Gradients pass
/// through y only, the dependence of mean and variance on x included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// Gradients of [`BatchNorm`]: inputs x, mean, variance, upstream gradient and weight; outputs the gradients
/// of x, weight and bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormGrad {
    /// Added to the variance.
    pub eps: f32,
}

/// Batch norm with given statistics: inputs x, weight, bias, mean, variance. The statistics are constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEval {
    /// Added to the variance.
    pub eps: f32,
}

/// Gradients of [`BatchNormEval`]: inputs and outputs as [`BatchNormGrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEvalGrad {
    /// Added to the variance.
    pub eps: f32,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { eps: 1e-5 }
    }
}

impl Default for BatchNormEval {
    fn default() -> Self {
        Self { eps: 1e-5 }
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

fn params(shape: &[usize], eps: f32) -> Params {
    let [batch, channels, pixels] = planes(shape);
    let images_per_slice = images_per_slice(batch, pixels);
    Params {
        batch: batch as u32,
        channels: channels as u32,
        pixels: pixels as u32,
        slices: batch.div_ceil(images_per_slice) as u32,
        images_per_slice: images_per_slice as u32,
        eps,
    }
}

fn elements(p: &Params) -> u64 {
    p.batch as u64 * p.channels as u64 * p.pixels as u64
}

fn grid_of_slices(p: &Params) -> Grid {
    Grid::Workgroups(p.slices as u64 * p.channels as u64)
}

fn grid_of_planes(p: &Params) -> Grid {
    Grid::Workgroups(p.batch as u64 * p.channels as u64)
}

impl Operation for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x, weight, bias] = floats(inputs)?;
        let channels = channels(x, &[("a weight", weight), ("a bias", bias)])?;
        if x.len() == channels {
            return Err(format!(
                "expected more than one value a channel in training, found {:?}; use a larger batch or larger pictures",
                x.shape
            ));
        }
        let statistic = TensorType::f32([channels]);
        Ok(vec![x.clone(), statistic.clone(), statistic])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        let inputs = [node.input(0), node.output(1), node.output(2), node.grad_output()?, node.input(1)];
        let grads = node.apply(BatchNormGrad { eps: self.eps }, &inputs)?;
        for (i, grad) in grads.into_iter().enumerate() {
            node.set(i, grad);
        }
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = params(node.input_shape(0), self.eps);
        let [x, weight, bias] = [0, 1, 2].map(|i| node.input(i));
        let [y, mean, variance] = [0, 1, 2].map(|i| node.output(i));
        let partial = node.scratch("moments", (params.slices * params.channels * 3) as usize);
        let n = elements(&params);
        node.launch(&kernel::BATCH_NORM_PARTIAL, &params, &[x], &[partial], grid_of_slices(&params), 3 * n)?;
        let grid = Grid::Invocations(params.channels as u64);
        let merges = 8 * params.slices as u64 * params.channels as u64;
        node.launch(&kernel::BATCH_NORM_STATS, &params, &[partial], &[mean, variance], grid, merges)?;
        let reads = [x, mean, variance, weight, bias];
        node.launch(&kernel::BATCH_NORM_APPLY, &params, &reads, &[y], grid_of_planes(&params), 3 * n)
    }
}

fn infer_grad(inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let [x, mean, variance, grad_output, weight] = floats(inputs)?;
    let channels = channels(x, &[("a mean", mean), ("a variance", variance), ("a weight", weight)])?;
    same_shape("input and gradient", x, grad_output)?;
    Ok(vec![x.clone(), TensorType::f32([channels]), TensorType::f32([channels])])
}

/// Emits the gradients of weight and bias (outputs 1 and 2), which both modes share.
fn lower_grad_params(node: &mut Lowering, params: &Params) -> Result<()> {
    let reads = [0, 1, 2, 3].map(|i| node.input(i));
    let cells = (params.slices * params.channels) as usize;
    let [bias, weight] =
        ["bias", "weight"].map(|what| node.scratch(&format!("{what} gradient by slice"), cells));
    let flops = 4 * elements(params);
    node.launch(
        &kernel::BATCH_NORM_GRAD_PARTIAL,
        params,
        &reads,
        &[bias, weight],
        grid_of_slices(params),
        flops,
    )?;
    let sizes = [params.slices as usize, params.channels as usize];
    slice_sum(node, weight, node.output(1), sizes, 1.0, false)?;
    slice_sum(node, bias, node.output(2), sizes, 1.0, false)
}

impl Operation for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch_norm_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_grad(inputs)
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = params(node.input_shape(0), self.eps);
        lower_grad_params(node, &params)?;
        let [x, mean, variance, grad_output, weight] = [0, 1, 2, 3, 4].map(|i| node.input(i));
        let reads = [x, mean, variance, grad_output, weight, node.output(1), node.output(2)];
        let writes = [node.output(0)];
        let flops = 5 * elements(&params);
        node.launch(&kernel::BATCH_NORM_GRAD_INPUT, &params, &reads, &writes, grid_of_planes(&params), flops)
    }
}

impl Operation for BatchNormEval {
    fn name(&self) -> &'static str {
        "batch_norm_eval"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x, weight, bias, mean, variance] = floats(inputs)?;
        let rest = [("a weight", weight), ("a bias", bias), ("a mean", mean), ("a variance", variance)];
        channels(x, &rest)?;
        Ok(vec![x.clone()])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        let inputs = [node.input(0), node.input(3), node.input(4), node.grad_output()?, node.input(1)];
        let grads = node.apply(BatchNormEvalGrad { eps: self.eps }, &inputs)?;
        for (i, grad) in grads.into_iter().enumerate() {
            node.set(i, grad);
        }
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = params(node.input_shape(0), self.eps);
        let [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map(|i| node.input(i));
        let reads = [x, mean, variance, weight, bias];
        let (writes, flops) = ([node.output(0)], 3 * elements(&params));
        node.launch(&kernel::BATCH_NORM_APPLY, &params, &reads, &writes, grid_of_planes(&params), flops)
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
        let params = params(node.input_shape(0), self.eps);
        lower_grad_params(node, &params)?;
        let [variance, grad_output, weight] = [2, 3, 4].map(|i| node.input(i));
        let reads = [grad_output, weight, variance];
        let (writes, flops) = ([node.output(0)], elements(&params));
        node.launch(
            &kernel::BATCH_NORM_EVAL_GRAD_INPUT,
            &params,
            &reads,
            &writes,
            grid_of_planes(&params),
            flops,
        )
    }
}
