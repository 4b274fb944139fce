//! Optimisers: from gradients to updates, as nodes of the same graph.

use crate::graph::{Graph, Init, PersistentKind, Phase, ValueId};
use crate::op::{Adam, Op, Sgd};
use crate::{Result, TensorType};

/// SGD with momentum; PyTorch's meaning of the fields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Share of the velocity kept.
    pub momentum: f32,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f32,
    /// Look ahead along the velocity.
    pub nesterov: bool,
}

impl Default for SgdConfig {
    /// He et al. 2015: momentum 0.9, weight decay 1e-4.
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 1e-4, nesterov: false }
    }
}

/// Adam, or AdamW where `decoupled`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Strength of weight decay.
    pub weight_decay: f32,
    /// Decay the weights themselves (AdamW).
    pub decoupled: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decoupled: true }
    }
}

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam or AdamW.
    Adam(AdamConfig),
}

impl Optimizer {
    /// Name of the input that the updates take, `f32` `[3]`; see [`Optimizer::schedule`].
    pub const SCHEDULE: &str = "schedule";

    /// Numbers of the input [`Optimizer::SCHEDULE`] at a step, counted from 0.
    pub fn schedule(&self, lr: f32, step: usize) -> [f32; 3] {
        match self {
            Optimizer::Sgd(_) => [lr, 1.0, 1.0],
            Optimizer::Adam(config) => adam(config).schedule(lr, step as u32 + 1),
        }
    }

    /// Adds the nodes that update each parameter from its gradient, and the state they need.
    pub fn update(&self, graph: &mut Graph, gradients: &[(ValueId, ValueId)]) -> Result<()> {
        let schedule = graph.input(Self::SCHEDULE, TensorType::f32([3]))?;
        let (op, states): (Op, &[&str]) = match self {
            Optimizer::Sgd(c) => {
                let SgdConfig { momentum, weight_decay, nesterov } = *c;
                (Sgd { momentum, weight_decay, nesterov, lr_scale: 1.0 }.into(), &["velocity"])
            }
            Optimizer::Adam(c) => (adam(c).into(), &["first_moment", "second_moment"]),
        };
        graph.scoped("optimizer", |graph| {
            graph.in_phase(Phase::Update, |graph| {
                for (parameter, gradient) in gradients {
                    update_one(graph, op.clone(), states, [*parameter, *gradient, schedule])?;
                }
                Ok(())
            })
        })
    }
}

fn adam(c: &AdamConfig) -> Adam {
    let AdamConfig { beta1, beta2, eps, weight_decay, decoupled } = *c;
    Adam { beta1, beta2, eps, weight_decay, decoupled, lr_scale: 1.0 }
}

fn update_one(
    graph: &mut Graph,
    op: Op,
    states: &[&str],
    [parameter, gradient, schedule]: [ValueId; 3],
) -> Result<()> {
    let name = graph.value(parameter).name.clone();
    let ty = graph.value(parameter).ty.clone();
    let states = states
        .iter()
        .map(|state| {
            let zero = Init::Constant(0.0);
            graph.persistent(&format!("{name}.{state}"), ty.clone(), PersistentKind::Optimizer, zero)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut inputs = vec![parameter, gradient];
    inputs.extend(&states);
    inputs.push(schedule);
    let outputs = graph.apply(op, &inputs)?;
    for (state, output) in std::iter::once(&parameter).chain(&states).zip(outputs) {
        graph.update(*state, output)?;
    }
    Ok(())
}
