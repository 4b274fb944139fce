//! Flags for the optimizer.

use super::fine_tuning::patterns;
use crate::cli::flags::number;
use clap::ValueEnum;
use serde::Serialize;
use striate::nn::{AdamConfig, Optimizer, Rules, SgdConfig};
use striate::{Error, Result};

/// The optimizer, its regularization, and what it does with gradients and weights.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Optimizer")]
pub struct OptimizerFlags {
    /// Optimizer
    #[arg(long, value_enum, default_value_t = OptimizerName::Sgd)]
    optimizer: OptimizerName,
    /// Momentum of sgd
    #[arg(long, default_value_t = 0.9, allow_negative_numbers = true, value_parser = number)]
    momentum: f32,
    /// Use Nesterov momentum
    #[arg(long)]
    nesterov: bool,
    /// Coefficient of weight decay
    #[arg(long, default_value_t = 5e-4, allow_negative_numbers = true, value_parser = number)]
    weight_decay: f32,
    /// Disable weight decay for these parameters; may be repeated
    #[arg(long, value_name = "PATTERN")]
    no_decay: Vec<String>,
    /// Disable weight decay for biases and batch norms
    #[arg(long)]
    no_decay_1d: bool,
    /// Clip the global norm of the gradients to this
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub clip_norm: Option<f32>,
    /// Keep an exponential moving average of the weights with this decay per step, such as 0.99, to test and save
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, value_parser = number)]
    pub ema: Option<f32>,
}

/// Names of [`Optimizer`]s.
#[derive(ValueEnum, Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum OptimizerName {
    /// Stochastic gradient descent with momentum
    Sgd,
    /// Adam; weight decay is added to the gradient
    Adam,
    /// Adam with decoupled weight decay
    Adamw,
}

impl OptimizerFlags {
    /// Whether the optimizer needs the low rates of Adam.
    pub fn uses_adam(&self) -> bool {
        !matches!(self.optimizer, OptimizerName::Sgd)
    }

    /// The optimizer with its settings.
    pub fn optimizer(&self) -> Result<Optimizer> {
        for (name, value) in [("momentum", self.momentum), ("weight-decay", self.weight_decay)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::argument(name, format!("must be finite and at least 0, got {value}")));
            }
        }
        let weight_decay = self.weight_decay;
        let adam = |decoupled| Optimizer::Adam(AdamConfig { weight_decay, decoupled, ..Default::default() });
        Ok(match self.optimizer {
            OptimizerName::Sgd => {
                Optimizer::Sgd(SgdConfig { momentum: self.momentum, weight_decay, nesterov: self.nesterov })
            }
            OptimizerName::Adam => adam(false),
            OptimizerName::Adamw => adam(true),
        })
    }

    /// The rules for weight decay.
    pub fn rules(&self) -> Result<Rules> {
        let no_decay = patterns("no-decay", &self.no_decay)?;
        Ok(Rules { no_decay, no_decay_1d: self.no_decay_1d, ..Rules::default() })
    }
}
