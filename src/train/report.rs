//! Position, progress and results of training.

use super::Recipe;
use super::config::TrainConfig;
use crate::{Error, Outputs, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Mean loss and accuracy over some images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Fraction classified correctly, from 0 to 1.
    pub accuracy: f64,
    /// Number of images.
    #[serde(rename = "pictures")]
    pub images: usize,
}

/// Position in the training schedule. Together with the persistent values on the device it determines the rest of
/// training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Completed epochs.
    pub epoch: usize,
    /// Completed batches of the current epoch.
    pub batch: usize,
    /// Completed steps in total.
    pub step: usize,
    /// Score over the completed batches of the current epoch, without those of skipped steps.
    pub score: Score,
    /// Seconds spent on these batches.
    pub seconds: f64,
    /// Skipped steps of the current epoch ([`TrainConfig::skip_non_finite`]).
    #[serde(default)]
    pub skipped: usize,
    /// Number of steps skipped in a row, up to now.
    #[serde(default)]
    pub skipped_in_a_row: usize,
}

impl Position {
    /// Checks that training with these settings on this number of images can reach this position.
    pub(super) fn check(&self, config: &TrainConfig, images: usize) -> Result<()> {
        let steps = config.loader(0, 0).batches(images);
        let Self { epoch, batch, step, score, seconds, skipped, skipped_in_a_row } = *self;
        let wrong = if epoch > config.epochs || (epoch == config.epochs && batch > 0) {
            format!("batch {batch} after epoch {epoch} of {}", config.epochs)
        } else if batch > steps {
            format!("batch {batch} of {steps} in an epoch")
        } else if epoch.checked_mul(steps).and_then(|before| before.checked_add(batch)) != Some(step) {
            format!("step {step} after {epoch} epochs of {steps} steps and {batch} more")
        } else if score.images > images || !(score.loss.is_finite() && score.accuracy.is_finite()) {
            format!("a loss of {} over {} of {images} images", score.loss, score.images)
        } else if skipped > batch || skipped_in_a_row > step {
            format!("{skipped} skipped steps of {batch}, {skipped_in_a_row} in a row of {step}")
        } else if Duration::try_from_secs_f64(seconds).is_err() {
            format!("{seconds} seconds")
        } else {
            return Ok(());
        };
        Err(Error::argument("position", format!("{wrong} is impossible in this run")))
    }
}

/// Progress within an epoch, reported as the results of steps arrive.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Steps of the epoch whose results have arrived.
    pub step: usize,
    /// Total steps of the epoch.
    pub steps: usize,
    /// Learning rate of the step.
    pub lr: f32,
    /// Score over the epoch so far.
    pub score: Score,
    /// Score of the step alone. If the step was skipped, it may be NaN or infinite.
    pub batch: Score,
    /// Whether the step was skipped ([`TrainConfig::skip_non_finite`]).
    pub skipped: bool,
}

/// Results of an epoch.
#[derive(Clone, Debug)]
pub struct EpochReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Learning rate of the last step.
    pub lr: f32,
    /// Score on the augmented training images, accumulated while the weights changed, without those of skipped steps.
    pub train: Score,
    /// Number of skipped steps ([`TrainConfig::skip_non_finite`]).
    pub skipped: usize,
    /// Score on the validation images after the epoch; `None` if there are none, or the epoch was paused.
    pub validation: Option<Score>,
    /// Score on the test images after the epoch; `None` if there are validation images, or the epoch was paused.
    pub test: Option<Score>,
    /// Time spent training.
    pub train_time: Duration,
    /// Time spent testing.
    pub test_time: Duration,
}

impl EpochReport {
    /// The score on validation or test images; `None` if the epoch was paused.
    pub fn held_out(&self) -> Option<Score> {
        self.validation.or(self.test)
    }
}

impl Score {
    /// Updates the means with the outputs of a batch of `size` images. `mix_weight` is the weight of the images' own labels.
    pub(super) fn add(&mut self, outputs: &Outputs, size: usize, mix_weight: f32) {
        let output = |name| outputs.scalar(name).expect("training and evaluation have these outputs") as f64;
        let images = self.images + size;
        let mean = |old: f64, sum: f64| (old * self.images as f64 + sum) / images as f64;
        let (own, weight) = (output(Recipe::LOSS), f64::from(mix_weight));
        let partner = outputs.scalar(Recipe::PARTNER_LOSS).map(f64::from);
        let loss = partner.map_or(own, |partner| weight * own + (1.0 - weight) * partner);
        self.loss = mean(self.loss, loss * size as f64);
        self.accuracy = mean(self.accuracy, output(Recipe::CORRECT));
        self.images = images;
    }
}
