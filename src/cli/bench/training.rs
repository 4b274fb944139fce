//! Training steps of a network, on one batch over and over.

use super::{Bench, Check, Outcome, clock::Times, data, elements};
use crate::cli::memory::MemoryFlags;
use striate::nn::{Builder, Optimizer, SgdConfig};
use striate::plan::Report;
use striate::train::{Recipe, training_graph};
use striate::{Error, Input, Result, models};

#[derive(clap::Args)]
pub struct Args {
    /// Images a step.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Learning rate [default: 0.001 for lenet, 0.01 for the ResNets].
    #[arg(long, allow_negative_numbers = true)]
    lr: Option<f32>,
    #[command(flatten)]
    memory: MemoryFlags,
}

/// The networks that are timed.
#[derive(Clone, Copy)]
pub enum Network {
    Lenet,
    Resnet20,
    Resnet18,
    Resnet50,
    Resnet152,
}

impl Network {
    /// Name of the case, of the model, channels, height and width of an image, and classes.
    fn what(self) -> (&'static str, &'static str, [usize; 3], usize) {
        match self {
            Network::Lenet => ("lenet", "lenet", [1, 28, 28], 10),
            Network::Resnet20 => ("resnet20", "resnet20", [3, 32, 32], 10),
            Network::Resnet18 => ("resnet18", "resnet18-cifar", [3, 32, 32], 10),
            Network::Resnet50 => ("resnet50", "resnet50", [3, 224, 224], 1000),
            Network::Resnet152 => ("resnet152", "resnet152", [3, 224, 224], 1000),
        }
    }

    fn learning_rate(self) -> f32 {
        match self {
            Network::Lenet => 0.001,
            _ => 0.01,
        }
    }
}

pub fn run(bench: &Bench, network: Network, args: &Args) -> Result<Outcome> {
    let (case, model, [channels, height, width], classes) = network.what();
    let lr = args.lr.unwrap_or(network.learning_rate());
    if !lr.is_finite() {
        return Err(Error::argument("--lr", format!("must be a finite number, and is {lr}")));
    }
    let batch = args.batch as usize;
    let shape = [batch, channels, height, width];
    let pixels = elements("--batch", &shape)?;
    let sgd = SgdConfig { momentum: 0.9, weight_decay: 5e-4, nesterov: false };
    let recipe = Recipe { optimizer: Optimizer::Sgd(sgd), ..Default::default() };
    let graph = training_graph(&*models::by_name(model, channels, classes)?, shape, &recipe)?;
    let mut session = bench.session(args.memory.plan(&graph, bench.device.target())?)?;
    let Report { totals, memory, .. } = Report::new(&session.plans()[0]);
    data::write_weights(&mut session)?;
    let images = data::fill(data::IMAGES, pixels, 3f64.sqrt());
    let labels = data::labels(batch, classes as u64);
    let schedule = recipe.optimizer.schedule(lr, 0);
    let inputs: [(&str, Input); 3] = [
        (Builder::IMAGES, (&images).into()),
        (Recipe::LABELS, (&labels).into()),
        (Optimizer::SCHEDULE, (&schedule).into()),
    ];
    let mut losses = Vec::new();
    let times = Times::measure(bench, || {
        let outputs = session.run(0, &inputs)?;
        losses.push(outputs.scalar(Recipe::LOSS).expect("training graphs have a loss"));
        Ok(())
    })?;
    Ok(Outcome {
        case: format!("{case}-b{batch}"),
        samples: batch,
        flops: None,
        plan_bytes: memory.peak,
        device_bytes: bench.device.allocated_bytes(),
        times,
        check: Check::Losses { parameters: totals.parameters, lr, losses },
    })
}
