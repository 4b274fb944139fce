//! Element-wise operations.

use super::{
    Gradient, Lowering, Operation, expect_guard, expect_shape, floats, floats_and_option, same_shape,
};
use crate::kernel::{self, Elementwise, Kernel, StorageId};
use crate::{Result, TensorType};

/// Sum of two tensors of the same shape, as in residual connections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Add;

/// max(x, 0); NaN stays NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Relu;

/// Gradient of [`Relu`] from its output and the upstream gradient: 0 at 0, and the upstream gradient at NaN, as in PyTorch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReluGrad;

/// Product of two tensors of the same shape, element by element.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mul;

/// a / (b + eps with the sign of b), which keeps the divisor away from 0. Inputs: a and b of the same shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StabilizedDiv {
    /// Added to the magnitude of b; not negative.
    pub eps: f32,
}

/// A tensor times a scalar that the graph computes: inputs x and s of shape `[1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale;

/// alpha * x + beta * y, in place of x: running statistics and moving averages. Inputs: x, y, and optionally a guard `[1]`: if it
/// is NaN or infinite, the result is x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedSum {
    /// Weight of the old value.
    pub alpha: f32,
    /// Weight of the new value.
    pub beta: f32,
}

fn params(len: u32) -> Elementwise {
    Elementwise { len, ..Default::default() }
}

/// Emits a kernel without factors that computes the node's output from its inputs.
fn lower(node: &mut impl Lowering, kernel: &'static Kernel) -> Result<()> {
    let (reads, writes) = node.operands(kernel);
    node.launch_elementwise(kernel, params, &reads, &writes, 1, false)
}

impl Operation for Add {
    const NAME: &'static str = "add";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [a, b] = floats(inputs)?;
        same_shape("summands", a, b)?;
        Ok(vec![a.clone()])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let grad_output = node.grad_output()?;
        for i in 0..2 {
            node.set(i, grad_output);
        }
        Ok(())
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::ADD)
    }
}

impl Operation for Relu {
    const NAME: &'static str = "relu";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        Ok(vec![x.clone()])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        node.set_to(0, ReluGrad, &[node.output(0), node.grad_output()?])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::RELU)
    }
}

impl Operation for ReluGrad {
    const NAME: &'static str = "relu_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [y, grad_output] = floats(inputs)?;
        same_shape("output and gradient", y, grad_output)?;
        Ok(vec![y.clone()])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::RELU_GRAD)
    }
}

impl Operation for Mul {
    const NAME: &'static str = "mul";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [a, b] = floats(inputs)?;
        same_shape("factors", a, b)?;
        Ok(vec![a.clone()])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let grad_output = node.grad_output()?;
        for i in 0..2 {
            if node.needs(i) {
                node.set_to(i, Mul, &[grad_output, node.input(1 - i)])?;
            }
        }
        Ok(())
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::MUL)
    }
}

impl Operation for StabilizedDiv {
    const NAME: &'static str = "stabilized_div";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [a, b] = floats(inputs)?;
        same_shape("dividend and divisor", a, b)?;
        Ok(vec![a.clone()])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let (reads, writes) = node.operands(&kernel::STABILIZED_DIV);
        let params = |len| Elementwise { alpha: self.eps, ..params(len) };
        node.launch_elementwise(&kernel::STABILIZED_DIV, params, &reads, &writes, 2, false)
    }
}

impl Operation for Scale {
    const NAME: &'static str = "scale";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x, factor] = floats(inputs)?;
        expect_shape("a factor", factor, &[1])?;
        Ok(vec![x.clone()])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        if node.needs(1) {
            return Err(node.error(
                "there is no gradient with respect to the factor; request only the gradient of the other input",
            ));
        }
        node.set_to(0, Scale, &[node.grad_output()?, node.input(1)])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        lower(node, &kernel::SCALE)
    }
}

/// Emits state = alpha * state + beta * y.
pub(crate) fn launch_weighted_sum(
    node: &mut impl Lowering,
    op: &WeightedSum,
    y: StorageId,
    state: StorageId,
) -> Result<()> {
    launch_blend(node, op, &kernel::BLEND, &[y], state)
}

fn launch_blend(
    node: &mut impl Lowering,
    op: &WeightedSum,
    kernel: &'static Kernel,
    reads: &[StorageId],
    state: StorageId,
) -> Result<()> {
    let params = |len| Elementwise { alpha: op.alpha, beta: op.beta, ..params(len) };
    node.launch_elementwise(kernel, params, reads, &[state], 2, true)
}

impl Operation for WeightedSum {
    const NAME: &'static str = "weighted_sum";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let ([x, y], guard) = floats_and_option(inputs)?;
        same_shape("operands", x, y)?;
        expect_guard(guard)?;
        Ok(vec![x.clone()])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let state = node.begin_in_place(0, 0)?;
        let y = node.input(1);
        match node.inputs() > 2 {
            true => launch_blend(node, self, &kernel::GUARDED_BLEND, &[y, node.input(2)], state),
            false => launch_weighted_sum(node, self, y, state),
        }
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }
}
