//! Softmax and log-softmax.

use super::{Gradient, Lowering, Operation, floats, same_shape, to_u32};
use crate::kernel::{self, Grid, Kernel, Softmax as Params};
use crate::{Result, TensorType};

/// exp(x) / sum of exp(x) along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// Axis of the classes.
    pub dim: usize,
}

/// Gradient of [`Softmax`] from its output and the upstream gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxGrad {
    /// Axis of the classes.
    pub dim: usize,
}

/// x - log(sum of exp(x)) along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSoftmax {
    /// Axis of the classes.
    pub dim: usize,
}

/// Gradient of [`LogSoftmax`] from its output and the upstream gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSoftmaxGrad {
    /// Axis of the classes.
    pub dim: usize,
}

impl Default for Softmax {
    fn default() -> Self {
        Self { dim: 1 }
    }
}

impl Default for LogSoftmax {
    fn default() -> Self {
        Self { dim: 1 }
    }
}

fn infer(dim: usize, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let [x] = floats(inputs)?;
    if dim >= x.shape.len() {
        return Err(format!("expected an axis below {} for {:?}, found {dim}", x.shape.len(), x.shape));
    }
    Ok(vec![x.clone()])
}

fn infer_grad(inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let [y, grad_output] = floats(inputs)?;
    same_shape("output and gradient", y, grad_output)?;
    Ok(vec![y.clone()])
}

fn lower(node: &mut impl Lowering, kernel: &'static Kernel, dim: usize) -> Result<()> {
    let shape = node.output_shape(0);
    let params = Params {
        outer: to_u32(shape[..dim].iter().product()),
        classes: to_u32(shape[dim]),
        inner: to_u32(shape[dim + 1..].iter().product()),
    };
    let (reads, writes) = node.operands(kernel);
    let grid = Grid::Invocations(params.outer as u64 * params.inner as u64);
    node.launch(kernel, &params, &reads, &writes, grid, 4 * node.output_len(0) as u64)
}

impl Operation for Softmax {
    const NAME: &'static str = "softmax";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer(self.dim, inputs)
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        node.set_to(0, SoftmaxGrad { dim: self.dim }, &[node.output(0), node.grad_output()?])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::SOFTMAX, self.dim)
    }
}

impl Operation for LogSoftmax {
    const NAME: &'static str = "log_softmax";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer(self.dim, inputs)
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        node.set_to(0, LogSoftmaxGrad { dim: self.dim }, &[node.output(0), node.grad_output()?])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::LOG_SOFTMAX, self.dim)
    }
}

impl Operation for SoftmaxGrad {
    const NAME: &'static str = "softmax_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_grad(inputs)
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::SOFTMAX_GRAD, self.dim)
    }
}

impl Operation for LogSoftmaxGrad {
    const NAME: &'static str = "log_softmax_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_grad(inputs)
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::LOG_SOFTMAX_GRAD, self.dim)
    }
}
