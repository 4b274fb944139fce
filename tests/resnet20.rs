//! Twenty training steps of ResNet-20: losses match PyTorch's on every executor, and runs are reproducible bit for bit.

mod common;

use common::*;
use serde_json::Value;
use striate::models::{CifarResNet, Shortcut};
use striate::nn::{Optimizer, SgdConfig};
use striate::plan::Plan;
use striate::train::{Recipe, training_graph};
use striate::{Device, Input, Session, Tensor};

/// Relative tolerance of losses, against PyTorch's in f64.
const TOLERANCE: f64 = 1e-4;

/// Steps of runs that are only compared with each other.
const SHORT: usize = 3;

fn golden() -> Value {
    serde_json::from_str(include_str!("goldens/resnet20_steps.json")).expect("the golden file is JSON")
}

fn number(golden: &Value, name: &str) -> f64 {
    golden[name].as_f64().unwrap_or_else(|| panic!("{name} is missing from the golden file"))
}

/// Trains from the recipe's initial weights for `seed`. Returns losses and final parameters.
fn train(device: &Device, steps: usize, seed: u64) -> striate::Result<(Vec<f64>, Vec<Tensor>)> {
    let golden = golden();
    let batch = number(&golden, "batch") as usize;
    let model = CifarResNet { blocks: 3, shortcut: Shortcut::Projected, in_channels: 3, classes: 10 };
    let sgd = SgdConfig {
        momentum: number(&golden, "momentum") as f32,
        weight_decay: number(&golden, "weight_decay") as f32,
        nesterov: false,
    };
    let recipe = Recipe { optimizer: Optimizer::Sgd(sgd), ..Default::default() };
    let graph = training_graph(&model, [batch, 3, 32, 32], &recipe)?;
    let mut session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
    session.initialize(1)?;
    let parameters: Vec<(String, Vec<usize>)> = graph
        .parameters()
        .into_iter()
        .map(|p| (graph.value(p).name.clone(), graph.shape(p).to_vec()))
        .collect();
    let tensors = parameters.iter().filter(|(_, shape)| shape.len() > 1);
    for ((name, shape), seed) in tensors.zip(seed..) {
        let fan_in: usize = shape[1..].iter().product();
        let bound = if shape.len() == 4 { 6.0 } else { 3.0 };
        let weights = fill(seed, shape.iter().product(), (bound / fan_in as f64).sqrt());
        session.write(name, &Tensor::f32(shape.clone(), weights)?)?;
    }
    session.write("fc.bias", &Tensor::zeros([10]))?;

    let images = fill(1, batch * 3 * 32 * 32, 3f64.sqrt());
    let labels: Vec<u32> = (0..batch as u64).map(|i| (hash(2, i) % 10) as u32).collect();
    let schedule = recipe.optimizer.schedule(number(&golden, "lr") as f32, 0);
    let feed: [(&str, Input); 3] = [
        ("images", (&images).into()),
        ("labels", (&labels).into()),
        (Optimizer::SCHEDULE, (&schedule).into()),
    ];
    let losses = (0..steps)
        .map(|_| Ok(f64::from(session.run(0, &feed)?.scalar("loss").expect("the graph has a loss"))))
        .collect::<striate::Result<_>>()?;
    let weights = parameters.iter().map(|(name, _)| session.read(name)).collect::<striate::Result<_>>()?;
    Ok((losses, weights))
}

fn losses_match_pytorch(device: &Device) -> Outcome {
    let golden = golden();
    let want: Vec<f64> =
        golden["losses_f64"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    let (got, _) = train(device, want.len(), 100)?;
    for (step, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (got - want).abs() / want;
        let on = device.name();
        assert!(error <= TOLERANCE, "{on}: loss {got} at step {step}, PyTorch has {want}: {error:.1e}");
    }
    Ok(())
}

fn runs_are_reproducible(device: &Device) -> Outcome {
    let [first, again, other] = [100, 100, 500].map(|seed| train(device, SHORT, seed));
    let (first, again, other) = (first?.1, again?.1, other?.1);
    // As words, to compare bits.
    let words = |tensors: &[Tensor]| tensors.iter().flat_map(|t| t.as_u32().to_vec()).collect::<Vec<u32>>();
    assert!(words(&first) == words(&again), "{}: two runs from the same weights differ", device.name());
    assert!(words(&first) != words(&other), "{}: different weights give the same results", device.name());
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add_all_on(ALL_EXECUTORS, named![losses_match_pytorch]);
    suite.add_all_on(CPU_AND_GPU, named![runs_are_reproducible]);
    suite.run()
}
