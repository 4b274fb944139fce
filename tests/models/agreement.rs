//! Evaluation and a training step of every network give the same on GPU and CPU, with small images.

use crate::common::{Outcome, Suite, compare, fill};
use crate::steps::begin;
use striate::models::{self, Model};
use striate::nn::{Builder, Optimizer, SgdConfig};
use striate::plan::{Family, Plan, Target};
use striate::train::{Recipe, evaluation_graph, training_graph};
use striate::{Device, Input, Session, Tensor};

/// Networks that no other test trains on both, and image sizes. The largest matrix of `alexnet` has 144 MiB, more than a binding may
/// have.
const NETWORKS: [(&str, usize); 9] = [
    ("alexnet", 64),
    ("alexnet-2012", 67),
    ("resnet34", 32),
    ("resnet101", 32),
    ("resnet152", 32),
    ("plain34", 32),
    ("resnet20-a", 32),
    ("plain20", 32),
    ("cifar-resnet50", 16),
];

/// Relative tolerance of losses after up to 152 layers.
const TOLERANCE: f64 = 1e-4;

pub fn add(suite: &mut Suite) {
    for (name, side) in NETWORKS {
        suite.add_gpu(format!("agreement::{name}"), move |gpu| {
            let model = models::by_name(name, 3, 10)?;
            let cpu = Device::select("cpu")?;
            agree(&*model, side, [gpu, &cpu])
        });
    }
    for (name, side) in [("resnet20", 32), ("resnet18", 32), ("resnet50", 32)] {
        suite.add_gpu(format!("agreement::{name}_as_on_hardware"), move |gpu| {
            let model = models::by_name(name, 3, 10)?;
            let hardware = Target { family: Family::Gpu, subgroup: 0, ..gpu.target().clone() };
            agree(&*model, side, [&gpu.clone().with_target(hardware), &Device::select("cpu")?])
        });
    }
}

fn agree(model: &dyn Model, side: usize, devices: [&Device; 2]) -> Outcome {
    let [got, want] = devices.map(|device| losses(model, side, device));
    compare(
        &format!("{}: losses before, during and after a training step", model.name()),
        &got?,
        &want?,
        TOLERANCE,
        0.0,
    )
}

/// Losses of an evaluation, a training step, and an evaluation after it.
fn losses(model: &dyn Model, side: usize, device: &Device) -> striate::Result<Tensor> {
    let shape = [4, 3, side, side];
    let sgd = SgdConfig { momentum: 0.9, weight_decay: 0.0, nesterov: false };
    let recipe = Recipe { optimizer: Optimizer::Sgd(sgd), ..Default::default() };
    let training = training_graph(model, shape, &recipe)?;
    let has_dropout = training.values().any(|(_, v)| v.name == Builder::COUNTER);
    let graphs = [training, evaluation_graph(model, shape)?];
    let plans = graphs.iter().map(|graph| Plan::new(graph, device.target()));
    let mut session = Session::new(device, plans.collect::<striate::Result<_>>()?)?;
    session.initialize(1)?;
    begin(&mut session)?;

    let images = fill(1, shape.iter().product(), 1.0);
    let schedule = recipe.optimizer.schedule(1e-4, 0);
    let feed: Vec<(&str, Input)> = vec![
        ("images", (&images).into()),
        ("labels", (&[0u32, 3, 5, 9]).into()),
        (Optimizer::SCHEDULE, (&schedule).into()),
        (Builder::COUNTER, (&[0u32, 7]).into()),
    ];
    let mut loss = |plan: usize| {
        let inputs = match (plan, has_dropout) {
            (1, _) => 2,
            (_, false) => 3,
            _ => 4,
        };
        Ok::<f32, striate::Error>(session.run(plan, &feed[..inputs])?.scalar("loss").expect("it has a loss"))
    };
    Tensor::f32([3], vec![loss(1)?, loss(0)?, loss(1)?])
}
