//! `striate bench`: fixed pieces of work with made-up numbers that any engine can repeat, timed step by step.

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
use striate::{Device, Error, Result, Session};

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

/// How many steps.
#[derive(clap::Args, Clone, Copy)]
struct Steps {
    /// Steps that count.
    #[arg(long, global = true, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Steps before them that do not.
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
    /// Train a ResNet-50 on 3x224x224 and 1000 classes.
    Resnet50(training::Args),
    /// Train a ResNet-152 on 3x224x224 and 1000 classes.
    Resnet152(training::Args),
    /// Multiply two N x N matrices.
    Matmul(single::Matmul),
    /// Convolve: 3 x 3, stride 1, padding 1, no bias.
    Conv(single::Conv),
    /// The same, with the gradients of images and weight for an upstream gradient of ones.
    Convbwd(single::Conv),
}

pub fn run(args: Args) -> Result<()> {
    let start = Instant::now();
    let device = args.device.open()?;
    let bench = Bench { device: &device, choices: &args.device.choices, steps: args.steps, start };
    let outcome = match args.case {
        Case::Lenet(args) => training::run(&bench, training::Network::Lenet, &args),
        Case::Resnet20(args) => training::run(&bench, training::Network::Resnet20, &args),
        Case::Resnet18(args) => training::run(&bench, training::Network::Resnet18, &args),
        Case::Resnet50(args) => training::run(&bench, training::Network::Resnet50, &args),
        Case::Resnet152(args) => training::run(&bench, training::Network::Resnet152, &args),
        Case::Matmul(args) => single::matmul(&bench, &args),
        Case::Conv(args) => single::conv(&bench, &args, false),
        Case::Convbwd(args) => single::conv(&bench, &args, true),
    }?;
    print(&report::text(&bench, &outcome))
}

/// What every case needs to know.
struct Bench<'a> {
    device: &'a Device,
    choices: &'a Choices,
    steps: Steps,
    /// When the program started, as far as it can tell by itself.
    start: Instant,
}

impl Bench<'_> {
    /// A session on the device that takes steps of a plan.
    fn session(&self, plan: Plan) -> Result<Session> {
        let plans = vec![plan];
        self.choices.check(&plans)?;
        let mut session = Session::new(self.device, plans)?;
        session.initialize(0)?;
        Ok(session)
    }
}

/// What came of a case.
struct Outcome {
    /// Name with sizes: `lenet-b64`, `matmul-512`.
    case: String,
    /// Images, or repeats, a step.
    samples: usize,
    /// Floating-point operations a step, by the case's definition; networks have none.
    flops: Option<f64>,
    /// Memory that the plan takes.
    plan_bytes: u64,
    /// Memory that is allocated on the device, where its driver tells.
    device_bytes: Option<u64>,
    times: clock::Times,
    check: Check,
}

/// What shows that the right thing was computed.
enum Check {
    /// A network's losses, step by step.
    Losses { parameters: u64, lr: f32, losses: Vec<f32> },
    /// The largest error of some elements of each result against sums in `f64`: name, elements, error.
    Errors(Vec<(&'static str, usize, f64)>),
}

/// The number of elements of a tensor, unless they are too many.
fn elements(what: &str, shape: &[usize]) -> Result<usize> {
    let len = shape.iter().try_fold(1usize, |len, size| len.checked_mul(*size));
    len.filter(|len| *len <= u32::MAX as usize).ok_or_else(|| {
        let problem = format!("{shape:?} are more than the {} numbers a tensor holds; use less", u32::MAX);
        Error::argument(what, problem)
    })
}
