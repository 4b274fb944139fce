//! The training loop of a run.

use super::args::Args;
use super::checkpoints::Checkpoints;
use super::progress::{Reporter, say};
use super::ranks::{exchanged, from_first};
use super::restore;
use super::run_dir::RunDir;
use super::stages::Stages;
use crate::cli::network::{BEST, MODEL};
use crate::cli::ranks::open_device;
use crate::cli::terminal::note;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use striate::data::Split;
use striate::distributed::Ranks;
use striate::infer::{Card, class_tensors};
use striate::models::Model;
use striate::train::{Checkpoint, EpochReport, MemoryStrategy, Position, TrainConfig, Trainer};
use striate::weights::{Fit, Weights};
use striate::{Device, Error, Result};

/// A run, ready to train.
pub struct Run<'a> {
    pub args: &'a Args,
    pub model: &'a dyn Model,
    pub split: &'a Split,
    pub card: &'a Card,
    pub stages: Stages,
    pub strategy: MemoryStrategy,
    pub device: &'a Device,
    /// The processes that train together, if there are several.
    pub ranks: Option<&'a Ranks>,
    pub checkpoints: &'a Checkpoints,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
}

/// How often a lost device is opened again without a new checkpoint in between.
const MAX_LOSSES: usize = 3;

impl Run<'_> {
    /// A trainer for a position.
    pub fn trainer_at(&self, position: Position) -> Result<Trainer> {
        self.trainer_on(self.device, self.stages.at(position))
    }

    fn trainer_on(&self, device: &Device, config: &TrainConfig) -> Result<Trainer> {
        let (device, config) = self.strategy.training(device, config);
        Trainer::new(&device, self.model, self.split.clone(), config)
    }

    /// Loads the initial weights, if any.
    pub fn load_weights(&self, trainer: &mut Trainer) -> Result<()> {
        let Some(path) = self.args.initial_weights()? else { return Ok(()) };
        let weights = Weights::read(&path)?;
        // The last layer may be for other classes even if it has as many.
        let has_other_classes =
            Card::of(&weights).classes.is_some_and(|own| own != self.split.train.classes());
        let last = if has_other_classes { class_tensors(self.args.network()?)? } else { BTreeSet::new() };
        let fit = self.args.fine_tuning.fit(self.model.classes());
        let loaded = trainer.load_ignoring(&weights, fit, &last)?;
        say(&format!("weights  {}: {loaded}", path.display()));
        Ok(())
    }

    fn open_again(&self) -> Result<Device> {
        let again = open_device(&self.args.device, self.ranks)?;
        if again.name() != self.device.name() {
            let problem = format!("{} is gone, and {} gives other results", self.device.name(), again.name());
            return Err(Error::Device(problem));
        }
        Ok(again)
    }

    /// Opens the device again and restores the last checkpoint.
    fn reopen(&self, dir: &RunDir) -> Result<Trainer> {
        let device = self.open_again()?;
        let checkpoint = self.checkpoints.newest()?;
        let position = checkpoint.as_ref().map_or(Position::default(), |(_, state)| state.position);
        let mut trainer = self.trainer_on(&device, self.stages.at(position))?;
        if checkpoint.is_none() {
            self.load_weights(&mut trainer)?;
        }
        restore(checkpoint.as_ref(), dir.path(), &mut trainer)?;
        Ok(trainer)
    }

    /// Continues with a trainer without frozen parameters. The device is opened again, since the last one may have been lost and
    /// replaced.
    fn unfreeze(&self, mut trainer: Trainer, config: &TrainConfig) -> Result<Trainer> {
        let state = Checkpoint::of(&mut trainer, &self.checkpoints.about)?;
        // Before the next one takes as much memory.
        drop(trainer);
        let mut trainer = self.trainer_on(&self.open_again()?, config)?;
        trainer.resume(state.position, &state.tensors)?;
        trainer.synchronize()?;
        let from = state.position.epoch + 1;
        say(&format!("stage    all {} parameters from epoch {from}", trainer.parameters()));
        Ok(trainer)
    }

    /// Trains and writes the weights. If the device is lost, opens it again and continues from the last checkpoint.
    pub fn complete(&self, trainer: Trainer, dir: &mut RunDir) -> Result<bool> {
        let mut start = trainer.position();
        let (mut trainer, mut losses) = (Ok(trainer), 0);
        loop {
            let trained = trainer.and_then(|mut trainer| {
                if trainer.position() != start {
                    (start, losses) = (trainer.position(), 0);
                }
                let stopped;
                (trainer, stopped) = self.train_stages(trainer, dir)?;
                // Even if `metrics.csv` could not be written, there may be space for the weights.
                dir.write_weights(MODEL, self.card, &mut trainer)?;
                if !stopped && dir.is_complete() {
                    self.announce(&mut trainer, dir)?;
                }
                Ok(stopped)
            });
            let reason = match trained {
                // The other ranks cannot go back.
                trained if self.ranks.is_some() => return trained,
                Err(Error::DeviceLost(reason)) if losses < MAX_LOSSES => reason,
                // After a loss, a device may fail to open.
                Err(Error::Device(reason)) if (1..MAX_LOSSES).contains(&losses) => reason,
                trained => return trained,
            };
            losses += 1;
            note(&format!(
                "warning: the device was lost ({reason}); opening it again, to continue from the last checkpoint"
            ));
            // A driver may need a moment after a reset.
            std::thread::sleep(Duration::from_secs(losses as u64 - 1));
            trainer = self.reopen(dir);
            if let Ok(trainer) = &trainer {
                dir.rewind(&trainer.position())?;
            }
        }
    }

    /// Trains with frozen parameters, if there are any yet, and then without.
    fn train_stages(&self, mut trainer: Trainer, dir: &mut RunDir) -> Result<(Trainer, bool)> {
        let mut reporter = Reporter::new(self, &mut trainer, &dir.metrics);
        if let Some((after, unfrozen)) = self.stages.second_after(trainer.position()) {
            let stopped = self.train(&mut trainer, after, dir, &mut reporter)?;
            if stopped || !dir.is_complete() {
                return Ok((trainer, stopped));
            }
            trainer = self.unfreeze(trainer, unfrozen)?;
        }
        let stopped = self.train(&mut trainer, self.args.schedule.epochs, dir, &mut reporter)?;
        Ok((trainer, stopped))
    }

    /// Trains until `epochs` are done, until `--patience` is exhausted in the last stage, or until an interrupt; returns whether it
    /// was interrupted.
    fn train(
        &self,
        trainer: &mut Trainer,
        epochs: usize,
        dir: &mut RunDir,
        reporter: &mut Reporter,
    ) -> Result<bool> {
        while trainer.position().epoch < epochs {
            let mut steps = 0;
            dir.start_steps();
            let report = trainer.epoch(&mut |progress| {
                reporter.step(progress);
                dir.add_step(progress);
                steps += 1;
                let pause = steps == self.args.run.checkpoint_every
                    || self.stop.load(Ordering::Relaxed)
                    || reporter.wants_checkpoint();
                if pause { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            // Also if training diverged: the last steps show how.
            let report = report.inspect_err(|_| {
                dir.end_line();
                dir.save_steps();
            })?;
            let stopped = self.any(self.stop.load(Ordering::Relaxed))?;
            if report.held_out().is_some() || stopped {
                reporter.epoch(&report, trainer);
                if let Some(ranks) = self.ranks {
                    say(&exchanged(ranks));
                }
                self.record(trainer, dir, &report)?;
                if !dir.is_complete() {
                    // No checkpoint: a resumed run writes this epoch again.
                    return Ok(false);
                }
            } else {
                dir.save_steps();
            }
            if self.checkpoints.save(trainer)? {
                reporter.saved(trainer.position().step);
            }
            if stopped {
                say("interrupted; writing the results so far");
                return Ok(true);
            }
            let is_last_stage = epochs == self.args.schedule.epochs;
            // Each stage gets its chance.
            let stale = dir.metrics.stale().filter(|_| is_last_stage && report.held_out().is_some());
            let stale = stale
                .map(|(best, since)| (best, since.min(trainer.position().epoch - self.stages.before_last())));
            let patience = self.args.schedule.patience.map_or(usize::MAX, |patience| patience as usize);
            let exhausted = stale.filter(|(_, since)| *since >= patience);
            if let Some((best, since)) = exhausted {
                say(&format!("stopped: no better than {:.2} % for {since} epochs", 100.0 * best));
                dir.end_line();
                dir.save_steps();
            }
            // Rank 0 alone knows earlier epochs of a resumed run.
            if from_first(self.ranks, Some(exhausted.is_some()))? {
                break;
            }
        }
        Ok(false)
    }

    /// Whether this holds on any rank.
    fn any(&self, own: bool) -> Result<bool> {
        self.ranks.map_or(Ok(own), |ranks| ranks.any(own))
    }

    /// Says how good the best weights are. With validation images, tests them on the test images: for the first time, since no
    /// choice may depend on these.
    fn announce(&self, trainer: &mut Trainer, dir: &mut RunDir) -> Result<()> {
        let best = dir.metrics.best();
        let held_out =
            best.and_then(|best| Some((best.epoch, best.held_out()?.1, best.validation_accuracy.is_some())));
        if let Some((epoch, accuracy, is_validation)) = held_out {
            let is_last = dir.metrics.rows.last().is_some_and(|last| last.epoch == epoch);
            let of = if is_last { String::new() } else { format!(", after epoch {epoch}") };
            let on = if is_validation { "validation" } else { "test" };
            say(&format!("{on} accuracy {:.2} %{of}", 100.0 * accuracy));
        }
        let validated = held_out.is_some_and(|(_, _, is_validation)| is_validation);
        if !from_first(self.ranks, Some(validated))? {
            return Ok(());
        }
        if self.ranks.is_none_or(Ranks::is_first) {
            let weights = Weights::read(&dir.path().join(BEST))?;
            trainer.load(&weights, Fit::Strict)?;
        }
        trainer.synchronize()?;
        let test = trainer.test()?;
        let (correct, images) = ((test.accuracy * test.images as f64).round(), test.images);
        say(&format!(
            "test accuracy {:.2} % of those weights: {correct} of {images} images",
            100.0 * test.accuracy
        ));
        held_out.map_or(Ok(()), |(epoch, ..)| dir.add_test(epoch, test))
    }

    /// Writes the metrics of an epoch, and its weights if they are the best so far.
    fn record(&self, trainer: &mut Trainer, dir: &mut RunDir, report: &EpochReport) -> Result<()> {
        dir.add_epoch(report, trainer)?;
        match dir.metrics.best() {
            Some(best) if best.epoch == report.epoch => dir.write_weights(BEST, self.card, trainer),
            _ => Ok(()),
        }
    }
}
