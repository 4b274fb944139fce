//! The training steps of an epoch, a few of them in flight at a time.

use super::config::{MAX_SKIPPED, TrainConfig};
use super::programs::{Programs, inputs_of, parts};
use super::ranks::{self, Own};
use super::report::{Position, Progress, Score};
use super::step::{Part, Recipe};
use crate::data::{Batch, Split};
use crate::distributed::Ranks;
use crate::nn::{Builder, Optimizer, Schedule};
use crate::runtime::Stream;
use crate::{Input, Outputs, Result};
use std::ops::ControlFlow;

/// Submits steps and collects their results. `position` always reflects what was submitted and received, even after an
/// error.
pub(super) struct Steps<'a> {
    pub stream: Stream<'a, Pass>,
    pub split: &'a Split,
    pub config: &'a TrainConfig,
    pub schedule: &'a Schedule,
    pub programs: &'a Programs,
    pub ranks: Option<&'a Ranks>,
    pub position: &'a mut Position,
    /// Steps of the epoch.
    pub len: usize,
    /// Steps whose outputs have arrived.
    pub done: usize,
    /// Score including the micro-batches of the step whose outputs are arriving.
    pub score: Score,
    /// Score of the micro-batches of that step alone.
    pub batch: Score,
}

/// A micro-batch in flight.
pub(super) struct Pass {
    /// Images on all ranks.
    size: usize,
    lr: f32,
    /// Mix weight of the images' own labels.
    mix_weight: f32,
    /// Whether it is the last of its step.
    ends: bool,
}

impl Steps<'_> {
    /// Submits all micro-batches of a step.
    pub fn submit(&mut self, batch: &Batch) -> Result<()> {
        self.each_part(batch, self.position.step, |stream, program, inputs, pass| {
            stream.submit(program, inputs, pass)
        })?;
        self.position.step += 1;
        self.position.batch += 1;
        Ok(())
    }

    /// Calls `run` with the graph and the inputs of each micro-batch of a step.
    pub fn each_part(
        &mut self,
        batch: &Batch,
        step: usize,
        mut run: impl FnMut(&mut Stream<'_, Pass>, usize, &[(&str, Input<'_>)], Pass) -> Result<()>,
    ) -> Result<()> {
        let lr = self.schedule.at(step);
        let schedule = self.config.recipe.optimizer.schedule(lr, step);
        let (len, mut images) = (self.split.train.image_len(), &batch.images[..]);
        for (i, (part, range)) in parts(batch.size, self.config.micro_batch()).enumerate() {
            let size = range.len();
            let own = Own::of(range.clone(), self.ranks);
            // Every rank has dropout masks of its own.
            let masks = self.ranks.map_or([1, 0], |ranks| [ranks.ranks(), ranks.rank()]);
            let number = (step * self.config.accumulate + i) * masks[0] + masks[1];
            let counter = [number as u32, self.config.seed as u32];
            let recipe = &self.config.recipe;
            let weights = ranks::weights(recipe, batch, range, &own);
            let program = self.programs[&(part, size)];
            let blank = vec![0.0; if own.absent { own.len() * len } else { 0 }];
            let mut used = &blank[..];
            if !own.absent {
                (used, images) = images.split_at(own.len() * len);
            }
            let mut inputs = inputs_of(used, batch, own.range);
            inputs.extend([(Optimizer::SCHEDULE, (&schedule).into()), (Builder::COUNTER, (&counter).into())]);
            inputs.extend(weights.iter().map(|(name, weight)| (*name, weight.into())));
            if let Some(weights) = &recipe.class_weights {
                inputs.push((Recipe::CLASS_WEIGHTS, weights.into()));
            }
            inputs.retain(|(name, _)| self.stream.has_input(program, name));
            let ends = matches!(part, Part::Whole | Part::Last);
            let pass = Pass { size, lr, mix_weight: batch.mix_weight, ends };
            run(&mut self.stream, program, &inputs, pass)?;
        }
        Ok(())
    }

    /// Takes all outputs that have arrived; with `wait`, those of all submitted steps. On several ranks, those of all but the last
    /// submission, so that all ranks take the same decisions.
    pub fn arrive_all(
        &mut self,
        wait: bool,
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        while let Some(arrived) = self.next(wait)? {
            let next = self.arrive(arrived, watch)?;
            flow = if flow.is_break() { flow } else { next };
        }
        Ok(flow)
    }

    fn next(&mut self, wait: bool) -> Result<Option<(Outputs, Pass)>> {
        match self.ranks {
            _ if wait => self.stream.wait(),
            Some(_) if self.stream.len() > 1 => self.stream.wait(),
            Some(_) => Ok(None),
            None => self.stream.poll(),
        }
    }

    /// Adds the outputs of a micro-batch to the score, and reports progress if it is the last of its step.
    fn arrive(
        &mut self,
        (outputs, pass): (Outputs, Pass),
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        for score in [&mut self.score, &mut self.batch] {
            score.add(&outputs, pass.size, pass.mix_weight);
        }
        if !pass.ends {
            return Ok(ControlFlow::Continue(()));
        }
        self.done += 1;
        let skipped = outputs.scalar(Recipe::NON_FINITE) != Some(0.0);
        if skipped {
            self.skip()?;
        } else {
            (self.position.score, self.position.skipped_in_a_row) = (self.score, 0);
        }
        let Position { epoch, score, .. } = *self.position;
        let (epoch, batch) = (epoch + 1, std::mem::take(&mut self.batch));
        let flow =
            watch(&Progress { epoch, step: self.done, steps: self.len, lr: pass.lr, score, batch, skipped });
        // A pause of one rank is one of all.
        let pauses = self.ranks.map_or(Ok(flow.is_break()), |ranks| ranks.any(flow.is_break()))?;
        Ok(if pauses { ControlFlow::Break(()) } else { flow })
    }

    /// Counts a step that changed nothing on the device, since its loss or a gradient is not finite. Fails if that ends training.
    fn skip(&mut self) -> Result<()> {
        let broken = if self.score.loss.is_finite() { "a gradient" } else { "the loss" };
        let what = format!("{broken} is no longer finite at {}", self.place());
        self.score = self.position.score;
        let Position { skipped, skipped_in_a_row, .. } = self.position;
        (*skipped, *skipped_in_a_row) = (*skipped + 1, *skipped_in_a_row + 1);
        if !self.config.skip_non_finite || self.config.anomaly {
            return Err(self.config.diverged(&what, ", or skip such steps (--skip-non-finite)"));
        }
        if *skipped_in_a_row < MAX_SKIPPED {
            return Ok(());
        }
        let what = format!("{what}, the last of {MAX_SKIPPED} skipped steps in a row");
        Err(self.config.diverged(&what, ""))
    }

    /// The last step whose outputs have arrived: `step 2 of epoch 1`.
    pub fn place(&self) -> String {
        format!("step {} of epoch {}", self.done, self.position.epoch + 1)
    }
}
