//! `striate train`.

mod args;
mod plot;
mod progress;
mod run_dir;

pub use args::Args;

use progress::Reporter;
use run_dir::RunDir;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use striate::train::Trainer;
use striate::{Device, Error, Result, data, models};

/// Exit code of a program stopped by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Trains as asked. The exit code is 0, or 130 if Ctrl-C stopped it: then everything learned so far is
/// written as well.
pub fn run(args: Args) -> Result<i32> {
    let out = args.out_path();
    RunDir::check(&out, args.force)?;
    let split = data::open(&args.dataset, args.data.as_deref(), args.image_size)?;
    let [channels, height, width] = split.train.shape();
    let model = models::by_name(&args.model, channels, split.train.classes().len())?;
    let device = Device::select(&args.device)?;
    println!("device   {}", device.describe());
    println!(
        "data     {}: {} training and {} test pictures of {channels}x{height}x{width}, {} classes",
        split.train.name(),
        split.train.len(),
        split.test.len(),
        split.train.classes().len()
    );
    let config = args.config([height, width])?;
    let mut trainer = Trainer::new(&device, model.as_ref(), split, config)?;
    let memory = trainer.session().bytes();
    let parameters = trainer.parameters();
    println!(
        "model    {}: {parameters} parameters, {:.1} MiB on the device",
        model.name(),
        memory as f64 / (1 << 20) as f64
    );
    let mut dir = RunDir::create(&out)?;
    dir.write_config(&args.describe(&device, &model.name(), parameters, memory))?;
    let stopped = train(&mut trainer, &mut dir, args.epochs)?;
    dir.write_model(&model.name(), &mut trainer)?;
    dir.write_plot(&format!("{} on {}", model.name(), args.dataset))?;
    println!("written  {}", dir.path().display());
    Ok(if stopped { INTERRUPTED } else { 0 })
}

/// All epochs, or until Ctrl-C; tells which.
fn train(trainer: &mut Trainer, dir: &mut RunDir, epochs: usize) -> Result<bool> {
    let stop = stop_on_interrupt()?;
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
                println!("test accuracy {:.2} %", 100.0 * test.accuracy)
            }
            Some(_) if !stop.load(Ordering::Relaxed) => {}
            _ => {
                println!("stopped by Ctrl-C; writing what was learned so far");
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A flag that Ctrl-C sets. A second Ctrl-C ends the program at once.
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
