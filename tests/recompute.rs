//! Recomputation: bit-identical steps in less memory, on every executor.

mod common;

use common::graphs::{random_graph, two_steps};
use common::network::Network;
use common::*;
use striate::graph::{Graph, Phase};
use striate::models::{Model, by_name};
use striate::nn::{Builder, Conv2d, Linear, Optimizer, SgdConfig};
use striate::plan::{Plan, Target};
use striate::train::{Recipe, training_graph};
use striate::{Device, Result, Session, Tensor};

/// Random graphs; those without anything to recompute are skipped.
const GRAPHS: u64 = 100;

/// Images per step.
const IMAGES: usize = 8;

/// Steps in flight, each with staging memory for its inputs.
const STEPS_IN_FLIGHT: u64 = 3;

/// Convolutions with dropout.
fn dropping() -> impl Model {
    Network {
        name: "dropping",
        input: [3, 32, 32],
        classes: 10,
        forward: |b: &mut Builder, images| {
            let mut x = images;
            for (i, in_channels) in [3, 8, 8, 8, 8].into_iter().enumerate() {
                let (kernel_size, padding) = ([3, 3], [1, 1]);
                let conv =
                    Conv2d { in_channels, out_channels: 8, kernel_size, padding, ..Default::default() };
                x = b.conv2d(&format!("conv{i}"), x, conv)?;
                x = b.relu(x)?;
                x = b.dropout(x, 0.3)?;
            }
            let x = b.global_avg_pool2d(x)?;
            let x = b.flatten(x)?;
            b.linear("fc", x, Linear { in_features: 8, out_features: 10, bias: true })
        },
    }
}

/// A training step, and its inputs.
fn step(model: &dyn Model) -> Result<(Graph, Vec<(String, Tensor)>)> {
    let (mut rng, shape) = (Random::new(5), [IMAGES, 3, 32, 32]);
    let sgd = SgdConfig { momentum: 0.9, weight_decay: 5e-4, nesterov: false };
    let recipe = Recipe { optimizer: Optimizer::Sgd(sgd), ..Default::default() };
    let graph = training_graph(model, shape, &recipe)?;
    let schedule = Tensor::f32([3], recipe.optimizer.schedule(0.05, 0).to_vec())?;
    let feed = [
        ("images", rng.normal(&shape)),
        ("labels", rng.labels(IMAGES, 10)),
        (Optimizer::SCHEDULE, schedule),
        (Builder::COUNTER, Tensor::u32([2], vec![3, 1])?),
    ];
    let is_input = |name: &str| graph.values().any(|(_, value)| value.name == name);
    let feed = feed.into_iter().filter(|(name, _)| is_input(name)).map(|(n, t)| (n.to_owned(), t));
    let feed = feed.collect();
    Ok((graph, feed))
}

fn plans(graph: &Graph, device: &Device) -> Result<[Plan; 2]> {
    let plan = |recompute: bool| Plan::new(graph, &Target { recompute, ..device.target().clone() });
    Ok([plan(false)?, plan(true)?])
}

/// Launches that recompute something.
fn recomputing(plan: &Plan) -> usize {
    let groups = plan.groups.iter().filter(|g| g.phase == Phase::Recompute);
    groups.map(|g| g.launches.len()).sum()
}

/// Compares losses, weights and optimizer state after two steps, with and without recomputation.
fn same(what: &str, graph: &Graph, feed: &[(String, Tensor)], device: &Device) -> Outcome {
    let plans = plans(graph, device)?;
    let [kept, computed] = plans.map(|plan| two_steps(device, plan, feed, 9)).map(|tensors| {
        // As words, to compare bits.
        tensors.map(|all| all.iter().map(|t| t.as_u32().to_vec()).collect::<Vec<_>>())
    });
    assert!(kept? == computed?, "{what} on {}: recomputed values differ", device.name());
    Ok(())
}

fn a_network(model: &dyn Model, device: &Device) -> Outcome {
    let (graph, feed) = step(model)?;
    let [kept, computed] = plans(&graph, device)?;
    if recomputing(&kept) > 0 || recomputing(&computed) == 0 || computed.peak_bytes() >= kept.peak_bytes() {
        return Err(format!(
            "{}: {} and {} launches recompute, {} and {} bytes",
            model.name(),
            recomputing(&kept),
            recomputing(&computed),
            kept.peak_bytes(),
            computed.peak_bytes()
        )
        .into());
    }
    same(&model.name(), &graph, &feed, device)
}

fn random_graphs(device: &Device) -> Outcome {
    let mut tried = 0;
    for seed in 0..GRAPHS {
        let (graph, feed) = random_graph(seed)?;
        if recomputing(&plans(&graph, device)?[1]) > 0 {
            same(&format!("random graph {seed}"), &graph, &feed, device)?;
            tried += 1;
        }
    }
    match tried {
        0..5 => Err(format!("only {tried} graphs had anything to recompute").into()),
        _ => Ok(()),
    }
}

/// Allocated memory matches the estimate, except for launch parameters and staging memory.
fn allocated_memory_matches_the_estimate(recompute: bool) -> Outcome {
    // On a new device, because other tests allocate memory on the shared one.
    let device = Device::select(&common::gpu_name())?;
    let model = by_name("resnet20", 3, 10)?;
    let (graph, feed) = step(&*model)?;
    let plan = plans(&graph, &device)?[recompute as usize].clone();
    let (before, staging) = (device.allocated_bytes(), STEPS_IN_FLIGHT * plan.input_bytes());
    let mut session = Session::new(&device, vec![plan])?;
    for _ in 0..5 {
        session.run(0, &common::feed(&feed))?;
    }
    // Not every driver reports it.
    let (Some(before), Some(after)) = (before, device.allocated_bytes()) else { return Ok(()) };
    let (estimated, found) = (session.bytes(), after - before - staging);
    match estimated as f64 / found as f64 {
        0.95..=1.0 => Ok(()),
        _ => Err(format!("estimated {estimated} bytes, allocated {found}").into()),
    }
}

fn without_fusion(device: Device) -> Device {
    let target = Target { fuse: false, ..device.target().clone() };
    device.with_target(target)
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    let network = |name: &'static str| move |device: &Device| a_network(&*by_name(name, 3, 10)?, device);
    let not_fused = |device: &Device| without_fusion(device.clone());
    suite.add_on(ALL_EXECUTORS, "resnet8", network("resnet8"));
    suite.add_on(ALL_EXECUTORS, "resnet8_not_fused", move |device| network("resnet8")(&not_fused(device)));
    suite.add_on(ALL_EXECUTORS, "dropout", |device| a_network(&dropping(), device));
    suite.add_on(ALL_EXECUTORS, "random_graphs", random_graphs);
    suite.add_on(&["cpu", "cpu-reference"], "random_graphs_not_fused", move |device| {
        random_graphs(&not_fused(device))
    });
    suite.add_on(CPU_AND_GPU, "bottlenecks", network("resnet50"));
    suite.add_gpu("allocated_memory_matches_the_estimate::gpu", |_| {
        [false, true].into_iter().try_for_each(allocated_memory_matches_the_estimate)
    });
    suite.run()
}
