//! Optimizers, as graph nodes that update each parameter from its gradient.

use super::Rules;
use crate::graph::{Graph, Init, PersistentKind, Phase, ValueId};
use crate::op::{Adam, ClipCoefficient, Op, Scale, Sgd};
use crate::{Result, TensorType};

/// SGD with momentum; PyTorch's fields and defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdConfig {
    /// Momentum factor.
    pub momentum: f32,
    /// L2 penalty: the gradient is increased by this times the parameter.
    pub weight_decay: f32,
    /// Nesterov momentum.
    pub nesterov: bool,
}

impl SgdConfig {
    /// The settings of He et al. 2015 for ResNets: momentum 0.9, weight decay 1e-4.
    pub const HE_2015: Self = Self { momentum: 0.9, weight_decay: 1e-4, nesterov: false };
}

/// Adam, or AdamW if `decoupled`. The defaults match PyTorch's `Adam`; [`AdamConfig::ADAMW`] matches `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay rate of the first moment.
    pub beta1: f32,
    /// Decay rate of the second moment.
    pub beta2: f32,
    /// Added to the square root of the second moment.
    pub eps: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Apply weight decay to the weights directly (AdamW) instead of to the gradients.
    pub decoupled: bool,
}

impl AdamConfig {
    /// The defaults of PyTorch's `AdamW`: decoupled weight decay of 0.01.
    pub const ADAMW: Self = Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decoupled: true };
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { weight_decay: 0.0, decoupled: false, ..Self::ADAMW }
    }
}

/// An optimizer and its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam or AdamW.
    Adam(AdamConfig),
}

impl Optimizer {
    /// Input: the learning rate and bias corrections, `f32` `[3]`; see [`Optimizer::schedule`].
    pub const SCHEDULE: &str = "schedule";

    /// Value of the input [`Optimizer::SCHEDULE`] at a step, counted from 0: the learning rate, and Adam's bias
    /// corrections.
    pub fn schedule(&self, lr: f32, step: usize) -> [f32; 3] {
        match self {
            Optimizer::Sgd(_) => [lr, 1.0, 1.0],
            Optimizer::Adam(AdamConfig { beta1, beta2, .. }) => {
                Adam { beta1: *beta1, beta2: *beta2, ..Default::default() }.schedule(lr, step)
            }
        }
    }

    /// Adds nodes that update each parameter from its gradient, and the optimizer's state. `gradients` are pairs of
    /// parameter and gradient. If there is a `guard`, of shape `[1]`, a step in which it is NaN or infinite changes nothing.
    pub fn update(
        &self,
        graph: &mut Graph,
        gradients: &[(ValueId, ValueId)],
        guard: Option<ValueId>,
        rules: &Rules,
    ) -> Result<()> {
        let schedule = graph.input(Self::SCHEDULE, TensorType::f32([3]))?;
        graph.scoped("optimizer", |graph| {
            graph.in_phase(Phase::Update, |graph| {
                for (parameter, gradient) in gradients {
                    let value = graph.value(*parameter);
                    let decay = if rules.decays(&value.name, &value.ty.shape) { 1.0 } else { 0.0 };
                    let op = self.step(rules.lr_scale(&value.name), decay);
                    update_one(graph, op, self.states(), [*parameter, *gradient, schedule], guard)?;
                }
                Ok(())
            })
        })
    }

    /// The weight decay.
    pub fn weight_decay(&self) -> f32 {
        match self {
            Optimizer::Sgd(config) => config.weight_decay,
            Optimizer::Adam(config) => config.weight_decay,
        }
    }

    /// The update of one parameter, with its factors of learning rate and weight decay.
    fn step(&self, lr_scale: f32, decay: f32) -> Op {
        match self {
            Optimizer::Sgd(SgdConfig { momentum, weight_decay, nesterov }) => {
                let weight_decay = weight_decay * decay;
                Sgd { momentum: *momentum, weight_decay, nesterov: *nesterov, lr_scale }.into()
            }
            Optimizer::Adam(c) => {
                let AdamConfig { beta1, beta2, eps, weight_decay, decoupled } = *c;
                Adam { beta1, beta2, eps, weight_decay: weight_decay * decay, decoupled, lr_scale }.into()
            }
        }
    }

    /// Names of the state per parameter.
    fn states(&self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd(_) => &["velocity"],
            Optimizer::Adam(_) => &["first_moment", "second_moment"],
        }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Sgd(SgdConfig::default())
    }
}

fn update_one(
    graph: &mut Graph,
    op: Op,
    states: &[&str],
    [parameter, gradient, schedule]: [ValueId; 3],
    guard: Option<ValueId>,
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
    inputs.extend(guard);
    let outputs = graph.apply(op, &inputs)?;
    for (state, output) in std::iter::once(&parameter).chain(&states).zip(outputs) {
        graph.update(*state, output)?;
    }
    Ok(())
}

/// Adds the nodes that clip gradients by their global norm. Returns the clipped gradients and the norm before clipping.
pub(crate) fn clip_grad_norm(
    graph: &mut Graph,
    grads: &[ValueId],
    max_norm: f32,
) -> Result<(Vec<ValueId>, ValueId)> {
    let [factor, norm] = graph.apply(ClipCoefficient { max_norm }, grads)?[..] else {
        unreachable!("it has two outputs");
    };
    let clipped =
        grads.iter().map(|g| Ok(graph.apply(Scale, &[*g, factor])?[0])).collect::<Result<Vec<_>>>()?;
    Ok((clipped, norm))
}
