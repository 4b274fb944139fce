//! Training steps of a network, repeated on one batch.

use super::{Bench, Check, Outcome, clock::Times, data};
use crate::cli::flags::element_count;
use crate::cli::memory::MemoryFlags;
use striate::nn::{Builder, Optimizer, SgdConfig};
use striate::plan::Report;
use striate::train::{Recipe, training_graph};
use striate::{Error, Input, Result, models};

#[derive(clap::Args)]
pub struct Args {
    /// Images per step.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Learning rate [default: 0.001 for lenet, 0.01 for the ResNets].
    #[arg(long, allow_negative_numbers = true)]
    lr: Option<f32>,
    #[command(flatten)]
    memory: MemoryFlags,
}

/// Times a network; `case` is its name on the command line.
pub fn run(bench: &Bench, case: &str, args: &Args) -> Result<Outcome> {
    let model = if case == "resnet18" { "resnet18-cifar" } else { case };
    let (channels, default_lr) = if case == "lenet" { (1, 0.001) } else { (3, 0.01) };
    let [height, width] = models::by_name(model, channels, 10)?.input_size();
    let classes = if height == 224 { 1000 } else { 10 };
    let lr = args.lr.unwrap_or(default_lr);
    if !lr.is_finite() {
        return Err(Error::argument("--lr", format!("must be finite, got {lr}")));
    }
    let batch = args.batch as usize;
    let shape = [batch, channels, height, width];
    let pixels = element_count("--batch", &shape)?;
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
