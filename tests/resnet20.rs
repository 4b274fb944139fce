//! Twenty training steps of ResNet-20: every executor follows PyTorch, and repeats itself bit by bit.

mod common;

use common::{Suite, fill, hash, text};
use serde_json::Value;
use striate::models::{CifarResNet, Shortcut};
use striate::nn::{Optimizer, SgdConfig};
use striate::plan::Plan;
use striate::train::{Recipe, training_graph};
use striate::{Device, Input, Session, Tensor};

/// Losses of all executors and PyTorch's, computed in f64, agree to this.
const TOLERANCE: f64 = 1e-4;

/// Steps of the runs that are only compared with themselves.
const SHORT: usize = 3;

fn golden() -> Value {
    serde_json::from_str(include_str!("goldens/resnet20_steps.json")).expect("the golden file is JSON")
}

fn number(golden: &Value, name: &str) -> f64 {
    golden[name].as_f64().unwrap_or_else(|| panic!("{name} is missing from the golden file"))
}

/// A run from the recipe's weights, those of `seed`: losses, and the final parameters.
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

fn follows_pytorch(device: &Device) -> Result<(), String> {
    let golden = golden();
    let want: Vec<f64> =
        golden["losses_f64"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    let (got, _) = train(device, want.len(), 100).map_err(text)?;
    for (step, (got, want)) in got.iter().zip(&want).enumerate() {
        let apart = (got - want).abs() / want;
        if apart > TOLERANCE {
            return Err(format!(
                "{}: loss {got} at step {step}, PyTorch has {want}: {apart:.1e} apart",
                device.name()
            ));
        }
    }
    Ok(())
}

fn repeats_itself(device: &Device) -> Result<(), String> {
    let [first, again, other] = [100, 100, 500].map(|seed| train(device, SHORT, seed).map_err(text));
    let (first, again, other) = (first?.1, again?.1, other?.1);
    // As words: equal bits, not merely equal numbers.
    let words = |tensors: &[Tensor]| tensors.iter().flat_map(|t| t.as_u32().to_vec()).collect::<Vec<u32>>();
    if words(&first) != words(&again) {
        return Err(format!("{}: two runs from the same weights differ", device.name()));
    }
    if words(&first) == words(&other) {
        return Err(format!("{}: runs from other weights are the same", device.name()));
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    for name in ["cpu", "cpu-reference"] {
        suite.add(format!("follows_pytorch::{name}"), move || {
            follows_pytorch(&Device::select(name).map_err(text)?)
        });
    }
    suite.add("repeats_itself::cpu", || repeats_itself(&Device::select("cpu").map_err(text)?));
    suite.add_gpu("follows_pytorch::gpu", follows_pytorch);
    suite.add_gpu("repeats_itself::gpu", repeats_itself);
    suite.run()
}
