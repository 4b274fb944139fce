//! `striate train`.

mod args;
mod checkpoints;
mod choice;
mod flags;
mod metrics;
mod plot;
mod pretrained;
mod progress;
mod resume;
mod run_dir;
mod tui;

pub use args::Args;
pub use metrics::{Metrics, Row};
pub use plot::curves;
pub use resume::{config, original_args, source_of};
pub use run_dir::open_run;

use super::flags::as_flag;
use super::images::report_skipped;
use super::network::{BEST, MODEL};
use super::terminal::{self, note};
use super::text;
use checkpoints::Checkpoints;
use progress::{Reporter, say};
use resume::Start;
use run_dir::{RUNS, RunDir};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use striate::data::{Preprocessing, Split};
use striate::infer::Card;
use striate::models::{self, Model};
use striate::train::{Checkpoint, EpochReport, Trainer};
use striate::weights::Weights;
use striate::{Device, Error, Result};

/// Exit code of a program stopped by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Trains a network. The exit code is 130 if it was interrupted; the results so far are written in any case.
pub fn run(args: Args) -> Result<i32> {
    run_named(&args).map_err(as_flag::<Args>)
}

fn run_named(args: &Args) -> Result<i32> {
    let new = args.path.is_some() || args.run.out.is_some() || args.run.force;
    if args.run.resume.is_some() && (new || args.fine_tuning.weights.is_some() || args.fine_tuning.pretrained)
    {
        let problem = "uses the data, the folder and the weights of the run; omit PATH, --out, --force, --weights and --pretrained";
        return Err(Error::argument("resume", problem));
    }
    let resumed = args.run.resume.as_deref().map(resume::resumed_args).transpose()?;
    let choice = choice::complete(args)?;
    let args = resumed.as_ref().unwrap_or(&choice.args);
    choice.notes.iter().for_each(|note| say(note));
    if let Some(file) = &args.augmentation.show_augment {
        let split = args.split()?;
        report_skipped(&split.notes, &split.skipped);
        return args.augmentation.show(&split, args.seed, file).map(|()| 0);
    }
    let mut dir = match &args.run.resume {
        Some(run) => RunDir::reopen(run)?,
        None if is_among_images(args) => {
            let data = args.data.data.as_deref().unwrap_or(Path::new(""));
            let problem =
                format!("is inside {}, the folder of training images; give another --out", data.display());
            return Err(Error::data(out_of(args), problem));
        }
        None => RunDir::claim(args.run.out.as_deref(), &args.run_name(), args.run.force)?,
    };
    let out = dir.path().to_owned();
    let split = args.split()?;
    report_skipped(&split.notes, &split.skipped);
    let [channels, height, width] = split.train.shape();
    let classes = split.train.classes().len();
    let model = models::by_name(args.network()?, channels, classes)?;
    let config = args.config(&split)?;
    let card = card(&*model, &split, args.preprocessing(&split)?);
    let checkpoints =
        Checkpoints::new(dir.folder(), args.run.keep as usize, args.about(&model.name(), &split));
    let start = args.run.resume.as_ref().map(|run| Start::find(run, args, &checkpoints)).transpose()?;
    let device = args.device.open()?;
    say(&format!("device   {}", device.describe()));
    say(&format!(
        "data     {}: {} training and {} test images of {channels}x{height}x{width}, {classes} classes",
        split.train.name(),
        split.train.len(),
        split.test.len(),
    ));
    let strategy = args.memory.strategy(config.batch, config.accumulate, |strategy| {
        let (device, config) = strategy.training(&device, &config);
        Trainer::estimated_bytes(&device, &*model, &split, config)
    })?;
    let device = strategy.training(&device, &config).0;
    let trainer_on = |device: &Device| {
        let (device, config) = strategy.training(device, &config);
        Trainer::new(&device, &*model, split.clone(), config)
    };
    let mut trainer = trainer_on(&device)?;
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
            let changes = start.changes.describe(args, start.step(), &split)?;
            resume(start, changes, args, &mut dir, &mut trainer)?;
        }
        // This replaces an earlier run, so everything that can fail early has been checked.
        None => dir.begin(&args.describe(&choice.arguments, &device, &model.name(), parameters, memory))?,
    }
    let reopen = || {
        let again = args.device.open()?;
        if again.name() != device.name() {
            let problem = format!("{} is gone, and {} gives other results", device.name(), again.name());
            return Err(Error::Device(problem));
        }
        let mut trainer = trainer_on(&again)?;
        let checkpoint = checkpoints.newest()?;
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
        return Ok(0);
    }
    if checkpoints.exist() {
        say(&format!("resume   {}", resume::command(&out)));
    }
    Ok(INTERRUPTED)
}

/// The folder of a new run, or the parent of a folder that is yet to be named.
fn out_of(args: &Args) -> &Path {
    args.run.out.as_deref().unwrap_or(Path::new(RUNS))
}

/// Whether the results would be in the folder of training images, where folders are classes.
fn is_among_images(args: &Args) -> bool {
    let Some(data) = args.data.data.as_deref().filter(|_| args.data.dataset == "folder") else {
        return false;
    };
    // The output folder may not exist yet; its nearest existing ancestor decides.
    let out = std::path::absolute(out_of(args)).ok();
    let out = out.as_deref().and_then(|out| out.ancestors().find_map(|folder| folder.canonicalize().ok()));
    matches!((out, data.canonicalize()), (Some(out), Ok(data)) if out.starts_with(&data))
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
    dir.metrics = Metrics::read(dir.path(), trainer.position().epoch)?;
    Ok(())
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
                let stopped = self.train(&mut trainer, dir)?;
                // Even if `metrics.csv` could not be written, there may be space for the weights.
                dir.write_weights(MODEL, self.card, &mut trainer)?;
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
                dir.metrics = Metrics::read(dir.path(), trainer.position().epoch)?;
            }
        }
    }

    /// Trains until the last epoch, until `--patience` is exhausted, or until an interrupt; returns whether it was interrupted.
    fn train(&self, trainer: &mut Trainer, dir: &mut RunDir) -> Result<bool> {
        let mut reporter = Reporter::new(self, trainer, &dir.metrics);
        while trainer.epochs_left() > 0 {
            let mut steps = 0;
            let report = trainer.epoch(&mut |progress| {
                reporter.step(progress);
                steps += 1;
                let pause = steps == self.args.run.checkpoint_every
                    || self.stop.load(Ordering::Relaxed)
                    || reporter.wants_checkpoint();
                if pause { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let stopped = self.stop.load(Ordering::Relaxed);
            if report.test.is_some() || stopped {
                reporter.epoch(&report, trainer);
                self.record(trainer, dir, &report)?;
                if !dir.is_complete() {
                    // No checkpoint: a resumed run writes this epoch again.
                    return Ok(false);
                }
            }
            if self.checkpoints.save(trainer)? {
                reporter.saved(trainer.position().step);
            }
            if stopped {
                say("interrupted; writing the results so far");
                return Ok(true);
            }
            let Some((best, since)) = dir.metrics.stale() else { continue };
            if self.args.schedule.patience.is_some_and(|patience| since >= patience as usize)
                && report.test.is_some()
            {
                say(&format!("stopped: no better than {:.2} % for {since} epochs", 100.0 * best));
                break;
            }
        }
        if let Some(best) = dir.metrics.best()
            && let Some(accuracy) = best.test_accuracy
        {
            let is_last = dir.metrics.rows.last().is_some_and(|last| last.epoch == best.epoch);
            let of = if is_last { String::new() } else { format!(", after epoch {}", best.epoch) };
            say(&format!("test accuracy {:.2} %{of}", 100.0 * accuracy));
        }
        Ok(false)
    }

    /// Writes the metrics of an epoch, and its weights if they are the best so far.
    fn record(&self, trainer: &mut Trainer, dir: &mut RunDir, report: &EpochReport) -> Result<()> {
        dir.add_epoch(report)?;
        match dir.metrics.best() {
            Some(best) if best.epoch == report.epoch => dir.write_weights(BEST, self.card, trainer),
            _ => Ok(()),
        }
    }
}

/// A flag that is set by Ctrl-C and termination signals. A second signal ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ignored_as_before(|| ctrlc::set_handler(move || interrupt(&flag)))
        .map_err(|e| Error::argument("Ctrl-C", format!("cannot be caught: {e}")))?;
    Ok(stop)
}

/// Stops training; the second time, ends the program at once.
fn interrupt(stop: &AtomicBool) {
    if stop.swap(true, Ordering::Relaxed) {
        terminal::close();
        std::process::exit(INTERRUPTED);
    }
}

/// Installs signal handlers, but keeps ignoring signals that were ignored at startup: by `nohup`, or by a shell without job
/// control for background processes.
#[cfg(unix)]
fn ignored_as_before<R>(install: impl FnOnce() -> R) -> R {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: an ignored signal runs no code.
    let ignore = |caught: Signal| unsafe { signal(caught, SigHandler::SigIgn) };
    let caught = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let before = caught.map(ignore);
    let installed = install();
    for (caught, before) in caught.into_iter().zip(before) {
        if matches!(before, Ok(SigHandler::SigIgn)) {
            // Cannot fail, since the same call succeeded above.
            let _ = ignore(caught);
        }
    }
    installed
}

#[cfg(not(unix))]
fn ignored_as_before<R>(install: impl FnOnce() -> R) -> R {
    install()
}
