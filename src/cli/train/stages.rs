//! The stages of fine-tuning: first with frozen parameters, then without.

use super::args::Args;
use striate::Result;
use striate::data::Split;
use striate::train::{Position, TrainConfig};

/// The settings of training, and those after some epochs if there is a second stage.
pub struct Stages {
    first: TrainConfig,
    second: Option<(usize, TrainConfig)>,
}

impl Stages {
    pub fn new(args: &Args, split: &Split) -> Result<Self> {
        let first = args.config(split)?;
        let unfrozen = |after| {
            let mut config = first.clone();
            config.recipe.rules.freeze.clear();
            (after, config)
        };
        let second = args.fine_tuning.unfreeze_after(first.epochs)?.map(unfrozen);
        Ok(Self { first, second })
    }

    /// The settings at a position. After the last epoch of the first stage, they are still those of the first: a checkpoint has only
    /// what that stage trains.
    pub fn at(&self, position: Position) -> &TrainConfig {
        match (&self.second, self.second_after(position)) {
            (Some((_, config)), None) => config,
            _ => &self.first,
        }
    }

    /// The number of epochs before the second stage, and its settings, if it begins after this position.
    pub fn second_after(&self, position: Position) -> Option<(usize, &TrainConfig)> {
        let (after, config) = self.second.as_ref()?;
        ((position.epoch, position.batch) <= (*after, 0)).then_some((*after, config))
    }

    /// Number of epochs before the last stage.
    pub fn before_last(&self) -> usize {
        self.second.as_ref().map_or(0, |(after, _)| *after)
    }

    /// The settings that take the most memory.
    pub fn largest(&self) -> &TrainConfig {
        self.second.as_ref().map_or(&self.first, |(_, config)| config)
    }
}
