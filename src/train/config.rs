//! Settings of training.

use super::step::Recipe;
use crate::data::{Augment, LoaderConfig, Mix, Split};
use crate::models::Model;
use crate::nn::{Decay, Optimizer, Schedule, SgdConfig};
use crate::{Error, Result};

/// Largest batch in evaluation.
const TEST_BATCH: usize = 200;

/// Settings of a [`Trainer`](super::Trainer).
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Micro-batches per step. Gradients are accumulated over them, which saves memory; batch norm normalizes each of
    /// them separately.
    pub accumulate: usize,
    /// Peak learning rate.
    pub lr: f32,
    /// Epochs of linear warmup to `lr`.
    pub warmup_epochs: f32,
    /// Start of the warmup ([`Schedule::start_factor`]).
    pub start_factor: Option<f32>,
    /// Decay of the learning rate after the warmup.
    pub decay: Decay,
    /// Optimizer, per-parameter rules, label smoothing, clipping, weight averaging. [`Recipe::mixed`] is overridden by
    /// `mix`.
    pub recipe: Recipe,
    /// Seed of initial weights, shuffling, augmentation and dropout.
    pub seed: u64,
    /// Random crops and flips of training images.
    pub augment: Option<Augment>,
    /// Mixup and CutMix.
    pub mix: Option<Mix>,
    /// Drop the last batch of an epoch if it is smaller than the others.
    pub drop_last: bool,
    /// Threads that load batches.
    pub threads: usize,
    /// Look for NaN and infinity in the weights after every step, each of which is then waited for, and compute no convolution by
    /// Winograd, which spreads them over whole tiles. Slow.
    pub anomaly: bool,
}

impl Default for TrainConfig {
    /// The settings of He et al. 2015, except for a cosine decay, which needs no milestones.
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 128,
            accumulate: 1,
            lr: 0.1,
            warmup_epochs: 0.0,
            start_factor: None,
            decay: Decay::Cosine { eta_min: 0.0 },
            recipe: Recipe { optimizer: Optimizer::Sgd(SgdConfig::HE_2015), ..Default::default() },
            seed: 1,
            augment: None,
            mix: None,
            drop_last: false,
            threads: 2,
            anomaly: false,
        }
    }
}

impl TrainConfig {
    /// Images per micro-batch.
    pub(super) fn micro_batch(&self) -> usize {
        self.batch / self.accumulate
    }

    /// Batch size in evaluation. With gradient accumulation it is at most a micro-batch, so that evaluation needs no more
    /// memory than training.
    pub(super) fn test_batch(&self, images: usize) -> usize {
        let most = if self.accumulate > 1 { TEST_BATCH.min(self.micro_batch()) } else { TEST_BATCH };
        most.min(images)
    }

    pub(super) fn loader(&self, epoch: usize, start_batch: usize) -> LoaderConfig {
        LoaderConfig {
            batch_size: self.batch,
            shuffle: true,
            augment: self.augment,
            mix: self.mix,
            seed: self.seed,
            epoch: epoch as u64,
            start_batch,
            drop_last: self.drop_last,
            threads: self.threads,
            ..Default::default()
        }
    }

    /// The error of a diverged run: lower the learning rate, or the weight decay if that alone makes weights grow.
    pub(super) fn diverged(&self, what: &str) -> Error {
        let decay = self.recipe.optimizer.weight_decay();
        let lr = self.lr;
        // A step subtracts `lr * decay` times the weight. From 2 on, its magnitude does not shrink.
        if decay > 1.0 && lr * decay >= 2.0 {
            let problem =
                format!("{what}; with a learning rate of {lr:?}, use a weight decay below {:?}", 2.0 / lr);
            return Error::argument("weight_decay", problem);
        }
        Error::argument("lr", format!("{what}; use a learning rate below {lr:?}"))
    }

    /// The learning rate by step, for this number of training images.
    pub fn schedule(&self, images: usize) -> Schedule {
        let steps = self.loader(0, 0).batches(images);
        Schedule {
            lr: self.lr,
            steps: self.epochs.saturating_mul(steps),
            steps_per_epoch: steps,
            warmup: (self.warmup_epochs * steps as f32).round() as usize,
            start_factor: self.start_factor,
            decay: self.decay.clone(),
        }
    }

    /// Validates the settings, also against the model and the data, and sets [`Recipe::mixed`].
    pub(super) fn checked(mut self, model: &dyn Model, split: &Split) -> Result<Self> {
        self.recipe.mixed = self.mix.is_some();
        self.check_numbers()?;
        let images = split.train.len();
        if self.batch > images {
            return Err(Error::argument(
                "batch",
                format!("{} exceeds the number of training images; use at most {images}", self.batch),
            ));
        }
        let [channels, ..] = split.train.shape();
        if (model.in_channels(), model.classes()) != (channels, split.train.classes().len()) {
            return Err(Error::argument(
                "model",
                format!(
                    "{} has {} channels and {} classes, but the data has {channels} and {}",
                    model.name(),
                    model.in_channels(),
                    model.classes(),
                    split.train.classes().len()
                ),
            ));
        }
        let classes = model.classes();
        match &self.recipe.class_weights {
            Some(weights) if weights.len() != classes => {
                let problem = format!("expected one per class, {classes} in total, got {}", weights.len());
                Err(Error::argument("class_weights", problem))
            }
            _ => Ok(self),
        }
    }

    fn check_numbers(&self) -> Result<()> {
        let positive = |name: &str, ok: bool, found: String| match ok {
            true => Ok(()),
            false => Err(Error::argument(name, format!("must be positive, got {found}"))),
        };
        positive("epochs", self.epochs > 0, self.epochs.to_string())?;
        positive("batch", self.batch > 0, self.batch.to_string())?;
        positive("threads", self.threads > 0, self.threads.to_string())?;
        self.schedule(1).check()?;
        if !(self.warmup_epochs >= 0.0 && self.warmup_epochs.is_finite()) {
            let found = self.warmup_epochs;
            return Err(Error::argument(
                "warmup",
                format!("must be finite and not negative, got {found} epochs"),
            ));
        }
        if self.accumulate == 0 || !self.batch.is_multiple_of(self.accumulate) {
            let problem = format!(
                "the {} images of a step cannot be split into {} equal micro-batches; use a divisor of {0}",
                self.batch, self.accumulate
            );
            return Err(Error::argument("accumulate", problem));
        }
        if let Some(decay) = self.recipe.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            return Err(Error::argument("ema", format!("must be at least 0 and below 1, got {decay}")));
        }
        self.mix.map_or(Ok(()), |mix| mix.check())?;
        let weights = self.recipe.class_weights.iter().flatten();
        if let Some(weight) = weights.copied().find(|weight| !(*weight > 0.0 && weight.is_finite())) {
            let problem = format!("must be positive and finite, got {weight}");
            return Err(Error::argument("class_weights", problem));
        }
        let smoothing = self.recipe.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::argument(
                "label_smoothing",
                format!("must be between 0 and 1, got {smoothing}"),
            ));
        }
        if let Some(norm) = self.recipe.clip_norm.filter(|norm| !(*norm > 0.0 && norm.is_finite())) {
            return Err(Error::argument(
                "clip_norm",
                format!("must be positive and finite, got {norm}; omit it to disable clipping"),
            ));
        }
        Ok(())
    }
}
