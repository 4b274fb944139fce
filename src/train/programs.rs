//! The plans of a trainer and their inputs.

use super::config::TrainConfig;
use super::step::{Part, Recipe, average_evaluation_graph, evaluation_graph, partial_graph};
use crate::data::{Batch, Split};
use crate::models::Model;
use crate::nn::Builder;
use crate::plan::{Plan, Target};
use crate::{Device, Error, Input, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// Indices of plans, by part of the step and number of images.
pub(super) type Programs = HashMap<(Part, usize), usize>;

/// The inputs for a range of a batch's images, of `len` values each.
pub(super) fn images(batch: &Batch, range: Range<usize>, len: usize) -> Vec<(&'static str, Input<'_>)> {
    let images = &batch.images[range.start * len..range.end * len];
    let mut inputs =
        vec![(Builder::IMAGES, images.into()), (Recipe::LABELS, (&batch.labels[range.clone()]).into())];
    if !batch.partners.is_empty() {
        inputs.push((Recipe::PARTNERS, (&batch.partners[range]).into()));
    }
    inputs
}

/// Splits a step of `batch` images into micro-batches of `micro`; the last may be smaller.
pub(super) fn parts(batch: usize, micro: usize) -> impl Iterator<Item = (Part, Range<usize>)> {
    (0..batch).step_by(micro).map(move |start| {
        let range = start..batch.min(start + micro);
        let part = match (start == 0, range.end == batch) {
            (true, true) => Part::Whole,
            (true, false) => Part::First,
            (false, false) => Part::Middle,
            (false, true) => Part::Last,
        };
        (part, range)
    })
}

/// The plans of a trainer.
pub(super) struct Plans {
    pub plans: Vec<Plan>,
    pub train: Programs,
    pub test: Programs,
}

impl Plans {
    pub fn new(device: &Device, model: &dyn Model, split: &Split, config: &TrainConfig) -> Result<Self> {
        let mut planner = Planner { device, model, split, config, plans: Vec::new() };
        let train = planner.training()?;
        let test = planner.evaluation(split.test.len())?;
        Ok(Self { plans: planner.plans, train, test })
    }
}

/// Builds the plans of a trainer.
struct Planner<'a> {
    device: &'a Device,
    model: &'a dyn Model,
    split: &'a Split,
    config: &'a TrainConfig,
    plans: Vec<Plan>,
}

impl Planner<'_> {
    /// Plans for full batches, and for the last one if it is smaller.
    fn training(&mut self) -> Result<Programs> {
        let TrainConfig { batch, drop_last, .. } = *self.config;
        let rest = Some(self.split.train.len() % batch).filter(|rest| *rest > 0 && !drop_last);
        let mut programs = Programs::new();
        for size in [Some(batch), rest].into_iter().flatten() {
            for (part, range) in parts(size, self.config.micro_batch()) {
                let key = (part, range.len());
                if let Entry::Vacant(entry) = programs.entry(key) {
                    let plan = self.add(key, true);
                    let plan = if size == batch { plan } else { plan.map_err(|e| of_last_batch(e, size)) };
                    entry.insert(plan?);
                }
            }
        }
        Ok(programs)
    }

    fn evaluation(&mut self, images: usize) -> Result<Programs> {
        let full = self.config.test_batch(images);
        let sizes = [Some(full), Some(images % full).filter(|rest| *rest > 0)].into_iter().flatten();
        sizes.map(|size| Ok(((Part::Whole, size), self.add((Part::Whole, size), false)?))).collect()
    }

    fn add(&mut self, (part, batch): (Part, usize), train: bool) -> Result<usize> {
        let [channels, height, width] = self.split.train.shape();
        let (recipe, shape) = (&self.config.recipe, [batch, channels, height, width]);
        let graph = match (train, recipe.ema) {
            (true, _) => partial_graph(self.model, shape, recipe, part)?,
            (false, Some(_)) => average_evaluation_graph(self.model, shape)?,
            (false, None) => evaluation_graph(self.model, shape)?,
        };
        let target = self.device.target();
        let target = Target { winograd: target.winograd && !self.config.anomaly, ..target.clone() };
        self.plans.push(Plan::new(&graph, &target)?);
        Ok(self.plans.len() - 1)
    }
}

/// Adds the remedies for a last batch that is too small for the network.
fn of_last_batch(error: Error, batch: usize) -> Error {
    match error {
        Error::Shape { op, scope, problem } => {
            let problem = format!(
                "{problem}, one that does not leave a last batch of {batch}, or drop the last batch (drop_last)"
            );
            Error::Shape { op, scope, problem }
        }
        other => other,
    }
}
