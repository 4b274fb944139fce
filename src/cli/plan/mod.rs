//! `striate plan`: the plan of a step, its memory and its time. A device is opened only if one is named.

mod on;

use super::choices::Choices;
use super::device::SubmissionFlags;
use super::flags::{ModelFlags, lanes, recipe};
use super::memory::MemoryFlags;
use super::output::{json, print};
use clap::ValueEnum;
use on::On;
use serde::Serialize;
use striate::graph::Graph;
use striate::models::Model;
use striate::plan::{Family, Plan, Prediction, Report, Target};
use striate::train::{MemoryStrategy, Part, evaluation_graph, partial_graph};
use striate::{Device, Result, Session};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// Images per step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Plan an evaluation step instead of a training step.
    #[arg(long, conflicts_with = "memory")]
    eval: bool,
    /// Kind of device to plan for, with the limits that every such device supports.
    #[arg(long, value_enum, default_value = "gpu", help_heading = "Device")]
    family: FamilyName,
    /// Subgroup size, which enables kernels with subgroup operations.
    #[arg(long, value_name = "LANES", value_parser = lanes, help_heading = "Device")]
    subgroup: Option<u32>,
    #[command(flatten)]
    submission: SubmissionFlags,
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    memory: MemoryFlags,
    /// Plan for this device, with its limits and tuned kernels; see `striate devices`.
    #[arg(long, conflicts_with = "family", help_heading = "Device")]
    device: Option<String>,
    /// Predict the time of each layer on a GPU, given by its name or by its peaks: TFLOP/s, GB/s, and any microseconds per
    /// launch; the kernels are those for --family or --device
    #[arg(long, value_name = "NAME|tflops=N,gbs=N[,launch-us=N]", help_heading = "Device")]
    on: Option<On>,
    /// List every launch.
    #[arg(long, conflicts_with = "on", help_heading = "Output")]
    launches: bool,
    /// Print JSON, including every launch; sizes are in bytes.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum FamilyName {
    /// A hardware GPU.
    Gpu,
    /// A software GPU such as lavapipe.
    Software,
    /// The CPU executor.
    Cpu,
}

impl FamilyName {
    fn of(family: Family) -> Self {
        match family {
            Family::Gpu => FamilyName::Gpu,
            Family::Software => FamilyName::Software,
            Family::Cpu => FamilyName::Cpu,
        }
    }
}

/// The planned step, with its report.
#[derive(Serialize)]
struct Answer<'a> {
    model: String,
    step: &'a str,
    /// Batch, channels, height and width.
    input: [usize; 4],
    /// Number of micro-batches in the step; the report describes the last one.
    micro_batches: usize,
    classes: usize,
    family: FamilyName,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// Kernels that failed the device's self-test.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    excluded: Vec<&'static str>,
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Predicted>,
}

/// The time of the step on the device of `--on`.
#[derive(Serialize)]
struct Predicted {
    #[serde(flatten)]
    on: On,
    #[serde(flatten)]
    prediction: Prediction,
}

pub fn run(args: Args) -> Result<()> {
    let (model, input) = args.model.open(args.batch)?;
    let device = args.device.as_deref().map(Device::select).transpose()?;
    let target = match (&device, args.family) {
        (Some(device), _) => device.target().clone(),
        (None, FamilyName::Gpu) => Target::baseline(Family::Gpu),
        (None, FamilyName::Software) => Target::baseline(Family::Software),
        (None, FamilyName::Cpu) => Target::cpu(None),
    };
    let family = FamilyName::of(target.family);
    let target = Target { subgroup: args.subgroup.unwrap_or(target.subgroup), ..target };
    let target = args.choices.target(args.submission.target(target))?;
    let [batch, channels, height, width] = input;
    let micro_batch = |strategy: MemoryStrategy| [batch / strategy.accumulate, channels, height, width];
    let plans = |strategy: MemoryStrategy| -> Result<Vec<Plan>> {
        let (input, target) = (micro_batch(strategy), strategy.target(&target));
        let graphs = match args.eval {
            true => vec![evaluation_graph(&*model, input)?],
            false => parts(&*model, input, strategy)?,
        };
        graphs.iter().map(|graph| Plan::new(graph, &target)).collect()
    };
    let strategy =
        args.memory.strategy(args.batch, 1, |strategy| Session::estimated_bytes(&plans(strategy)?))?;
    let plans = plans(strategy)?;
    args.choices.check(&plans)?;
    let report = Report::new(&plans[plans.len() - 1]);
    let (input, micro_batches) = (micro_batch(strategy), strategy.accumulate);
    let prediction =
        args.on.map(|on| Predicted { on, prediction: Prediction::new(&report, on.peaks, input[0]) });
    let step = if args.eval { "evaluation" } else { "training" };
    let (name, classes) = (model.name(), model.classes());
    let device = device.map(|device| device.describe());
    let excluded: Vec<&str> = target.excluded.iter().map(|kernel| kernel.name).collect();
    print(&if args.json {
        json(&Answer {
            model: name,
            step,
            input,
            micro_batches,
            classes,
            family,
            device,
            excluded,
            report,
            prediction,
        })
    } else {
        let mut title = format!("{step} step of {name}: {} images of {channels}x{height}x{width}", input[0]);
        if micro_batches > 1 {
            title += &format!(", the last of {micro_batches} micro-batches");
        }
        if let Some(device) = device {
            title += &format!("\nfor {device}");
        }
        if !excluded.is_empty() {
            title += &format!("\nwithout kernels that failed the self-test: {}", excluded.join(", "));
        }
        match (prediction, args.launches) {
            (Some(Predicted { on, prediction }), _) => format!("{title}\non {on}\n\n{prediction}"),
            (None, true) => format!("{title}\n\n{report:#}"),
            (None, false) => format!("{title}\n\n{report}"),
        }
    })
}

/// The graphs of the parts of a training step; the last one updates the parameters.
fn parts(model: &dyn Model, input: [usize; 4], strategy: MemoryStrategy) -> Result<Vec<Graph>> {
    Part::of(strategy.accumulate).iter().map(|part| partial_graph(model, input, &recipe(), *part)).collect()
}
