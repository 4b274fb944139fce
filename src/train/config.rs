//! How to train.

use super::step::Recipe;
use crate::data::{Augment, LoaderConfig, Mix, Split};
use crate::models::Model;
use crate::nn::{Decay, Optimizer, Schedule, SgdConfig};
use crate::{Error, Result};

/// Images a step of evaluation, at most.
const TEST_BATCH: usize = 200;

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Times that every training image is seen.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Batches that a step's images are worked through in, one after the other, to save memory; their gradients are
    /// added up. Batch norm sees each by itself.
    pub accumulate: usize,
    /// Largest learning rate.
    pub lr: f32,
    /// Epochs over which the learning rate rises linearly to `lr`.
    pub warmup_epochs: f32,
    /// Where it begins to rise ([`Schedule::start_factor`]).
    pub start_factor: Option<f32>,
    /// How it falls then.
    pub decay: Decay,
    /// Optimiser, rules, label smoothing, clipping, averaging. Whether images are mixed is taken from `mix`.
    pub recipe: Recipe,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
    /// Random crops and flips of training images.
    pub augment: Option<Augment>,
    /// Mixing of training images in pairs.
    pub mix: Option<Mix>,
    /// Leave out a last batch that is smaller than the others.
    pub drop_last: bool,
    /// Threads that prepare batches.
    pub threads: usize,
}

impl Default for TrainConfig {
    /// He et al. 2015, but for the falls of the rate: a cosine is less to choose.
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
        }
    }
}

impl TrainConfig {
    /// Images that are worked through at once.
    pub(super) fn micro_batch(&self) -> usize {
        self.batch / self.accumulate
    }

    /// Images that are tested at once, of so many: where training saves memory by small batches, testing must not take
    /// more.
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

    /// Why training went wrong so that `what` happened: too large a rate, unless weight decay alone makes weights grow.
    pub(super) fn diverged(&self, what: &str) -> Error {
        let decay = self.recipe.optimizer.weight_decay();
        let lr = self.lr;
        // A step takes away `lr * decay` times a weight: from 2 on, more is left of it than there was.
        if decay > 1.0 && lr * decay >= 2.0 {
            let problem =
                format!("{what}; with a learning rate of {lr:?} use a weight decay below {:?}", 2.0 / lr);
            return Error::argument("weight_decay", problem);
        }
        Error::argument("lr", format!("{what}; use a learning rate below {lr:?}"))
    }

    /// The learning rate by step, with so many training images.
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

    /// The settings with a recipe that agrees. Fails, naming the setting, where one makes no sense by itself or for
    /// this model and these images.
    pub(super) fn checked(mut self, model: &dyn Model, split: &Split) -> Result<Self> {
        self.recipe.mixed = self.mix.is_some();
        self.check_numbers()?;
        let images = split.train.len();
        if self.batch > images {
            return Err(Error::argument(
                "batch",
                format!("{} is more than the {images} training images; use at most {images}", self.batch),
            ));
        }
        let [channels, ..] = split.train.shape();
        if (model.in_channels(), model.classes()) != (channels, split.train.classes().len()) {
            return Err(Error::argument(
                "model",
                format!(
                    "{} takes {} channels and {} classes, but the data has {channels} and {}",
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
                let problem =
                    format!("there are {}, but {classes} classes; give one for each", weights.len());
                Err(Error::argument("class_weights", problem))
            }
            _ => Ok(self),
        }
    }

    fn check_numbers(&self) -> Result<()> {
        let positive = |name: &str, ok: bool, found: String| match ok {
            true => Ok(()),
            false => Err(Error::argument(name, format!("must be above 0, and is {found}"))),
        };
        positive("epochs", self.epochs > 0, self.epochs.to_string())?;
        positive("batch", self.batch > 0, self.batch.to_string())?;
        positive("threads", self.threads > 0, self.threads.to_string())?;
        self.schedule(1).check()?;
        if !(self.warmup_epochs >= 0.0 && self.warmup_epochs.is_finite()) {
            let found = self.warmup_epochs;
            return Err(Error::argument(
                "warmup",
                format!("must be a number of epochs from 0 on, and is {found}"),
            ));
        }
        if self.accumulate == 0 || !self.batch.is_multiple_of(self.accumulate) {
            let problem = format!(
                "the {} images of a step cannot be worked through in {} equal batches; give a divisor of {0}",
                self.batch, self.accumulate
            );
            return Err(Error::argument("accumulate", problem));
        }
        if let Some(keep) = self.recipe.ema.filter(|keep| !(0.0..1.0).contains(keep)) {
            return Err(Error::argument("ema", format!("must be from 0 to less than 1, and is {keep}")));
        }
        self.mix.map_or(Ok(()), |mix| mix.check())?;
        let weights = self.recipe.class_weights.iter().flatten();
        if let Some(weight) = weights.copied().find(|weight| !(*weight > 0.0 && weight.is_finite())) {
            let problem = format!("must be finite numbers above 0, and one is {weight}");
            return Err(Error::argument("class_weights", problem));
        }
        let smoothing = self.recipe.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::argument(
                "label_smoothing",
                format!("must be from 0 to 1, and is {smoothing}"),
            ));
        }
        if let Some(norm) = self.recipe.clip_norm.filter(|norm| !(*norm > 0.0 && norm.is_finite())) {
            return Err(Error::argument(
                "clip_norm",
                format!("must be a finite number above 0, and is {norm}; leave it out to clip nothing"),
            ));
        }
        Ok(())
    }
}
