//! `striate plan`: what a step does and takes, without touching a device unless one is named.

use super::choices::Choices;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{ErrorKind, Write};
use striate::plan::{Family, Plan, Report, Target};
use striate::train::{Recipe, evaluation_graph, training_graph};
use striate::{Device, Error, Result, models, nn};

#[derive(clap::Args)]
pub struct Args {
    /// Network: lenet, alexnet, googlenet, resnet18, resnet50, resnet20, resnet20-a, plain20, ...
    model: String,
    /// Pictures it takes, such as 3x32x32.
    #[arg(long, value_name = "CHANNELSxHEIGHTxWIDTH")]
    input: String,
    /// Pictures a step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Classes to tell apart.
    #[arg(long, default_value_t = 10)]
    classes: usize,
    /// Plan a step of evaluation instead of training.
    #[arg(long)]
    eval: bool,
    /// What kind of device to plan for: its kernels, and the limits that every such device has.
    #[arg(long, value_enum, default_value = "gpu")]
    family: FamilyName,
    /// Lanes of its subgroups, for kernels that hand numbers from lane to lane; without it, those are left out.
    #[arg(long, value_name = "LANES", value_parser = super::kernels::lanes)]
    subgroup: Option<u32>,
    #[command(flatten)]
    choices: Choices,
    /// Plan for this device instead, with its limits and the kernels tuned on it; see `striate devices`.
    #[arg(long, conflicts_with = "family")]
    device: Option<String>,
    /// List every launch.
    #[arg(long)]
    launches: bool,
    /// Print JSON, every launch included; sizes are in bytes.
    #[arg(long, conflicts_with = "launches")]
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

/// What was planned, with its report.
#[derive(Serialize)]
struct Answer<'a> {
    model: String,
    step: &'a str,
    /// Batch, channels, height and width.
    input: [usize; 4],
    classes: usize,
    family: FamilyName,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(flatten)]
    report: Report,
}

pub fn run(args: Args) -> Result<()> {
    let input = input_shape(args.batch, &args.input)?;
    let model = models::by_name(&args.model, input[1], args.classes)?;
    let graph = match args.eval {
        true => evaluation_graph(&*model, input)?,
        false => training_graph(&*model, input, &recipe())?,
    };
    let device = args.device.as_deref().map(Device::select).transpose()?;
    let target = match (&device, args.family) {
        (Some(device), _) => device.target().clone(),
        (None, FamilyName::Gpu) => Target::baseline(Family::Gpu),
        (None, FamilyName::Software) => Target::baseline(Family::Software),
        (None, FamilyName::Cpu) => Target::cpu(None),
    };
    let family = FamilyName::of(target.family);
    let target = Target { subgroup: args.subgroup.unwrap_or(target.subgroup), ..target };
    let plan = Plan::new(&graph, &args.choices.target(target)?)?;
    args.choices.check(std::slice::from_ref(&plan))?;
    let report = Report::new(&plan);
    let step = if args.eval { "evaluation" } else { "training" };
    let (name, classes) = (model.name(), args.classes);
    let device = device.map(|device| device.describe());
    print(&if args.json {
        json(&Answer { model: name, step, input, classes, family, device, report })
    } else {
        let [batch, channels, height, width] = input;
        let mut title = format!("{step} step of {name}: {batch} pictures of {channels}x{height}x{width}");
        if let Some(device) = device {
            title += &format!("\nfor {device}");
        }
        match args.launches {
            true => format!("{title}\n\n{report:#}"),
            false => format!("{title}\n\n{report}"),
        }
    })
}

/// A step with SGD.
pub(super) fn recipe() -> Recipe {
    let optimizer = nn::Optimizer::Sgd(nn::SgdConfig::default());
    Recipe { optimizer, ..Default::default() }
}

/// Batch, channels, height and width, from CHANNELSxHEIGHTxWIDTH.
pub(super) fn input_shape(batch: usize, text: &str) -> Result<[usize; 4]> {
    let sizes: Option<Vec<usize>> = text.split('x').map(|size| size.parse().ok()).collect();
    let sizes = sizes.and_then(|sizes| <[usize; 3]>::try_from(sizes).ok());
    let [channels, height, width] = sizes.ok_or_else(|| {
        let expected = "expected CHANNELSxHEIGHTxWIDTH, such as 3x32x32";
        Error::argument("--input", format!("{expected}, found {text:?}"))
    })?;
    let shape = [batch, channels, height, width];
    let len = shape.iter().try_fold(1, |len: usize, size| len.checked_mul(*size));
    if len.is_none_or(|len| len > u32::MAX as usize) {
        let problem = format!(
            "{batch} pictures of {text} are more than the {} numbers a tensor holds; use a smaller batch or smaller pictures",
            u32::MAX
        );
        return Err(Error::argument("--input", problem));
    }
    Ok(shape)
}

/// A value as JSON for people and machines.
pub(super) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("reports have text keys and finite numbers");
    text + "\n"
}

/// Writes to standard output.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What came of writing to standard output. A reader that has seen enough (`| head`) is no error.
pub(super) fn unless_closed(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write")(error))
        }
        _ => Ok(()),
    }
}
