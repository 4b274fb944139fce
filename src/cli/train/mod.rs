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
mod ranks;
mod resume;
mod run_dir;
mod stages;
mod steps;
mod table;
mod tensorboard;
mod training;
mod tui;

pub use args::Args;
pub use metrics::{Metrics, Row};
pub use plot::{PANEL, axes, axis_name, beyond, clamped, curve_panels, padded};
pub use resume::{config, original_args, source_of};
pub use run_dir::open_run;

use super::flags::{DeviceFlags, as_flag};
use super::images::report_skipped;
use super::ranks::{fail, join, launch, open_device};
use checkpoints::Checkpoints;
use interrupt::{INTERRUPTED, stop_on_interrupt};
use progress::say;
use resume::Start;
use run_dir::RunDir;
use stages::Stages;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use striate::data::{Preprocessing, Split};
use striate::distributed::Ranks;
use striate::infer::Card;
use striate::models::{self, Model};
use striate::train::{Checkpoint, Position, Trainer};
use striate::{Error, Result};
use training::Run;

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
    if let Some(count) = args.ranks.ranks {
        return launch(count).map(Trained::with_code);
    }
    let joined = join(&args.ranks)?;
    let trained = run_named(&args, joined.as_ref()).map_err(as_flag::<Args>);
    match (joined, trained) {
        (Some(ranks), Err(error)) => fail(&ranks, &error),
        (Some(ranks), Ok(trained)) => {
            Ok(Trained { report: trained.report.filter(|_| ranks.is_first()), ..trained })
        }
        (None, trained) => trained,
    }
}

fn run_named(args: &Args, ranks: Option<&Ranks>) -> Result<Trained> {
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
    let is_first = ranks.is_none_or(Ranks::is_first);
    if let Some(file) = &args.augmentation.show_augment {
        if !is_first {
            return Ok(Trained::with_code(0));
        }
        let split = args.split()?;
        report_skipped(&split.notes, &split.skipped);
        return args.augmentation.show(&split, args.seed, file).map(|()| Trained::with_code(0));
    }
    let mut dir = match &args.run.resume {
        _ if !is_first => RunDir::elsewhere(&args.run),
        Some(run) => RunDir::reopen(run, &args.run)?,
        None => RunDir::claim(args)?,
    };
    let out = dir.path().to_owned();
    let split = args.split()?;
    report_skipped(&split.notes, &split.skipped);
    let [channels, height, width] = split.train.shape();
    let classes = split.train.classes().len();
    let model = models::by_name(args.network()?, channels, classes)?;
    let stages = Stages::new(args, &split)?;
    let card = card(&*model, &split, args.preprocessing(&split)?);
    let checkpoints =
        Checkpoints::new(dir.folder(), args.run.keep as usize, args.about(&model.name(), &split));
    let resumed = args.run.resume.as_ref().filter(|_| is_first);
    let start = resumed.map(|run| Start::find(run, args, &checkpoints)).transpose()?;
    if let Some(ranks) = ranks {
        ranks.agree("the flags or images", ranks::settings(args, &checkpoints.about).as_bytes())?;
    }
    let device = open_device(&args.device, ranks)?;
    say(&format!("device   {}", device.describe()));
    let validation = split.validation.as_ref().map(|data| format!(", {} validation", data.len()));
    say(&format!(
        "data     {}: {} training{} and {} test images of {channels}x{height}x{width}, {classes} classes",
        split.train.name(),
        split.train.len(),
        validation.unwrap_or_default(),
        split.test.len(),
    ));
    if let Some(ranks) = ranks {
        ranks::describe(ranks, args).iter().for_each(|line| say(line));
    }
    let config = stages.largest();
    // Rank 0 has the most images.
    let chosen = is_first.then(|| {
        args.memory.strategy(config.batch, config.accumulate, |strategy| {
            let (device, config) = strategy.training(&device, config);
            Trainer::estimated_bytes(&device, &*model, &split, config)
        })
    });
    let strategy = ranks::from_first(ranks, chosen.transpose()?)?;
    let run = Run {
        args,
        model: &*model,
        split: &split,
        card: &card,
        stages,
        strategy,
        device: &device,
        ranks,
        checkpoints: &checkpoints,
        stop: Arc::default(),
    };
    let position = start.as_ref().map_or(Position::default(), Start::position);
    let position = ranks::from_first(ranks, is_first.then_some(position))?;
    let mut trainer = run.trainer_at(position)?;
    args.device.choices.check(trainer.session().plans())?;
    let memory = trainer.session().bytes();
    let parameters = trainer.parameters();
    say(&format!(
        "model    {}: {parameters} parameters, {:.1} MiB on the device",
        model.name(),
        memory as f64 / (1 << 20) as f64
    ));
    if is_first && start.as_ref().is_none_or(|start| start.checkpoint.is_none()) {
        run.load_weights(&mut trainer)?;
    }
    stop_on_interrupt(&run.stop)?;
    match &start {
        _ if !is_first => trainer.resume(position, &[])?,
        Some(start) => {
            let changes = start.changes.describe(args, start.position().step, &split)?;
            resume(start, changes, args, &mut dir, &mut trainer)?;
        }
        // This replaces an earlier run, so everything that can fail early has been checked.
        None => dir.begin(&args.describe(&choice.arguments, &device, &model.name(), parameters, memory))?,
    }
    trainer.synchronize()?;
    let trained = run.complete(trainer, &mut dir);
    let stopped = trained.inspect_err(|error| {
        // If the learning rate was the cause, resuming helps only with a smaller one.
        let diverged = matches!(error, Error::Argument { name, .. } if name == "lr");
        let smaller = (args.learning_rate() / 10.0).min(args.rate_or_default(None));
        let lr = diverged.then(|| format!(" --lr {smaller:.0e}"));
        say(&format!("resume   {}{}", resume::command(&out, ranks.is_some()), lr.unwrap_or_default()));
    })?;
    // From here on, Ctrl-C ends the program at once.
    run.stop.store(true, Ordering::Relaxed);
    dir.write_plot(&format!("{} on {}", model.name(), args.data.dataset))?;
    dir.finish()?;
    say(&format!("written  {}", out.display()));
    if !stopped {
        return Ok(Trained { code: 0, report: args.run.report.then(|| (out, args.device.clone())) });
    }
    if checkpoints.exist() {
        say(&format!("resume   {}", resume::command(&out, ranks.is_some())));
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

/// The metadata of the trained weights.
fn card(model: &dyn Model, split: &Split, preprocessing: Preprocessing) -> Card {
    let classes = Some(split.train.classes().to_vec());
    Card { model: Some(model.name()), classes, preprocessing: Some(preprocessing), ..Default::default() }
}
