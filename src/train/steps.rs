//! The training steps of an epoch, a few of them in flight at a time.

use super::config::TrainConfig;
use super::programs::{Programs, images, parts};
use super::report::{Position, Progress};
use super::step::{Part, Recipe};
use crate::data::{Batch, Split};
use crate::nn::{Builder, Optimizer, Schedule};
use crate::runtime::Stream;
use crate::{Outputs, Result};
use std::ops::ControlFlow;

/// Submits steps and collects their results. `position` always reflects what was submitted and received, even after an
/// error.
pub(super) struct Steps<'a> {
    pub stream: Stream<'a, Pass>,
    pub split: &'a Split,
    pub config: &'a TrainConfig,
    pub schedule: &'a Schedule,
    pub programs: &'a Programs,
    pub position: &'a mut Position,
    /// Steps of the epoch.
    pub len: usize,
    /// Steps whose outputs have arrived.
    pub done: usize,
}

/// A micro-batch in flight.
pub(super) struct Pass {
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
        let step = self.position.step;
        let lr = self.schedule.at(step);
        let schedule = self.config.recipe.optimizer.schedule(lr, step);
        for (i, (part, range)) in parts(batch.size, self.config.micro_batch()).enumerate() {
            let size = range.len();
            let pass = step * self.config.accumulate + i;
            let counter = [pass as u32, self.config.seed as u32];
            // Each micro-batch's loss is a mean over its own labels; these weights turn their sum into a mean over the step.
            let recipe = &self.config.recipe;
            let weight =
                |labels: &[u32]| recipe.total_weight(&labels[range.clone()]) / recipe.total_weight(labels);
            let own = [batch.mix_weight * weight(&batch.labels)];
            let partner = match batch.partners.is_empty() {
                true => [0.0],
                false => [(1.0 - batch.mix_weight) * weight(&batch.partners)],
            };
            let program = self.programs[&(part, size)];
            let mut inputs = images(batch, range, self.split.train.image_len());
            inputs.extend([
                (Optimizer::SCHEDULE, (&schedule).into()),
                (Builder::COUNTER, (&counter).into()),
                (Recipe::LOSS_WEIGHT, (&own).into()),
                (Recipe::PARTNER_LOSS_WEIGHT, (&partner).into()),
            ]);
            if let Some(weights) = &recipe.class_weights {
                inputs.push((Recipe::CLASS_WEIGHTS, weights.into()));
            }
            inputs.retain(|(name, _)| self.stream.has_input(program, name));
            let ends = matches!(part, Part::Whole | Part::Last);
            self.stream.submit(program, &inputs, Pass { size, lr, mix_weight: batch.mix_weight, ends })?;
        }
        self.position.step += 1;
        self.position.batch += 1;
        Ok(())
    }

    /// Adds the outputs of a micro-batch to the score, and reports progress if it is the last of its step.
    pub fn arrive(
        &mut self,
        (outputs, pass): (Outputs, Pass),
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Position { epoch, score, .. } = self.position;
        score.add(&outputs, pass.size, pass.mix_weight);
        if !score.loss.is_finite() {
            let (step, epoch) = (self.done + 1, *epoch + 1);
            let what = format!("the loss is no longer finite at step {step} of epoch {epoch}");
            return Err(self.config.diverged(&what));
        }
        if !pass.ends {
            return Ok(ControlFlow::Continue(()));
        }
        self.done += 1;
        let (epoch, score) = (*epoch + 1, *score);
        Ok(watch(&Progress { epoch, step: self.done, steps: self.len, lr: pass.lr, score }))
    }
}
