//! `striate train`.

mod args;
mod plot;
mod progress;
mod run_dir;

pub use args::Args;
pub use run_dir::MODEL;

use super::flags::as_flag;
use progress::{Reporter, say};
use run_dir::RunDir;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use striate::data::{Preprocessing, Split};
use striate::infer::Card;
use striate::models::{self, Model};
use striate::train::Trainer;
use striate::{Error, Result};

/// Exit code of a program stopped by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Trains as asked. The exit code is 0, or 130 if Ctrl-C or the system stopped it: then everything learned
/// so far is written as well.
pub fn run(args: Args) -> Result<i32> {
    run_named(&args).map_err(as_flag::<Args>)
}

fn run_named(args: &Args) -> Result<i32> {
    let out = args.out_path();
    RunDir::check(&out, args.force)?;
    let split = args.data.open(None)?;
    let [channels, height, width] = split.train.shape();
    let model = models::by_name(&args.model, channels, split.train.classes().len())?;
    let config = args.config([height, width])?;
    let card = card(&*model, &split);
    let device = args.device.open()?;
    say(&format!("device   {}", device.describe()));
    say(&format!(
        "data     {}: {} training and {} test pictures of {channels}x{height}x{width}, {} classes",
        split.train.name(),
        split.train.len(),
        split.test.len(),
        split.train.classes().len()
    ));
    let mut trainer = Trainer::new(&device, model.as_ref(), split, config)?;
    args.device.choices.check(trainer.session().plans())?;
    let memory = trainer.session().bytes();
    let parameters = trainer.parameters();
    say(&format!(
        "model    {}: {parameters} parameters, {:.1} MiB on the device",
        model.name(),
        memory as f64 / (1 << 20) as f64
    ));
    let stop = stop_on_interrupt()?;
    // From here on an earlier run is replaced: whatever can be refused was refused before.
    let config = args.describe(&device, &model.name(), parameters, memory);
    let mut dir = RunDir::create(&out, args.force, &config)?;
    let trained = train(&mut trainer, &mut dir, args.epochs, &stop);
    if matches!(trained, Err(ref error) if !matches!(error, Error::Io { .. })) {
        return trained.map(|_| 0);
    }
    // Where `metrics.csv` could not be written, the weights may still find room.
    let written = dir.write_model(&card, &mut trainer);
    let drawn = dir.write_plot(&format!("{} on {}", model.name(), args.data.dataset));
    let stopped = trained?;
    written?;
    drawn?;
    say(&format!("written  {}", dir.path().display()));
    Ok(if stopped { INTERRUPTED } else { 0 })
}

/// What the weights will say of themselves.
fn card(model: &dyn Model, split: &Split) -> Card {
    let [_, height, width] = split.train.shape();
    let normalization = split.normalization.clone();
    Card {
        model: Some(model.name()),
        classes: Some(split.train.classes().to_vec()),
        preprocessing: Some(Preprocessing { size: [height, width], resize: None, normalization }),
    }
}

/// All epochs, or until Ctrl-C; tells which.
fn train(trainer: &mut Trainer, dir: &mut RunDir, epochs: usize, stop: &AtomicBool) -> Result<bool> {
    let mut reporter = Reporter::new(epochs);
    while trainer.epochs_left() > 0 {
        let report = trainer.epoch(&mut |progress| {
            reporter.step(progress);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        reporter.epoch(&report);
        dir.add_epoch(&report)?;
        match report.test {
            Some(test) if trainer.epochs_left() == 0 => {
                say(&format!("test accuracy {:.2} %", 100.0 * test.accuracy));
            }
            Some(_) if !stop.load(Ordering::Relaxed) => {}
            _ => {
                say("interrupted; writing what was learned so far");
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A flag that Ctrl-C sets, and the system's request to end. A second one ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    })
    .map_err(|e| Error::argument("Ctrl-C", format!("cannot be caught: {e}")))?;
    Ok(stop)
}
