//! What a training run tells about itself.

use super::Recipe;
use super::config::TrainConfig;
use crate::{Error, Outputs, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Loss and accuracy over some images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Share classified right, from 0 to 1.
    pub accuracy: f64,
    /// How many images.
    #[serde(rename = "pictures")]
    pub images: usize,
}

/// Where training stands: with the values on the device, all that decides how it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs done.
    pub epoch: usize,
    /// Batches of the next epoch that are done.
    pub batch: usize,
    /// Steps done in all.
    pub step: usize,
    /// Means over that epoch's batches so far.
    pub score: Score,
    /// Time spent on them.
    pub seconds: f64,
}

impl Position {
    /// Fails unless training with these settings on so many images can stand here.
    pub(super) fn check(&self, config: &TrainConfig, images: usize) -> Result<()> {
        let steps = config.loader(0, 0).batches(images);
        let Self { epoch, batch, step, score, seconds } = *self;
        let wrong = if epoch > config.epochs || (epoch == config.epochs && batch > 0) {
            format!("batch {batch} after epoch {epoch} of {}", config.epochs)
        } else if batch > steps {
            format!("batch {batch} of {steps} in an epoch")
        } else if epoch.checked_mul(steps).and_then(|before| before.checked_add(batch)) != Some(step) {
            format!("step {step} after {epoch} epochs of {steps} steps and {batch} more")
        } else if score.images > images || !(score.loss.is_finite() && score.accuracy.is_finite()) {
            format!("a loss of {} over {} of {images} images", score.loss, score.images)
        } else if Duration::try_from_secs_f64(seconds).is_err() {
            format!("{seconds} seconds of work")
        } else {
            return Ok(());
        };
        Err(Error::argument("position", format!("training never stands at {wrong}")))
    }
}

/// Where an epoch stands, told after each step whose results have arrived.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Steps of this epoch whose results have arrived.
    pub step: usize,
    /// Steps of the epoch.
    pub steps: usize,
    /// Learning rate of the step.
    pub lr: f32,
    /// Mean over the epoch so far.
    pub score: Score,
}

/// What came of an epoch.
#[derive(Clone, Debug)]
pub struct EpochReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Learning rate of the last step.
    pub lr: f32,
    /// On the training images as they were seen: augmented, while the weights changed.
    pub train: Score,
    /// On the test images, after the epoch. `None` if training was paused before its end.
    pub test: Option<Score>,
    /// Time spent in training.
    pub train_time: Duration,
    /// Time spent in testing.
    pub test_time: Duration,
}

impl Score {
    /// Adds the outputs of one batch to the means, `share` of each of whose images is its own.
    pub(super) fn add(&mut self, outputs: &Outputs, size: usize, share: f32) {
        let output = |name| outputs.scalar(name).expect("both graphs have these outputs") as f64;
        let images = self.images + size;
        let mean = |old: f64, sum: f64| (old * self.images as f64 + sum) / images as f64;
        let mixed = outputs.scalar(Recipe::PARTNER_LOSS).map(f64::from);
        let share = f64::from(share);
        let loss =
            mixed.map_or(output(Recipe::LOSS), |other| share * output(Recipe::LOSS) + (1.0 - share) * other);
        self.loss = mean(self.loss, loss * size as f64);
        self.accuracy = mean(self.accuracy, output(Recipe::CORRECT));
        self.images = images;
    }
}
