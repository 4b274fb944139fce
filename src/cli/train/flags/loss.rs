//! Flags for the loss.

use crate::cli::flags::number;
use clap::ValueEnum;
use serde::Serialize;
use striate::data::Dataset;
use striate::{Error, Result};

/// The loss.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Loss")]
pub struct LossFlags {
    /// Fraction of the target that is spread over all classes
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = number)]
    pub label_smoothing: f32,
    /// Weights of the classes in the loss
    #[arg(long, value_enum, default_value_t = ClassWeights::None)]
    #[serde(skip_serializing_if = "ClassWeights::is_none")]
    class_weights: ClassWeights,
}

/// How the loss weights classes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum ClassWeights {
    /// All equal
    None,
    /// In inverse proportion to their numbers of training images
    Balanced,
}

impl ClassWeights {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl LossFlags {
    /// The weight of each class in the loss: 1 on average over the images.
    pub fn class_weights(&self, data: &Dataset) -> Result<Option<Vec<f32>>> {
        let classes = data.classes().len();
        let mut counts = vec![0u32; classes];
        data.labels().iter().for_each(|label| counts[*label as usize] += 1);
        let weight = |count: u32| data.len() as f32 / (classes as f32 * count as f32);
        if self.class_weights == ClassWeights::None {
            return Ok(None);
        }
        if let Some(empty) = counts.iter().position(|count| *count == 0) {
            let problem =
                format!("there are no training images of class {}; leave it out", data.classes()[empty]);
            return Err(Error::argument("class_weights", problem));
        }
        Ok(Some(counts.into_iter().map(weight).collect()))
    }
}
