//! Losses and metrics.

use super::reduce::slice_sum;
use super::{Operation, expect_shape, floats, word};
use crate::graph::Gradient;
use crate::kernel::{self, Kernel, Loss as Params};
use crate::plan::{Grid, Lowering};
use crate::{DType, Result, TensorType};

/// Mean cross-entropy of logits `[batch, classes]` against `u32` labels `[batch]`; output `[1]`. Stable for
/// logits of any size. Labels must be below the number of classes: they are not checked on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Share of the target spread evenly over all classes (Szegedy et al. 2016), in [0, 1].
    pub label_smoothing: f32,
}

/// Gradient of [`CrossEntropy`] with respect to the logits; inputs logits, labels, upstream gradient `[1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropyGrad {
    /// As in the loss.
    pub label_smoothing: f32,
}

/// How many of the batch have their label among the `k` largest logits, as a number of shape `[1]`. Of
/// equal logits the smaller class ranks first; a NaN ranks before all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopK {
    /// How many guesses count.
    pub k: usize,
}

impl Default for TopK {
    fn default() -> Self {
        Self { k: 1 }
    }
}

fn check(logits: &TensorType, labels: &TensorType) -> Result<(), String> {
    floats::<1>(&[logits])?;
    let [rows, _] = logits.shape[..] else {
        return Err(format!("expected logits of shape [batch, classes], found {:?}", logits.shape));
    };
    if labels.dtype != DType::U32 || labels.shape != [rows] {
        return Err(format!("expected u32 labels of shape [{rows}], found {:?}", labels.shape));
    }
    Ok(())
}

fn check_smoothing(e: f32) -> Result<(), String> {
    match (0.0..=1.0).contains(&e) {
        true => Ok(()),
        false => Err(format!("expected a label smoothing from 0 to 1, found {e}")),
    }
}

fn params(shape: &[usize]) -> Params {
    Params {
        rows: word(shape[0]),
        classes: word(shape[1]),
        scale: 1.0 / shape[0] as f32,
        ..Default::default()
    }
}

/// Emits a kernel of one number a row and the sum of its results, times `scale`.
fn lower_row_sum(node: &mut Lowering, kernel: &'static Kernel, params: &Params, scale: f32) -> Result<()> {
    let rows = node.scratch("by row", params.rows as usize);
    let reads = [node.input(0), node.input(1)];
    let flops = 4 * params.rows as u64 * params.classes as u64;
    node.launch(kernel, params, &reads, &[rows], Grid::Invocations(params.rows as u64), flops)?;
    slice_sum(node, rows, node.output(0), [params.rows as usize, 1], scale, false)
}

impl Operation for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let &[logits, labels] = inputs else {
            return Err(format!("expected 2 inputs, found {}", inputs.len()));
        };
        check(logits, labels)?;
        check_smoothing(self.label_smoothing)?;
        Ok(vec![TensorType::f32([1])])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        let inputs = [node.input(0), node.input(1), node.grad_output()?];
        let grad = node.apply(CrossEntropyGrad { label_smoothing: self.label_smoothing }, &inputs)?[0];
        node.set(0, grad);
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = Params { label_smoothing: self.label_smoothing, ..params(node.input_shape(0)) };
        lower_row_sum(node, &kernel::CROSS_ENTROPY, &params, params.scale)
    }
}

impl Operation for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let &[logits, labels, upstream] = inputs else {
            return Err(format!("expected 3 inputs, found {}", inputs.len()));
        };
        check(logits, labels)?;
        expect_shape("an upstream gradient", upstream, &[1])?;
        Ok(vec![logits.clone()])
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = Params { label_smoothing: self.label_smoothing, ..params(node.input_shape(0)) };
        let reads = [node.input(0), node.input(1), node.input(2)];
        let (writes, flops) = ([node.output(0)], 6 * node.output_len(0) as u64);
        let grid = Grid::Invocations(params.rows as u64);
        node.launch(&kernel::CROSS_ENTROPY_GRAD, &params, &reads, &writes, grid, flops)
    }
}

impl Operation for TopK {
    fn name(&self) -> &'static str {
        "topk_accuracy"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let &[logits, labels] = inputs else {
            return Err(format!("expected 2 inputs, found {}", inputs.len()));
        };
        check(logits, labels)?;
        if self.k == 0 || self.k > logits.shape[1] {
            return Err(format!("expected a k from 1 to {} classes, found {}", logits.shape[1], self.k));
        }
        Ok(vec![TensorType::f32([1])])
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = Params { top: word(self.k), ..params(node.input_shape(0)) };
        lower_row_sum(node, &kernel::TOP_K, &params, 1.0)
    }
}
