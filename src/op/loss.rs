//! Losses and metrics.

use super::{Gradient, Labels, Lowering, Operation, exactly, expect_shape, floats, to_u32};
use crate::kernel::{self, Grid, Loss as Params, StorageId};
use crate::{DType, Result, TensorType};

/// Cross-entropy of logits `[batch, classes]` and `u32` labels `[batch]`, as in PyTorch. Numerically stable for logits of any
/// magnitude. An optional third input holds class weights `[classes]`, which are constants and receive no gradient. Output `[1]`,
/// or `[batch]` without reduction.
///
/// Labels must be below the number of classes, or equal `ignore_index`. A [`Session`](crate::Session) checks labels that are
/// inputs. For an invalid label that the graph computes, loss and gradient are NaN.
///
/// ```
/// use striate::op::{CrossEntropy, Reduction};
/// use striate::{Device, Tensor, eager};
///
/// let device = Device::select("cpu")?;
/// let logits = Tensor::f32([3, 2], vec![0.0, 0.0, 2.0, 0.0, 0.0, 5.0])?;
/// let labels = Tensor::u32([3], vec![1, 0, 255])?;
/// let weights = Tensor::f32([2], vec![1.0, 4.0])?;
/// let loss = CrossEntropy { ignore_index: Some(255), reduction: Reduction::None, ..Default::default() };
/// let rows = eager::apply(&device, loss, &[&logits, &labels, &weights])?.remove(0);
/// assert_eq!(rows.shape(), [3]);
/// assert_eq!(rows.as_f32()[2], 0.0);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Fraction of the target that is spread evenly over all classes (Szegedy et al. 2016), in [0, 1].
    pub label_smoothing: f32,
    /// The label of rows to ignore. PyTorch's default is -100, here `Some(-100i32 as u32)`.
    pub ignore_index: Option<u32>,
    /// How to reduce the losses of the rows.
    pub reduction: Reduction,
}

/// How to reduce the losses of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Weighted mean over the rows that are not ignored. NaN if all are ignored.
    #[default]
    Mean,
    /// Sum.
    Sum,
    /// No reduction: one loss per row, 0 for ignored rows.
    None,
}

/// Gradient of [`CrossEntropy`] with respect to the logits. Inputs: logits, labels, class weights if any, upstream gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropyGrad {
    /// The loss.
    pub loss: CrossEntropy,
}

/// The number of rows whose label is among the `k` largest logits, of shape `[1]`. Of equal logits the lower class ranks first;
/// NaN ranks before everything, but a label whose own logit is NaN never counts. Labels are as for [`CrossEntropy`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopK {
    /// Number of guesses per row.
    pub k: usize,
    /// The label of rows to ignore.
    pub ignore_index: Option<u32>,
}

impl Default for TopK {
    fn default() -> Self {
        Self { k: 1, ignore_index: None }
    }
}

/// Checks logits and labels, and returns the number of rows and classes.
fn check(logits: &TensorType, labels: &TensorType) -> Result<[usize; 2], String> {
    floats::<1>(&[logits])?;
    let [rows, classes] = logits.shape[..] else {
        return Err(format!("expected logits of shape [batch, classes], found {:?}", logits.shape));
    };
    if labels.dtype != DType::U32 || labels.shape != [rows] {
        let (found, shape) = (labels.dtype.name(), &labels.shape);
        return Err(format!("expected u32 labels of shape [{rows}], found {found} of shape {shape:?}"));
    }
    Ok([rows, classes])
}

fn labels(shapes: &[&[usize]], ignore_index: Option<u32>) -> Option<Labels> {
    Some(Labels { classes: shapes[0][1], ignore_index })
}

fn params(shape: &[usize], ignore_index: Option<u32>) -> Params {
    Params {
        rows: to_u32(shape[0]),
        classes: to_u32(shape[1]),
        ignores: ignore_index.is_some() as u32,
        ignored: ignore_index.unwrap_or_default(),
        scale: 1.0,
        ..Default::default()
    }
}

impl CrossEntropy {
    /// Checks the inputs, and returns the type of the loss.
    fn check(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let (logits, labels, weights) = match *inputs {
            [logits, labels] => (logits, labels, None),
            [logits, labels, weights] => (logits, labels, Some(weights)),
            _ => {
                let found = inputs.len();
                return Err(format!(
                    "expected logits, labels and optionally class weights, found {found} inputs"
                ));
            }
        };
        let [rows, classes] = check(logits, labels)?;
        if let Some(weights) = weights {
            floats::<1>(&[weights])?;
            expect_shape("class weights", weights, &[classes])?;
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(format!("expected a label smoothing from 0 to 1, found {}", self.label_smoothing));
        }
        Ok(TensorType::f32([if self.reduction == Reduction::None { rows } else { 1 }]))
    }

    /// Emits the total weight of the labels if it is needed. Returns the parameters; the operands logits, labels, weights and total,
    /// with the logits in place of missing ones; and the factor that turns a sum into an unweighted mean.
    fn begin(&self, node: &mut impl Lowering, weighted: bool) -> Result<(Params, [StorageId; 4], f32)> {
        let logits = node.input(0);
        let weights = node.input(if weighted { 2 } else { 0 });
        let normalized = self.reduction == Reduction::Mean && (weighted || self.ignore_index.is_some());
        let params = Params {
            label_smoothing: self.label_smoothing,
            weighted: weighted as u32,
            normalized: normalized as u32,
            by_row: (self.reduction == Reduction::None) as u32,
            ..params(&node.input_shape(0), self.ignore_index)
        };
        let mut total = logits;
        if normalized {
            total = node.scratch("weight of all labels", 1);
            let (reads, rows) = ([node.input(Labels::INPUT), weights], u64::from(params.rows));
            node.launch(&kernel::LABEL_TOTAL, &params, &reads, &[total], Grid::Workgroups(1), rows)?;
        }
        let unweighted_mean = self.reduction == Reduction::Mean && !normalized;
        let scale = if unweighted_mean { 1.0 / params.rows as f32 } else { 1.0 };
        Ok((params, [logits, node.input(Labels::INPUT), weights, total], scale))
    }
}

impl Operation for CrossEntropy {
    const NAME: &'static str = "cross_entropy";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![self.check(inputs)?])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let mut inputs: Vec<_> = (0..node.inputs()).map(|i| node.input(i)).collect();
        inputs.push(node.grad_output()?);
        node.set_to(0, CrossEntropyGrad { loss: *self }, &inputs)
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let (params, reads, scale) = self.begin(node, node.inputs() == 3)?;
        let [rows, classes] = [params.rows, params.classes].map(u64::from);
        let out = node.output(0);
        let losses = match self.reduction {
            Reduction::None => out,
            _ => node.scratch("by row", params.rows as usize),
        };
        let grid = Grid::Invocations(rows);
        node.launch(&kernel::CROSS_ENTROPY, &params, &reads, &[losses], grid, 4 * rows * classes)?;
        match self.reduction {
            Reduction::None => Ok(()),
            _ => node.sum_slices(losses, out, [params.rows as usize, 1], scale, false),
        }
    }

    fn labels(&self, inputs: &[&[usize]]) -> Option<Labels> {
        labels(inputs, self.ignore_index)
    }
}

impl Operation for CrossEntropyGrad {
    const NAME: &'static str = "cross_entropy_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let Some((upstream, inputs)) = inputs.split_last() else {
            return Err("expected 3 inputs, found 0".to_owned());
        };
        let loss = self.loss.check(inputs)?;
        floats::<1>(&[upstream])?;
        expect_shape("an upstream gradient", upstream, &loss.shape)?;
        Ok(vec![inputs[0].clone()])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let upstream = node.input(node.inputs() - 1);
        let (params, [logits, labels, weights, total], scale) = self.loss.begin(node, node.inputs() == 4)?;
        let params = Params { scale, ..params };
        let reads = [logits, labels, weights, total, upstream];
        let (writes, flops) = ([node.output(0)], 6 * node.output_len(0) as u64);
        let grid = Grid::Invocations(params.rows as u64);
        node.launch(&kernel::CROSS_ENTROPY_GRAD, &params, &reads, &writes, grid, flops)
    }

    fn labels(&self, inputs: &[&[usize]]) -> Option<Labels> {
        self.loss.labels(inputs)
    }
}

impl Operation for TopK {
    const NAME: &'static str = "topk_accuracy";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [logits, labels] = exactly(inputs)?;
        let [_, classes] = check(logits, labels)?;
        if self.k == 0 || self.k > classes {
            return Err(format!("expected a k from 1 to {classes}, the number of classes, found {}", self.k));
        }
        Ok(vec![TensorType::f32([1])])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let params = Params { top: to_u32(self.k), ..params(&node.input_shape(0), self.ignore_index) };
        let [rows, classes] = [params.rows, params.classes].map(u64::from);
        let (reads, correct) = ([node.input(0), node.input(1)], node.scratch("by row", params.rows as usize));
        let grid = Grid::Invocations(rows);
        node.launch(&kernel::TOP_K, &params, &reads, &[correct], grid, 4 * rows * classes)?;
        node.sum_slices(correct, node.output(0), [params.rows as usize, 1], 1.0, false)
    }

    fn labels(&self, inputs: &[&[usize]]) -> Option<Labels> {
        labels(inputs, self.ignore_index)
    }
}
