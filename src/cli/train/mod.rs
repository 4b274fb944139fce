//! `striate train`.

mod args;
mod checkpoints;
mod choice;
mod config_file;
mod flags;
mod interrupt;
mod metrics;
mod plot;
mod pretrained;
mod progress;
mod resume;
mod run_dir;
mod steps;
mod table;
mod tensorboard;
mod tui;

pub use args::Args;
pub use metrics::{Metrics, Row};
pub use plot::{axes, curves, padded};
pub use resume::{config, original_args, source_of};
pub use run_dir::open_run;

use super::flags::{DeviceFlags, as_flag};
use super::images::report_skipped;
use super::network::{BEST, MODEL};
use super::terminal::note;
use super::text;
use checkpoints::Checkpoints;
use interrupt::{INTERRUPTED, stop_on_interrupt};
use progress::{Reporter, say};
use resume::Start;
use run_dir::RunDir;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use striate::data::{Preprocessing, Split};
use striate::infer::Card;
use striate::models::{self, Model};
use striate::train::{Checkpoint, EpochReport, Position, TrainConfig, Trainer};
use striate::weights::{Fit, Weights};
use striate::{Device, Error, Result};

/// How a command ended.
pub struct Trained {
    /// The exit code: 130 if the run was interrupted.
    pub code: i32,
    /// The folder of a run that is to be reported, and the device it was trained on.
    pub report: Option<(PathBuf, DeviceFlags)>,
}

impl Trained {
    fn with_code(code: i32) -> Self {
        Self { code, report: None }
    }
}

/// Trains a network. If it is interrupted, the results so far are written.
pub fn run(args: Args) -> Result<Trained> {
    run_named(&args).map_err(as_flag::<Args>)
}

fn run_named(args: &Args) -> Result<Trained> {
    let tuned = &args.fine_tuning;
    let new = args.path.is_some() || args.config.is_some() || args.run.out.is_some() || args.run.force;
    if args.run.resume.is_some() && (new || tuned.weights.is_some() || tuned.pretrained) {
        let problem = "uses the data, the folder and the weights of the run; omit PATH, --config, --out, --force, --weights and \
                       --pretrained";
        return Err(Error::argument("resume", problem));
    }
    let resumed = args.run.resume.as_deref().map(resume::resumed_args).transpose()?;
    let choice = choice::complete(args)?;
    let args = resumed.as_ref().unwrap_or(&choice.args);
    choice.notes.iter().for_each(|note| say(note));
    if let Some(file) = &args.augmentation.show_augment {
        let split = args.split()?;
        report_skipped(&split.notes, &split.skipped);
        return args.augmentation.show(&split, args.seed, file).map(|()| Trained::with_code(0));
    }
    let mut dir = match &args.run.resume {
        Some(run) => RunDir::reopen(run, &args.run)?,
        None => RunDir::claim(args)?,
    };
    let out = dir.path().to_owned();
    let split = args.split()?;
    report_skipped(&split.notes, &split.skipped);
    let [channels, height, width] = split.train.shape();
    let classes = split.train.classes().len();
    let model = models::by_name(args.network()?, channels, classes)?;
    let config = args.config(&split)?;
    let unfreeze_after = args.fine_tuning.unfreeze_after(config.epochs)?;
    let mut unfrozen = config.clone();
    unfrozen.recipe.rules.freeze.clear();
    let card = card(&*model, &split, args.preprocessing(&split)?);
    let checkpoints =
        Checkpoints::new(dir.folder(), args.run.keep as usize, args.about(&model.name(), &split));
    let start = args.run.resume.as_ref().map(|run| Start::find(run, args, &checkpoints)).transpose()?;
    let device = args.device.open()?;
    say(&format!("device   {}", device.describe()));
    let validation = split.validation.as_ref().map(|data| format!(", {} validation", data.len()));
    say(&format!(
        "data     {}: {} training{} and {} test images of {channels}x{height}x{width}, {classes} classes",
        split.train.name(),
        split.train.len(),
        validation.unwrap_or_default(),
        split.test.len(),
    ));
    let strategy = args.memory.strategy(config.batch, config.accumulate, |strategy| {
        let largest = if unfreeze_after.is_some() { &unfrozen } else { &config };
        let (device, config) = strategy.training(&device, largest);
        Trainer::estimated_bytes(&device, &*model, &split, config)
    })?;
    let device = strategy.training(&device, &config).0;
    let trainer_on = |device: &Device, config: &TrainConfig| {
        let (device, config) = strategy.training(device, config);
        Trainer::new(&device, &*model, split.clone(), config)
    };
    // A checkpoint after the last frozen epoch still has only what that stage trains.
    let config_at = |position: Position| match unfreeze_after {
        Some(after) if (position.epoch, position.batch) > (after, 0) => &unfrozen,
        _ => &config,
    };
    let position = start.as_ref().map_or(Position::default(), Start::position);
    let mut trainer = trainer_on(&device, config_at(position))?;
    args.device.choices.check(trainer.session().plans())?;
    let memory = trainer.session().bytes();
    let parameters = trainer.parameters();
    say(&format!(
        "model    {}: {parameters} parameters, {:.1} MiB on the device",
        model.name(),
        memory as f64 / (1 << 20) as f64
    ));
    let load_weights = |trainer: &mut Trainer| {
        let Some(path) = args.initial_weights()? else { return Ok(()) };
        let weights = Weights::read(&path)?;
        note_other_classes(&weights, card.classes.as_deref().unwrap_or_default());
        let loaded = trainer.load(&weights, args.fine_tuning.fit(classes))?;
        say(&format!("weights  {}: {loaded}", path.display()));
        Ok(())
    };
    if start.as_ref().is_none_or(|start| start.checkpoint.is_none()) {
        load_weights(&mut trainer)?;
    }
    let stop = stop_on_interrupt()?;
    match &start {
        Some(start) => {
            let changes = start.changes.describe(args, start.position().step, &split)?;
            resume(start, changes, args, &mut dir, &mut trainer)?;
        }
        // This replaces an earlier run, so everything that can fail early has been checked.
        None => dir.begin(&args.describe(&choice.arguments, &device, &model.name(), parameters, memory))?,
    }
    let open_again = || {
        let again = args.device.open()?;
        if again.name() != device.name() {
            let problem = format!("{} is gone, and {} gives other results", device.name(), again.name());
            return Err(Error::Device(problem));
        }
        Ok(again)
    };
    let unfreeze = |state: Checkpoint| {
        let mut trainer = trainer_on(&open_again()?, &unfrozen)?;
        trainer.resume(state.position, &state.tensors)?;
        Ok(trainer)
    };
    let reopen = || {
        let again = open_again()?;
        let checkpoint = checkpoints.newest()?;
        let position = checkpoint.as_ref().map_or(Position::default(), |(_, state)| state.position);
        let mut trainer = trainer_on(&again, config_at(position))?;
        if checkpoint.is_none() {
            load_weights(&mut trainer)?;
        }
        restore(checkpoint.as_ref(), &out, &mut trainer)?;
        Ok(trainer)
    };
    let run = Run {
        args,
        model: &*model,
        split: &split,
        card: &card,
        stop: &stop,
        checkpoints: &checkpoints,
        unfreeze_after,
        unfreeze: &unfreeze,
        reopen: &reopen,
    };
    let trained = run.complete(trainer, &mut dir);
    let stopped = trained.inspect_err(|error| {
        // If the learning rate was the cause, resuming helps only with a smaller one.
        let diverged = matches!(error, Error::Argument { name, .. } if name == "lr");
        let smaller = (args.learning_rate() / 10.0).min(args.rate_or_default(None));
        let lr = diverged.then(|| format!(" --lr {smaller:.0e}"));
        say(&format!("resume   {}{}", resume::command(&out), lr.unwrap_or_default()));
    })?;
    dir.write_plot(&format!("{} on {}", model.name(), args.data.dataset))?;
    dir.finish()?;
    say(&format!("written  {}", out.display()));
    if !stopped {
        return Ok(Trained { code: 0, report: args.run.report.then(|| (out, args.device.clone())) });
    }
    if checkpoints.exist() {
        say(&format!("resume   {}", resume::command(&out)));
    }
    Ok(Trained::with_code(INTERRUPTED))
}

/// Restores the trainer from a checkpoint and its file, if there is one, and reports where the run continues.
fn restore(checkpoint: Option<&(PathBuf, Checkpoint)>, run: &Path, trainer: &mut Trainer) -> Result<()> {
    match checkpoint {
        Some((path, checkpoint)) => {
            checkpoint.restore(path, trainer)?;
            say(&format!("resumed  {}, after step {}", path.display(), checkpoint.position.step));
        }
        None => say(&format!("resumed  {}, from the beginning: it has no checkpoint yet", run.display())),
    }
    Ok(())
}

/// Resumes a run and reports how it continues.
fn resume(
    start: &Start,
    changes: Option<String>,
    args: &Args,
    dir: &mut RunDir,
    trainer: &mut Trainer,
) -> Result<()> {
    restore(start.checkpoint.as_ref(), dir.path(), trainer)?;
    if let Some(changes) = changes {
        say(&format!("changed  {changes}"));
        dir.update_config(&start.changes.config(dir.path(), args)?)?;
    }
    if trainer.epochs_left() == 0 {
        say(&format!(
            "already trained for all {} epochs; give more --epochs to continue",
            args.schedule.epochs
        ));
    }
    dir.rewind(&trainer.position())
}

/// Prints a note if the last layer of the weights has the right number of classes, but other ones.
fn note_other_classes(weights: &Weights, classes: &[String]) {
    if let Some(theirs) = Card::of(weights).classes.filter(|own| own.len() == classes.len() && own != classes)
    {
        note(&format!(
            "note: {}: its last layer was trained for other classes ({}), or for the same in another order; it is loaded \
             nevertheless",
            weights.path().display(),
            text::name(&theirs.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", "))
        ));
    }
}

/// Most classes listed in a message.
const MAX_LISTED: usize = 12;

/// The metadata of the trained weights.
fn card(model: &dyn Model, split: &Split, preprocessing: Preprocessing) -> Card {
    let classes = Some(split.train.classes().to_vec());
    Card { model: Some(model.name()), classes, preprocessing: Some(preprocessing), ..Default::default() }
}

/// The surroundings of the training loop.
struct Run<'a> {
    args: &'a Args,
    model: &'a dyn Model,
    split: &'a Split,
    card: &'a Card,
    stop: &'a Arc<AtomicBool>,
    checkpoints: &'a Checkpoints,
    unfreeze_after: Option<usize>,
    /// Opens the device again for a trainer without frozen parameters.
    unfreeze: &'a dyn Fn(Checkpoint) -> Result<Trainer>,
    /// Opens the device again and restores the last checkpoint.
    reopen: &'a dyn Fn() -> Result<Trainer>,
}

/// How often a lost device is opened again without a new checkpoint in between.
const MAX_LOSSES: usize = 3;

impl Run<'_> {
    /// Trains and writes the weights. If the device is lost, opens it again and continues from the last checkpoint.
    fn complete(&self, trainer: Trainer, dir: &mut RunDir) -> Result<bool> {
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
            trainer = (self.reopen)();
            if let Ok(trainer) = &trainer {
                dir.rewind(&trainer.position())?;
            }
        }
    }

    /// Trains with frozen parameters, if there are any yet, and then without.
    fn train_stages(&self, mut trainer: Trainer, dir: &mut RunDir) -> Result<(Trainer, bool)> {
        let mut reporter = Reporter::new(self, &mut trainer, &dir.metrics);
        let Position { epoch, batch, .. } = trainer.position();
        if let Some(after) = self.unfreeze_after.filter(|after| (epoch, batch) <= (*after, 0)) {
            let stopped = self.train(&mut trainer, after, dir, &mut reporter)?;
            if stopped || !dir.is_complete() {
                return Ok((trainer, stopped));
            }
            let state = Checkpoint::of(&mut trainer, &self.checkpoints.about)?;
            drop(trainer);
            trainer = (self.unfreeze)(state)?;
            say(&format!(
                "unfrozen all parameters after epoch {after}: {} are trained",
                trainer.parameters()
            ));
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
            let stopped = self.stop.load(Ordering::Relaxed);
            if report.held_out().is_some() || stopped {
                reporter.epoch(&report, trainer);
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
            let Some((best, since)) = dir.metrics.stale().filter(|_| is_last_stage) else { continue };
            if self.args.schedule.patience.is_some_and(|patience| since >= patience as usize)
                && report.held_out().is_some()
            {
                say(&format!("stopped: no better than {:.2} % for {since} epochs", 100.0 * best));
                dir.end_line();
                dir.save_steps();
                break;
            }
        }
        Ok(false)
    }

    /// Says how good the best weights are. With validation images, tests them on the test images: for the first time, since no
    /// choice may depend on these.
    fn announce(&self, trainer: &mut Trainer, dir: &mut RunDir) -> Result<()> {
        let Some(best) = dir.metrics.best() else { return Ok(()) };
        let (Some((_, accuracy)), epoch) = (best.held_out(), best.epoch) else { return Ok(()) };
        let is_last = dir.metrics.rows.last().is_some_and(|last| last.epoch == epoch);
        let of = if is_last { String::new() } else { format!(", after epoch {epoch}") };
        if best.validation_accuracy.is_none() {
            say(&format!("test accuracy {:.2} %{of}", 100.0 * accuracy));
            return Ok(());
        }
        say(&format!("validation accuracy {:.2} %{of}", 100.0 * accuracy));
        let weights = Weights::read(&dir.path().join(BEST))?;
        trainer.load(&weights, Fit::Strict)?;
        let test = trainer.test()?;
        say(&format!("test accuracy {:.2} %", 100.0 * test.accuracy));
        dir.add_test(epoch, test)
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
