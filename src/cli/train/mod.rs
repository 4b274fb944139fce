//! `striate train`.

mod args;
mod checkpoints;
mod metrics;
mod plot;
mod progress;
mod resume;
mod rules;
mod run_dir;

pub use args::Args;
pub use metrics::{Metrics, Row};
pub use resume::{begun, config, data_of};
pub use run_dir::Beside;

use super::flags::as_flag;
use super::images::tell;
use super::network::file as weights_file;
use super::terminal::note;
use super::text;
use checkpoints::Checkpoints;
use progress::{Reporter, say};
use resume::Start;
use run_dir::{RUNS, RunDir};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use striate::data::{Preprocessing, Split};
use striate::infer::Card;
use striate::models::{self, Model};
use striate::train::{EpochReport, Trainer};
use striate::weights::Weights;
use striate::{Error, Result};

/// Exit code of a program stopped by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Trains as asked. The exit code is 0, or 130 if Ctrl-C or the system stopped it: then everything learned
/// so far is written as well.
pub fn run(args: Args) -> Result<i32> {
    run_named(&args).map_err(as_flag::<Args>)
}

fn run_named(args: &Args) -> Result<i32> {
    if args.resume.is_some() && (args.out.is_some() || args.force || args.weights.is_some()) {
        let problem =
            "goes on in its own folder with its own weights; leave --out, --force and --weights away";
        return Err(Error::argument("resume", problem));
    }
    let restored = args.resume.as_deref().map(resume::restored).transpose()?;
    let args = restored.as_ref().unwrap_or(args);
    let mut dir = match &args.resume {
        Some(run) => RunDir::reopen(run)?,
        None if writes_among_its_images(args) => {
            let (out, data) = (out_of(args), args.data.data.as_deref().unwrap_or(Path::new("")));
            let problem = format!(
                "lies in {}, the folder of the images to learn from; give an --out beside it",
                data.display()
            );
            return Err(Error::data(out, problem));
        }
        None => RunDir::claim(args.out.as_deref(), &args.run_name(), args.force)?,
    };
    let out = dir.path().to_owned();
    let split = args.data.source().open()?;
    tell(&split.notes, &split.skipped);
    let [channels, height, width] = split.train.shape();
    let classes = split.train.classes().len();
    let model = models::by_name(&args.model, channels, classes)?;
    let config = args.config([height, width])?;
    let card = card(&*model, &split, !args.data.no_exif_rotation);
    let checkpoints = Checkpoints::new(dir.folder(), args.keep as usize, args.about(&model.name(), &split));
    let start = args.resume.as_ref().map(|run| Start::find(run, args, &checkpoints)).transpose()?;
    let images = split.train.len();
    let device = args.device.open()?;
    say(&format!("device   {}", device.describe()));
    say(&format!(
        "data     {}: {} training and {} test images of {channels}x{height}x{width}, {classes} classes",
        split.train.name(),
        split.train.len(),
        split.test.len(),
    ));
    let savings = args.memory.savings(config.batch, config.accumulate, |savings| {
        let (device, config) = savings.training(&device, &config);
        Trainer::estimated_bytes(&device, &*model, &split, config)
    })?;
    let (device, config) = savings.training(&device, &config);
    let mut trainer = Trainer::new(&device, model.as_ref(), split, config)?;
    args.device.choices.check(trainer.session().plans())?;
    let memory = trainer.session().bytes();
    let parameters = trainer.parameters();
    say(&format!(
        "model    {}: {parameters} parameters, {:.1} MiB on the device",
        model.name(),
        memory as f64 / (1 << 20) as f64
    ));
    let checkpoint = start.as_ref().and_then(|start| start.checkpoint.as_ref());
    if let (Some(path), None) = (&args.weights, checkpoint) {
        let weights = Weights::read(&weights_file(path)?)?;
        note_other_classes(&weights, card.classes.as_deref().unwrap_or_default());
        let loaded = trainer.load(&weights, args.fit(classes))?;
        say(&format!("weights  {}: {loaded}", path.display()));
    }
    let stop = stop_on_interrupt()?;
    match &start {
        Some(start) => {
            let changes = start.changed.tell(args, start.step(), images, [height, width])?;
            go_on(start, changes, args, &mut dir, &mut trainer)?;
        }
        // From here on an earlier run is replaced: whatever can be refused was refused before.
        None => dir.begin(&args.describe(&device, &model.name(), parameters, memory))?,
    }
    let trained =
        Run { args, card: &card, stop: &stop, checkpoints: &checkpoints }.train(&mut trainer, &mut dir);
    let stopped = trained.inspect_err(|error| {
        // Of no use without a smaller rate, where that was the reason.
        let slower = matches!(error, Error::Argument { name, .. } if name == "lr");
        let smaller = (args.learning_rate() / 10.0).min(args.rate_or_usual(None));
        let lr = slower.then(|| format!(" --lr {smaller:.0e}"));
        say(&format!("go on    {}{}", resume::command(&out), lr.unwrap_or_default()));
    })?;
    // Where `metrics.csv` could not be written, the weights may still find room.
    dir.write_model(&card, &mut trainer)?;
    dir.write_plot(&format!("{} on {}", model.name(), args.data.dataset))?;
    dir.whole()?;
    say(&format!("written  {}", out.display()));
    if !stopped {
        return Ok(0);
    }
    if checkpoints.are_there() {
        say(&format!("go on    {}", resume::command(&out)));
    }
    Ok(INTERRUPTED)
}

/// Where a new run, or the folder that gets a number, is to be.
fn out_of(args: &Args) -> &Path {
    args.out.as_deref().unwrap_or(Path::new(RUNS))
}

/// Whether the results would lie among folders that are taken for classes.
fn writes_among_its_images(args: &Args) -> bool {
    let Some(data) = args.data.data.as_deref().filter(|_| args.data.dataset == "folder") else {
        return false;
    };
    // What is not there yet is made in the nearest folder that is.
    let there = std::path::absolute(out_of(args)).ok();
    let there =
        there.as_deref().and_then(|out| out.ancestors().find_map(|folder| folder.canonicalize().ok()));
    matches!((there, data.canonicalize()), (Some(there), Ok(data)) if there.starts_with(&data))
}

/// Lets the trainer go on where the run stands.
fn go_on(
    start: &Start,
    changes: Option<String>,
    args: &Args,
    dir: &mut RunDir,
    trainer: &mut Trainer,
) -> Result<()> {
    match &start.checkpoint {
        Some((path, checkpoint)) => {
            checkpoint.restore(path, trainer)?;
            say(&format!("resumed  {}, after step {}", path.display(), checkpoint.position.step));
        }
        None => say(&format!(
            "resumed  {}, which has no checkpoint yet: from its beginning",
            dir.path().display()
        )),
    }
    if let Some(changes) = changes {
        say(&format!("changed  {changes}"));
        dir.configure(&start.changed.config(dir.path(), args)?)?;
    }
    if trainer.epochs_left() == 0 {
        say(&format!("at its end after {} epochs; --epochs with more of them goes on", args.epochs));
    }
    dir.go_on(trainer.position().epoch)
}

/// Tells if weights come with a last layer for as many classes as there are, but for others.
fn note_other_classes(weights: &Weights, classes: &[String]) {
    if let Some(theirs) = Card::of(weights).classes.filter(|own| own.len() == classes.len() && own != classes)
    {
        note(&format!(
            "note: {}: its last layer tells other classes apart ({}), or has them in another order, and begins with what it learned \
             of those",
            weights.path().display(),
            text::name(&theirs.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", "))
        ));
    }
}

/// Classes that a message names.
const NAMED: usize = 12;

/// What the weights will say of themselves.
fn card(model: &dyn Model, split: &Split, exif_rotation: bool) -> Card {
    let [_, height, width] = split.train.shape();
    let normalization = split.normalization.clone();
    Card {
        model: Some(model.name()),
        classes: Some(split.train.classes().to_vec()),
        preprocessing: Some(Preprocessing {
            exif_rotation,
            ..Preprocessing::new([height, width], normalization)
        }),
        ..Default::default()
    }
}

/// What training does beside training.
struct Run<'a> {
    args: &'a Args,
    card: &'a Card,
    stop: &'a AtomicBool,
    checkpoints: &'a Checkpoints,
}

impl Run<'_> {
    /// All epochs, or until nothing gets better, or until Ctrl-C; tells whether it was that.
    fn train(&self, trainer: &mut Trainer, dir: &mut RunDir) -> Result<bool> {
        let mut reporter = Reporter::new(self.args.epochs);
        while trainer.epochs_left() > 0 {
            let mut steps = 0;
            let report = trainer.epoch(&mut |progress| {
                reporter.step(progress);
                steps += 1;
                let pause = steps == self.args.checkpoint_every || self.stop.load(Ordering::Relaxed);
                if pause { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let stopped = self.stop.load(Ordering::Relaxed);
            if report.test.is_some() || stopped {
                reporter.epoch(&report);
                self.keep(trainer, dir, &report)?;
                if !dir.is_whole() {
                    // Without a checkpoint of it: where the run goes on, this epoch is written again.
                    return Ok(false);
                }
            }
            self.checkpoints.save(trainer)?;
            if stopped {
                say("interrupted; writing what was learned so far");
                return Ok(true);
            }
            let Some((best, since)) = dir.metrics.best() else { continue };
            if self.args.patience.is_some_and(|patience| since >= patience as usize) && report.test.is_some()
            {
                say(&format!("no better than {:.2} % for {since} epochs; stopped", 100.0 * best));
                break;
            }
        }
        if let Some(accuracy) = dir.metrics.last_accuracy() {
            say(&format!("test accuracy {:.2} %", 100.0 * accuracy));
        }
        Ok(false)
    }

    /// Adds an epoch to the run's table, and its weights where they are the best so far.
    fn keep(&self, trainer: &mut Trainer, dir: &mut RunDir, report: &EpochReport) -> Result<()> {
        let before = dir.metrics.best();
        dir.add_epoch(report)?;
        match report.test {
            Some(test) if before.is_none_or(|(best, _)| test.accuracy > best) => {
                dir.write_best(self.card, trainer)
            }
            _ => Ok(()),
        }
    }
}

/// A flag that Ctrl-C sets, and the system's request to end. A second one ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    };
    ignored_as_before(|| ctrlc::set_handler(handler))
        .map_err(|e| Error::argument("Ctrl-C", format!("cannot be caught: {e}")))?;
    Ok(stop)
}

/// Installs handlers, but leaves ignored what was ignored when the program began: `nohup` asks it to outlive its terminal, a
/// shell without job control not to mind the Ctrl-C that is meant for another.
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
            // It was possible a moment ago.
            let _ = ignore(caught);
        }
    }
    installed
}

#[cfg(not(unix))]
fn ignored_as_before<R>(install: impl FnOnce() -> R) -> R {
    install()
}
