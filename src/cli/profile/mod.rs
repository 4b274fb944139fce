//! `striate profile`: times of a training step by layer and by kernel.

mod peaks;
mod roofline;
mod rows;
mod steps;
mod table;
mod trace;

use super::flags::{DeviceFlags, ModelFlags, recipe};
use super::memory::MemoryFlags;
use super::output::{json, print};
use peaks::Peaks;
pub use rows::Row;
use serde::Serialize;
use std::path::PathBuf;
use steps::{Host, Steps};
use striate::graph::Graph;
use striate::plan::Plan;
use striate::train::training_graph;
use striate::{Clock, Device, OutputFolder, Result};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// Images per step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    device: DeviceFlags,
    #[command(flatten)]
    memory: MemoryFlags,
    /// Timed steps, after two warm-up steps.
    #[arg(long, default_value_t = STEPS, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Folder for a roofline diagram, roofline.svg, and a timeline of all launches, trace.json; earlier ones are replaced.
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Print JSON; times are in milliseconds.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

// Files of `--out`.
const IMAGE: &str = "roofline.svg";
const TRACE: &str = "trace.json";

/// Default number of timed steps.
const STEPS: u32 = 5;

/// The results.
#[derive(Serialize)]
struct Answer {
    model: String,
    /// Batch, channels, height and width.
    input: [usize; 4],
    device: String,
    /// The clock that timed the launches.
    clock: &'static str,
    steps: u32,
    peaks: Peaks,
    /// Milliseconds from the start of the first launch to the end of the last one.
    step_ms: f64,
    /// Sum of the launches' milliseconds.
    launches_ms: f64,
    host: Vec<Host>,
    layers: Vec<Row>,
    kernels: Vec<Row>,
}

pub fn run(args: Args) -> Result<()> {
    let (model, input) = args.model.open(args.batch)?;
    let graph = training_graph(&*model, input, &recipe())?;
    let unrestricted = args.device.open_default()?;
    let device = args.device.choices.device(unrestricted.clone())?;
    let plan = args.memory.plan(&graph, device.target())?;
    args.device.choices.check(std::slice::from_ref(&plan))?;
    let out = args.out.as_deref().map(|path| OutputFolder::open(path, "profile")).transpose()?;
    out.iter().try_for_each(|folder| folder.check(&[IMAGE, TRACE]))?;
    // The peaks must not depend on the choices for the profiled step.
    let peaks = peaks::measure(&unrestricted)?;
    let steps = Steps::run(&device, plan, input, model.classes(), args.steps)?;
    let answer = Answer {
        model: model.name(),
        input,
        device: device.describe(),
        clock: clock_name(steps.clock(), &device),
        steps: args.steps,
        step_ms: steps.step_ms(),
        launches_ms: steps.launches_ms(),
        host: steps.host(),
        layers: rows::by_layer(&steps, &peaks),
        kernels: rows::by_kernel(&steps, &peaks),
        peaks,
    };
    let mut text = if args.json { json(&answer) } else { table::text(&answer) };
    if let Some(folder) = out {
        let [image, trace] = [IMAGE, TRACE].map(|name| folder.path().join(name));
        folder.write(IMAGE, roofline::draw(&image, &answer)?.as_bytes())?;
        folder.write(TRACE, trace::json(&steps, &answer).as_bytes())?;
        if !args.json {
            text += &format!("\nwritten  {} and {}\n", image.display(), trace.display());
        }
    }
    print(&text)
}

/// Times of a training step.
pub struct LayerTimes {
    /// Milliseconds from the start of the first launch to the end of the last one.
    pub step_ms: f64,
    /// Sum of the launches' milliseconds.
    pub launches_ms: f64,
    pub rows: Vec<Row>,
}

/// Times a few steps of a training graph for images of shape `input`.
pub fn layer_times(device: &Device, graph: &Graph, input: [usize; 4], classes: usize) -> Result<LayerTimes> {
    let peaks = peaks::measure(device)?;
    let steps = Steps::run(device, Plan::new(graph, device.target())?, input, classes, STEPS)?;
    let rows = rows::by_layer(&steps, &peaks);
    Ok(LayerTimes { step_ms: steps.step_ms(), launches_ms: steps.launches_ms(), rows })
}

fn clock_name(clock: Clock, device: &Device) -> &'static str {
    match clock {
        Clock::Timestamps => "the GPU's timestamps, each launch in a compute pass of its own",
        Clock::Wall if device.is_gpu() => {
            "the host's clock, submission and waiting included: this GPU has no timestamps"
        }
        Clock::Wall => "the host's clock, launch by launch",
    }
}
