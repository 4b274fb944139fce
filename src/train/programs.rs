//! The plans of a trainer and their inputs.

use super::config::TrainConfig;
use super::ranks::Own;
use super::statistics;
use super::step::{Part, Recipe, average_evaluation_graph, evaluation_graph, partial_graph};
use crate::data::{Batch, Split};
use crate::graph::Graph;
use crate::models::Model;
use crate::nn::{BatchOfRanks, Builder};
use crate::plan::{Plan, Target};
use crate::{Device, Error, Input, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// Indices of plans, by part of the step and number of images on all ranks.
pub(super) type Programs = HashMap<(Part, usize), usize>;

/// The inputs for images, and for the labels in a range of their batch.
pub(super) fn inputs_of<'a>(
    images: &'a [f32],
    batch: &'a Batch,
    range: Range<usize>,
) -> Vec<(&'static str, Input<'a>)> {
    let labels = (Recipe::LABELS, (&batch.labels[range.clone()]).into());
    let mut inputs = vec![(Builder::IMAGES, images.into()), labels];
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
    /// The plan that computes batch norm's statistics, if they are recomputed.
    pub statistics: Option<usize>,
}

impl Plans {
    pub fn new(device: &Device, model: &dyn Model, split: &Split, config: &TrainConfig) -> Result<Self> {
        let winograd = device.target().winograd && !config.anomaly;
        let target = Target { winograd, ..device.target().clone() };
        let ranks = device.ranks();
        let mut plans = Vec::new();
        let mut add = |graph: Graph| {
            plans.push(Plan::new(&graph, &target)?);
            Ok(plans.len() - 1)
        };
        let ([channels, height, width], recipe) = (split.train.shape(), &config.recipe);
        let shape = |batch| [batch, channels, height, width];
        let mut train = Programs::new();
        for batch in batches(split.train.len(), config.batch) {
            let is_full = batch == config.batch;
            if !is_full && config.drop_last {
                continue;
            }
            for (part, range) in parts(batch, config.micro_batch()) {
                if let Entry::Vacant(entry) = train.entry((part, range.len())) {
                    let recipe = in_ranks(device, config, range.len());
                    let size = Own::of(range, ranks).len();
                    let program = partial_graph(model, shape(size), &recipe, part).and_then(&mut add);
                    let program =
                        if is_full { program } else { program.map_err(|e| of_last_batch(e, batch)) };
                    entry.insert(program?);
                }
            }
        }
        let mut test = Programs::new();
        let tested = split.validation.iter().chain([&split.test]);
        for batch in tested.flat_map(|data| batches(data.len(), config.test_batch(data.len(), ranks))) {
            if let Entry::Vacant(entry) = test.entry((Part::Whole, batch)) {
                let shape = shape(Own::of(0..batch, ranks).len());
                let graph = match recipe.ema {
                    Some(_) => average_evaluation_graph(model, shape)?,
                    None => evaluation_graph(model, shape)?,
                };
                entry.insert(add(graph)?);
            }
        }
        let statistics = match config.precise_bn {
            true => {
                let micro = config.micro_batch();
                let shape = shape(Own::of(0..micro, ranks).len());
                statistics::statistics_graph(model, shape, &in_ranks(device, config, micro))?
            }
            false => None,
        };
        let statistics = statistics.map(&mut add).transpose()?;
        Ok(Self { plans, train, test, statistics })
    }
}

/// The recipe for a graph of a device that is one of several ranks, with `images` images on all of them.
fn in_ranks(device: &Device, config: &TrainConfig, images: usize) -> Recipe {
    let sync_batch_norm = config.sync_batch_norm;
    let ranks = device.ranks().map(|_| BatchOfRanks { images, sync_batch_norm });
    Recipe { ranks, ..config.recipe.clone() }
}

/// The sizes of the batches of `images` images: the full size, and that of the last batch if it is smaller.
fn batches(images: usize, full: usize) -> impl Iterator<Item = usize> {
    [full, images % full].into_iter().filter(|batch| *batch > 0)
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
