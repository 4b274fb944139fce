//! `striate bench`: benchmarks on generated data that any engine can repeat.

mod clock;
mod data;
mod report;
mod single;
mod training;

use super::choices::Choices;
use super::flags::DeviceFlags;
use super::output::print;
use clap::Subcommand;
use std::time::Instant;
use striate::plan::Plan;
use striate::{Device, Result, Session};

#[derive(clap::Args)]
#[command(subcommand_value_name = "CASE", subcommand_help_heading = "Cases")]
pub struct Args {
    #[command(subcommand)]
    case: Case,
    #[command(flatten)]
    steps: Steps,
    #[command(flatten)]
    device: DeviceFlags,
}

#[derive(clap::Args, Clone, Copy)]
struct Steps {
    /// Timed steps.
    #[arg(long, global = true, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Steps before the timed ones.
    #[arg(long, global = true, default_value_t = 2)]
    warmup: u32,
}

#[derive(Subcommand)]
enum Case {
    /// Train a LeNet on 1x28x28.
    Lenet(training::Args),
    /// Train a ResNet-20 on 3x32x32.
    Resnet20(training::Args),
    /// Train a ResNet-18 for small images on 3x32x32.
    Resnet18(training::Args),
    /// Train a ResNet-50 on 3x224x224 with 1000 classes.
    Resnet50(training::Args),
    /// Train a ResNet-152 on 3x224x224 with 1000 classes.
    Resnet152(training::Args),
    /// Multiply two N x N matrices.
    Matmul(single::Matmul),
    /// Convolve: stride 1, images padded to keep their size, no bias.
    Conv(single::Conv),
    /// Compute the gradient of the convolved images alone, for an upstream gradient of ones.
    Convdx(single::Conv),
    /// Compute the gradient of the weights alone, for an upstream gradient of ones.
    Convdw(single::Conv),
    /// Convolve and compute both gradients.
    Convbwd(single::Conv),
}

pub fn run(args: Args) -> Result<()> {
    let start = Instant::now();
    let device = args.device.open()?;
    let bench = Bench { device: &device, choices: &args.device.choices, steps: args.steps, start };
    let outcome = match args.case {
        Case::Lenet(args) => training::run(&bench, "lenet", &args),
        Case::Resnet20(args) => training::run(&bench, "resnet20", &args),
        Case::Resnet18(args) => training::run(&bench, "resnet18", &args),
        Case::Resnet50(args) => training::run(&bench, "resnet50", &args),
        Case::Resnet152(args) => training::run(&bench, "resnet152", &args),
        Case::Matmul(args) => single::matmul(&bench, &args),
        Case::Conv(args) => single::conv(&bench, &args, "conv", &["y"]),
        Case::Convdx(args) => single::conv(&bench, &args, "convdx", &["dx"]),
        Case::Convdw(args) => single::conv(&bench, &args, "convdw", &["dw"]),
        Case::Convbwd(args) => single::conv(&bench, &args, "convbwd", &["y", "dx", "dw"]),
    }?;
    print(&report::text(&bench, &outcome))
}

/// The settings of all cases.
struct Bench<'a> {
    device: &'a Device,
    choices: &'a Choices,
    steps: Steps,
    /// Start of the program, where the system does not report the start of the process.
    start: Instant,
}

impl Bench<'_> {
    /// An initialized session for a plan.
    fn session(&self, plan: Plan) -> Result<Session> {
        let plans = vec![plan];
        self.choices.check(&plans)?;
        let mut session = Session::new(self.device, plans)?;
        session.initialize(0)?;
        Ok(session)
    }
}

/// The result of a case.
struct Outcome {
    /// Name with sizes: `lenet-b64`, `matmul-512`.
    case: String,
    /// Images, or repeats, per step.
    samples: usize,
    /// Floating-point operations per step, as defined by the case; `None` for networks.
    flops: Option<f64>,
    /// Memory of the plan.
    plan_bytes: u64,
    /// Memory allocated on the device after the steps, if its driver reports it.
    device_bytes: Option<u64>,
    times: clock::Times,
    check: Check,
}

/// Evidence that the results are correct.
enum Check {
    /// A network's loss at each step.
    Losses { parameters: u64, lr: f32, losses: Vec<f32> },
    /// Name of each result, number of checked elements, and their largest error against sums in `f64`.
    Errors(Vec<(&'static str, usize, f64)>),
}
