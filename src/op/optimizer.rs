//! Optimizer steps as operations of the graph.

use super::{
    Lowering, Operation, arrays, expect_arrays, expect_guard, expect_shape, floats_and_option, same_shape,
    to_u32,
};
use crate::kernel::{self, Clip, Grid, StorageId};
use crate::{Result, TensorType};

/// One step of stochastic gradient descent with momentum, with PyTorch's order of operations and defaults. Inputs: parameter,
/// gradient, velocity, and the schedule `[3]` of (learning rate, 1 - beta1^t, 1 - beta2^t), of which only the learning rate is
/// used; optionally a guard `[1]`: if it is NaN or infinite, nothing changes. Outputs: parameter and velocity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Momentum factor of the velocity.
    pub momentum: f32,
    /// Weight decay, added to the gradient (L2 penalty).
    pub weight_decay: f32,
    /// Use Nesterov momentum.
    pub nesterov: bool,
    /// Factor on the learning rate for this parameter.
    pub lr_scale: f32,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.0, weight_decay: 0.0, nesterov: false, lr_scale: 1.0 }
    }
}

/// One step of Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019). Inputs: parameter, gradient, first and second
/// moment, and the schedule and optional guard of [`Sgd`]. Outputs: parameter and moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Decay the weights directly instead of through the gradient: AdamW.
    pub decoupled: bool,
    /// Factor on the learning rate for this parameter.
    pub lr_scale: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false, lr_scale: 1.0 }
    }
}

impl Adam {
    /// The schedule of a step, counted from 0: (learning rate, 1 - beta1^t, 1 - beta2^t) with t = step + 1. Powers are computed in
    /// f64 because 1 - 0.999 would lose half of its digits in f32.
    pub fn schedule(&self, lr: f32, step: usize) -> [f32; 3] {
        let t = i32::try_from(step.saturating_add(1)).unwrap_or(i32::MAX);
        let correction = |beta: f32| (1.0 - (beta as f64).powi(t)) as f32;
        [lr, correction(self.beta1), correction(self.beta2)]
    }
}

/// Clipping by global norm. Inputs: all gradients. Outputs, both `[1]`: the factor min(1, max_norm / (norm + 1e-6)) and the norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipCoefficient {
    /// The largest allowed norm.
    pub max_norm: f32,
}

/// The types of the outputs, parameter and state, for a step with `N` inputs, or one more: the guard.
fn infer_step<const N: usize>(inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    let (inputs, guard): ([&TensorType; N], _) = floats_and_option(inputs)?;
    expect_guard(guard)?;
    for ty in &inputs[1..N - 1] {
        same_shape("parameter, gradient and state", inputs[0], ty)?;
    }
    expect_shape("a schedule", inputs[N - 1], &[3])?;
    Ok(vec![inputs[0].clone(); N - 2])
}

/// Schedule and guard, which are inputs `at` and `at + 1`. The schedule stands in for a guard: the learning rate is finite.
fn schedule_and_guard(node: &impl Lowering, at: usize) -> [StorageId; 2] {
    [node.input(at), node.input(if node.inputs() > at + 1 { at + 1 } else { at })]
}

impl Operation for Sgd {
    const NAME: &'static str = "sgd";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_step::<4>(inputs)
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let writes = [node.begin_in_place(0, 0)?, node.begin_in_place(1, 2)?];
        let params = |len| kernel::Sgd {
            len,
            lr_scale: self.lr_scale,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            nesterov: self.nesterov as u32,
        };
        let [schedule, guard] = schedule_and_guard(node, 3);
        let reads = [node.input(1), schedule, guard];
        node.launch_elementwise(&kernel::SGD, params, &reads, &writes, 8, true)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0), (1, 2)]
    }
}

impl Operation for Adam {
    const NAME: &'static str = "adam";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        infer_step::<5>(inputs)
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let writes = [node.begin_in_place(0, 0)?, node.begin_in_place(1, 2)?, node.begin_in_place(2, 3)?];
        let params = |len| kernel::Adam {
            len,
            lr_scale: self.lr_scale,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
            decoupled: self.decoupled as u32,
        };
        let [schedule, guard] = schedule_and_guard(node, 4);
        let reads = [node.input(1), schedule, guard];
        node.launch_elementwise(&kernel::ADAM, params, &reads, &writes, 16, true)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0), (1, 2), (2, 3)]
    }
}

impl Operation for ClipCoefficient {
    const NAME: &'static str = "clip_coefficient";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        expect_arrays(inputs)?;
        if self.max_norm > 0.0 {
            Ok(vec![TensorType::f32([1]); 2])
        } else {
            Err(format!("expected a maximum norm above 0, found {}", self.max_norm))
        }
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let gradients = arrays::inputs(node);
        let (squares, groups) = arrays::reduce(node, &kernel::SUM_SQUARES, &gradients, 2)?;
        let params = Clip { groups: to_u32(groups), max_norm: self.max_norm };
        let writes = [node.output(0), node.output(1)];
        let kernel = &kernel::CLIP_COEFFICIENT;
        node.launch(kernel, &params, &[squares], &writes, Grid::Workgroups(1), groups as u64 + 4)
    }
}
