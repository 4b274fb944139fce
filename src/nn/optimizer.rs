//! Optimisers: from gradients to updates, as nodes of the same graph.

use super::Rules;
use crate::graph::{Graph, Init, PersistentKind, Phase, ValueId};
use crate::op::{Adam, Add, ClipCoefficient, Op, Scale, Sgd, SumSquares};
use crate::{Result, TensorType};

/// SGD with momentum; PyTorch's fields and defaults, of which all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdConfig {
    /// Share of the velocity kept.
    pub momentum: f32,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f32,
    /// Look ahead along the velocity.
    pub nesterov: bool,
}

impl SgdConfig {
    /// What ResNets were first trained with (He et al. 2015): momentum 0.9, weight decay 1e-4.
    pub const HE_2015: Self = Self { momentum: 0.9, weight_decay: 1e-4, nesterov: false };
}

/// Adam, or AdamW where `decoupled`; the defaults of PyTorch's `Adam`. Those of its `AdamW` are [`AdamConfig::ADAMW`].
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

impl AdamConfig {
    /// The defaults of PyTorch's `AdamW`: decoupled weight decay of 0.01.
    pub const ADAMW: Self = Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decoupled: true };
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { weight_decay: 0.0, decoupled: false, ..Self::ADAMW }
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
            Optimizer::Adam(AdamConfig { beta1, beta2, .. }) => {
                Adam { beta1: *beta1, beta2: *beta2, ..Default::default() }.schedule(lr, step)
            }
        }
    }

    /// Adds the nodes that update each parameter from its gradient, by the rules, and the state they need.
    pub fn update(&self, graph: &mut Graph, gradients: &[(ValueId, ValueId)], rules: &Rules) -> Result<()> {
        let schedule = graph.input(Self::SCHEDULE, TensorType::f32([3]))?;
        graph.scoped("optimizer", |graph| {
            graph.in_phase(Phase::Update, |graph| {
                for (parameter, gradient) in gradients {
                    let value = graph.value(*parameter);
                    let decay = if rules.decays(&value.name, &value.ty.shape) { 1.0 } else { 0.0 };
                    let op = self.step(rules.lr_scale(&value.name), decay);
                    update_one(graph, op, self.states(), [*parameter, *gradient, schedule])?;
                }
                Ok(())
            })
        })
    }

    /// Strength of weight decay.
    pub fn weight_decay(&self) -> f32 {
        match self {
            Optimizer::Sgd(config) => config.weight_decay,
            Optimizer::Adam(config) => config.weight_decay,
        }
    }

    /// The operation on one parameter, with factors of the learning rate and of the weight decay.
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

    /// What is kept for each parameter.
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

/// Adds the nodes that clip gradients by their global norm. Returns the clipped gradients and the norm before clipping.
pub(crate) fn clip_grad_norm(
    graph: &mut Graph,
    grads: &[ValueId],
    max_norm: f32,
) -> Result<(Vec<ValueId>, ValueId)> {
    let mut squares = graph.apply(SumSquares, &grads[..1])?[0];
    for grad in &grads[1..] {
        let more = graph.apply(SumSquares, &[*grad])?[0];
        squares = graph.apply(Add, &[squares, more])?[0];
    }
    let [factor, norm] = graph.apply(ClipCoefficient { max_norm }, &[squares])?[..] else {
        unreachable!("it has two outputs");
    };
    let clipped =
        grads.iter().map(|g| Ok(graph.apply(Scale, &[*g, factor])?[0])).collect::<Result<Vec<_>>>()?;
    Ok((clipped, norm))
}
