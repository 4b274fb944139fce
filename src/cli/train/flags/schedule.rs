//! Flags for the length of training and the learning rate.

use crate::cli::flags::number;
use clap::ValueEnum;
use serde::Serialize;
use striate::nn::{Decay, Milestone, OneCycle};
use striate::{Error, Result};

/// The schedule of training.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Schedule")]
pub struct ScheduleFlags {
    /// Passes over the training images
    #[arg(long, default_value_t = 4)]
    pub epochs: usize,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Split each step into this many micro-batches, to save memory
    #[arg(long, default_value_t = 1, value_name = "BATCHES")]
    pub accumulate: usize,
    /// Train on equally many images of each class in an epoch: those of small classes several times, of large ones a part
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub balanced_sampling: bool,
    /// Drop the last batch if it is smaller than the others
    #[arg(long)]
    pub drop_last: bool,
    /// Peak learning rate [default: 0.1 for sgd, 0.01 for sgd on lenet, 0.003 for adam and adamw]
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub lr: Option<f32>,
    /// Epochs over which the learning rate rises from zero
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true, value_parser = number)]
    pub warmup: f32,
    /// Fraction of the learning rate at the first step of --warmup [default: 1 / its number of steps]
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_factor: Option<f32>,
    /// Schedule of the learning rate after the warm-up
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    schedule: ScheduleName,
    /// Epochs after which --schedule steps lowers the rate [default: 1/2 and 3/4 of all]
    #[arg(long, value_delimiter = ',', value_name = "EPOCH,...", conflicts_with = "step_every")]
    milestones: Vec<usize>,
    /// Epochs between two steps of --schedule steps
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    step_every: Option<u32>,
    /// Factor of the rate at each step of --schedule steps
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true, value_parser = number)]
    gamma: f32,
    /// Final rate of --schedule cosine [default: 0]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_min: Option<f32>,
    /// Exponent of --schedule polynomial [default: 1, a straight line]
    #[arg(long, value_name = "POWER", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    power: Option<f32>,
    /// Stop after this many epochs without a better accuracy on the validation images, or else on the test images
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
}

/// Names of [`Decay`]s.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ScheduleName {
    /// Half a cosine down to --eta-min
    Cosine,
    /// Steps: by default to a tenth at 1/2 and at 3/4 of all epochs
    Steps,
    /// A power of the remaining fraction of the steps
    Polynomial,
    /// Up and down again, with its own warm-up
    OneCycle,
    /// No decay
    Constant,
}

impl ScheduleFlags {
    /// The decay of the learning rate. A flag of another schedule is an error.
    pub fn decay(&self) -> Result<Decay> {
        use ScheduleName::{Cosine, Polynomial, Steps};
        let given = [
            ("milestones", !self.milestones.is_empty(), Steps),
            ("step-every", self.step_every.is_some(), Steps),
            ("gamma", self.gamma != 0.1, Steps),
            ("eta-min", self.eta_min.is_some(), Cosine),
            ("power", self.power.is_some(), Polynomial),
        ];
        if let Some((flag, _, wanted)) = given.iter().find(|(_, given, of)| *given && *of != self.schedule) {
            let name = wanted.to_possible_value().expect("no name is hidden");
            let problem = format!("requires --schedule {}; give both or none", name.get_name());
            return Err(Error::argument(*flag, problem));
        }
        if !(self.gamma > 0.0 && self.gamma.is_finite()) {
            let problem = format!("must be finite and above 0, got {}", self.gamma);
            return Err(Error::argument("gamma", problem));
        }
        Ok(match self.schedule {
            Cosine => Decay::Cosine { eta_min: self.eta_min.unwrap_or(0.0) },
            Polynomial => Decay::Polynomial { power: self.power.unwrap_or(1.0) },
            Steps => Decay::Steps { at: self.milestones()?, factor: self.gamma },
            ScheduleName::OneCycle => Decay::OneCycle(OneCycle::default()),
            ScheduleName::Constant => Decay::Constant,
        })
    }

    /// When the learning rate steps down.
    fn milestones(&self) -> Result<Vec<Milestone>> {
        let epochs = match self.step_every {
            Some(every) => (1..).map(|i| i * every as usize).take_while(|at| *at < self.epochs).collect(),
            None => self.milestones.clone(),
        };
        if let Some(late) = epochs.iter().find(|at| **at == 0 || **at >= self.epochs) {
            let problem = format!("expected epochs above 0 and below {}, found {late}", self.epochs);
            return Err(Error::argument("milestones", problem));
        }
        match self.step_every.is_none() && epochs.is_empty() {
            true => Ok(vec![Milestone::Fraction(1, 2), Milestone::Fraction(3, 4)]),
            false => Ok(epochs.into_iter().map(Milestone::Epoch).collect()),
        }
    }
}
