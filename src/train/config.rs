//! Settings of training.

use super::step::Recipe;
use crate::data::{Augment, LoaderConfig, Mix, Split};
use crate::distributed::Ranks;
use crate::error::require;
use crate::models::Model;
use crate::nn::{Decay, Optimizer, Schedule, SgdConfig};
use crate::{Error, Result};

/// This many skipped steps in a row end training: something other than a bad batch is wrong.
pub(super) const MAX_SKIPPED: usize = 10;

/// Largest batch in evaluation.
const TEST_BATCH: usize = 200;

/// Settings of a [`Trainer`](super::Trainer).
///
/// ```
/// use striate::data::Augment;
/// use striate::nn::{Decay, Optimizer, SgdConfig};
/// use striate::train::{Recipe, TrainConfig};
///
/// let optimizer = Optimizer::Sgd(SgdConfig { momentum: 0.9, weight_decay: 5e-4, nesterov: true });
/// let config = TrainConfig {
///     epochs: 30,
///     warmup_epochs: 1.0,
///     decay: Decay::Cosine { eta_min: 0.0 },
///     recipe: Recipe { optimizer, label_smoothing: 0.1, ..Default::default() },
///     augment: Some(Augment { crop_padding: 4, flip: true, ..Default::default() }),
///     ..Default::default()
/// };
/// // An epoch of 50,000 images is 391 steps. After the first, the learning rate is at its peak.
/// let schedule = config.schedule(50_000);
/// assert_eq!((schedule.steps, schedule.warmup), (11_730, 391));
/// assert_eq!(schedule.at(391), config.lr);
/// # Ok::<(), striate::Error>(())
/// ```
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
    /// Augmentation of training images.
    pub augment: Option<Augment>,
    /// Mixup and CutMix.
    pub mix: Option<Mix>,
    /// Train on equally many images of each class in an epoch ([`LoaderConfig::balanced`]).
    pub balanced: bool,
    /// Drop the last batch of an epoch if it is smaller than the others.
    pub drop_last: bool,
    /// Threads that load batches.
    pub threads: usize,
    /// Replace batch norm's running averages after each epoch by means over about 1,024 training images with the weights as they
    /// are then, since the averages lag behind. They only affect tests and the weights that are kept, not training itself.
    pub precise_bn: bool,
    /// On several ranks, normalize by the statistics of the images of all of them, as a single device would, instead of those of
    /// each rank.
    pub sync_batch_norm: bool,
    /// Skip steps in which the loss or a gradient is NaN or infinite, instead of ending training with an error. A skipped step
    /// changes nothing but the position in the schedule. Ten of them in a row are an error all the same.
    pub skip_non_finite: bool,
    /// Look for the first NaN or infinity: the error names the step, the layer, the tensor and the kernel. Slow: waits for each
    /// step and reads the state of training back, and convolutions do not use Winograd, which spreads such values over whole
    /// tiles. No step is skipped.
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
            balanced: false,
            drop_last: false,
            threads: 2,
            precise_bn: true,
            sync_batch_norm: false,
            skip_non_finite: false,
            anomaly: false,
        }
    }
}

impl TrainConfig {
    /// Images per micro-batch.
    pub(super) fn micro_batch(&self) -> usize {
        self.batch / self.accumulate
    }

    /// Batch size in evaluation, on all ranks together. With gradient accumulation it is at most a micro-batch, so that evaluation needs no more
    /// memory than training.
    pub(super) fn test_batch(&self, images: usize, ranks: Option<&Ranks>) -> usize {
        let most = if self.accumulate > 1 { TEST_BATCH.min(self.micro_batch()) } else { TEST_BATCH };
        (most * ranks.map_or(1, Ranks::ranks)).min(images)
    }

    /// The loader of an epoch. It loads the images of all ranks.
    pub(super) fn loader(&self, epoch: usize, start_batch: usize) -> LoaderConfig {
        LoaderConfig {
            batch_size: self.batch,
            shuffle: true,
            balanced: self.balanced,
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

    /// The error for a diverged run. It suggests a lower learning rate, or a lower weight decay if that alone makes weights
    /// grow; `or` is another remedy.
    pub(super) fn diverged(&self, what: &str, or: &str) -> Error {
        let decay = self.recipe.optimizer.weight_decay();
        let lr = self.lr;
        // A step subtracts `lr * decay` times the weight. From 2 on, its magnitude does not shrink.
        if decay > 1.0 && lr * decay >= 2.0 {
            let problem = format!(
                "{what}; with a learning rate of {lr:?}, use a weight decay below {:?}{or}",
                2.0 / lr
            );
            return Error::argument("weight_decay", problem);
        }
        Error::argument("lr", format!("{what}; use a learning rate below {lr:?}{or}"))
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
    pub(super) fn checked(mut self, model: &dyn Model, split: &Split, ranks: Option<&Ranks>) -> Result<Self> {
        self.recipe.mixed = self.mix.is_some();
        self.check_numbers()?;
        if let Some(ranks) = ranks {
            self.check_ranks(ranks)?;
        }
        let images = split.train.len();
        if self.batch > images {
            return Err(Error::argument(
                "batch",
                format!("{} exceeds the number of training images; use at most {images}", self.batch),
            ));
        }
        self.augment.map_or(Ok(()), |augment| augment.check(split.train.shape()))?;
        let (channels, classes) = (model.in_channels(), model.classes());
        let (data_channels, data_classes) = (split.train.shape()[0], split.train.classes().len());
        if (channels, classes) != (data_channels, data_classes) {
            let problem = format!(
                "{} has {channels} channels and {classes} classes, but the data has {data_channels} and {data_classes}",
                model.name()
            );
            return Err(Error::argument("model", problem));
        }
        match &self.recipe.class_weights {
            Some(weights) if weights.len() != classes => {
                let problem = format!("expected one per class, {classes} in total, got {}", weights.len());
                Err(Error::argument("class_weights", problem))
            }
            _ => Ok(self),
        }
    }

    /// Checks that every rank has something to do in a full step.
    fn check_ranks(&self, ranks: &Ranks) -> Result<()> {
        let (micro_batch, ranks) = (self.micro_batch(), ranks.ranks());
        if micro_batch < ranks {
            let problem = format!(
                "{micro_batch} images at a time cannot be divided among {ranks} ranks; use at least {}",
                ranks * self.accumulate
            );
            return Err(Error::argument("batch", problem));
        }
        match self.anomaly && ranks > 1 {
            false => Ok(()),
            true => {
                Err(Error::argument("anomaly", "cannot look into the steps of several ranks; use one rank"))
            }
        }
    }

    fn check_numbers(&self) -> Result<()> {
        for (name, setting) in [("epochs", self.epochs), ("batch", self.batch), ("threads", self.threads)] {
            require(name, setting > 0, "positive", setting)?;
        }
        self.schedule(1).check()?;
        let warmup = self.warmup_epochs;
        let valid = warmup >= 0.0 && warmup.is_finite();
        require("warmup", valid, "finite and not negative", format!("{warmup} epochs"))?;
        if self.accumulate == 0 || !self.batch.is_multiple_of(self.accumulate) {
            let problem = format!(
                "the {} images of a step cannot be split into {} equal micro-batches; use a divisor of {0}",
                self.batch, self.accumulate
            );
            return Err(Error::argument("accumulate", problem));
        }
        let Recipe { ema, class_weights, label_smoothing, clip_norm, .. } = &self.recipe;
        if let Some(decay) = ema {
            require("ema", (0.0..1.0).contains(decay), "at least 0 and below 1", decay)?;
        }
        self.mix.map_or(Ok(()), |mix| mix.check())?;
        let positive = |value: f32| value > 0.0 && value.is_finite();
        for weight in class_weights.iter().flatten() {
            require("class_weights", positive(*weight), "positive and finite", weight)?;
        }
        require(
            "label_smoothing",
            (0.0..=1.0).contains(label_smoothing),
            "between 0 and 1",
            label_smoothing,
        )?;
        clip_norm.map_or(Ok(()), |norm| {
            let found = format!("{norm}; omit it to disable clipping");
            require("clip_norm", positive(norm), "positive and finite", found)
        })
    }
}
