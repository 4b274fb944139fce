//! Horizontal fusion: merged launches over contiguous operands.

use crate::common::*;
use crate::support::*;
use striate::graph::{Graph, Phase, ValueId};
use striate::nn::{AdamConfig, Optimizer, Rules, SgdConfig};
use striate::op::*;
use striate::plan::{Plan, Target};
use striate::{Device, Input, Result, Session, Tensor, TensorType};

/// Sizes of parameters: two equal ones, a single element, and one too large to be merged.
const SIZES: [usize; 6] = [300, 1, 77, 300_000, 64, 300];

/// Updates parameters by clipped gradients.
fn updates(optimizer: Optimizer, sizes: &[usize]) -> Result<Graph> {
    let mut graph = Graph::new();
    let mut pairs: Vec<(ValueId, ValueId)> = Vec::new();
    let one = graph.input("one", TensorType::f32([1]))?;
    let factor = graph.apply(ClipCoefficient { max_norm: 0.5 }, &[one])?[0];
    for (i, len) in sizes.iter().enumerate() {
        let gradient = graph.input(&format!("gradient{i}"), TensorType::f32([*len]))?;
        let gradient = graph.apply(Relu, &[gradient])?[0];
        pairs.push((state(&mut graph, &format!("w{i}"), *len)?, gradient));
    }
    graph.in_phase(Phase::Update, |graph| {
        for (_, gradient) in &mut pairs {
            *gradient = graph.apply(Scale, &[*gradient, factor])?[0];
        }
        Ok::<_, striate::Error>(())
    })?;
    // An output among the merged operands.
    graph.output("clipped", pairs[2].1);
    optimizer.update(&mut graph, &pairs, None, &Rules::default())?;
    Ok(graph)
}

/// Runs three steps. Returns all state and the outputs.
fn run(session: &mut Session, optimizer: Optimizer) -> Result<(State, Vec<Tensor>)> {
    let mut rng = Random::new(5);
    for (i, len) in SIZES.iter().enumerate() {
        session.write(&format!("w{i}"), &rng.normal(&[*len]))?;
    }
    let mut outputs = Vec::new();
    for step in 0..3 {
        let schedule = numbers(&optimizer.schedule(0.1, step));
        let one = numbers(&[1.0]);
        let gradients: Vec<(String, Tensor)> =
            SIZES.iter().enumerate().map(|(i, n)| (format!("gradient{i}"), rng.normal(&[*n]))).collect();
        let mut feed: Vec<(&str, Input)> =
            gradients.iter().map(|(name, tensor)| (name.as_str(), tensor.into())).collect();
        feed.extend([("schedule", (&schedule).into()), ("one", (&one).into())]);
        outputs.extend(session.run(0, &feed)?.into_tensors());
    }
    Ok((everything(session)?, outputs))
}

fn launches(plan: &Plan, kernel: &str) -> usize {
    plan.launches.iter().filter(|l| l.kernel.name == kernel).count()
}

pub fn one_launch_updates_all_small_parameters(device: &Device) -> Outcome {
    let sgd = Optimizer::Sgd(SgdConfig { nesterov: true, ..SgdConfig::HE_2015 });
    for (optimizer, kernel) in [(sgd, "sgd"), (Optimizer::Adam(AdamConfig::ADAMW), "adam")] {
        let graph = updates(optimizer, &SIZES)?;
        let separate = Plan::new(&graph, &Target { fuse: false, ..device.target().clone() })?;
        let merged = Plan::new(&graph, device.target())?;
        for kernel in [kernel, "scale"] {
            let counts = [&separate, &merged].map(|plan| launches(plan, kernel));
            // The large one keeps its own launch.
            if counts != [6, 2] {
                return Err(format!("expected 6 launches of {kernel}, fused to 2; found {counts:?}").into());
            }
        }
        let (want, want_outputs) = run(&mut Session::new(device, vec![separate])?, optimizer)?;
        let (got, got_outputs) = run(&mut Session::new(device, vec![merged])?, optimizer)?;
        if want != got || want_outputs != got_outputs {
            return Err(format!("fused launches of {kernel} do not give the same bits").into());
        }
    }
    Ok(())
}

/// A plan without optimizer reads and writes parameters that another plan made contiguous.
pub fn plans_find_values_that_another_made_contiguous(device: &Device) -> Outcome {
    let sgd = Optimizer::Sgd(SgdConfig::HE_2015);
    let training = updates(sgd, &SIZES)?;
    let mut reading = Graph::new();
    for (i, len) in SIZES.iter().enumerate().rev() {
        let w = state(&mut reading, &format!("w{i}"), *len)?;
        let double = reading.apply(Add, &[w, w])?[0];
        reading.output(&format!("twice w{i}"), double);
        if i == 1 {
            reading.update(w, double)?;
        }
    }
    let mut both = session(device, &[&reading, &training])?;
    let before: Vec<Tensor> = SIZES.iter().map(|n| Random::new(3).normal(&[*n])).collect();
    for (i, w) in before.iter().enumerate() {
        both.write(&format!("w{i}"), w)?;
    }
    let outputs = both.run(0, &[])?;
    for (i, w) in before.iter().enumerate() {
        let twice: Vec<f32> = w.as_f32().iter().map(|v| v + v).collect();
        let found = outputs.get(&format!("twice w{i}")).map(Tensor::as_f32);
        if found != Some(&twice) {
            return Err(format!("w{i} is read from the wrong location").into());
        }
        let kept = both.read(&format!("w{i}"))?;
        let want = if i == 1 { &twice[..] } else { w.as_f32() };
        if kept.as_f32() != want {
            return Err(format!("w{i} changed").into());
        }
    }
    Ok(())
}

/// Two plans that make the same value contiguous with different ones.
pub fn plans_with_conflicting_layouts_are_rejected(device: &Device) -> Outcome {
    let plans = |fuse: bool| -> Result<Vec<Plan>> {
        let target = Target { fuse, ..device.target().clone() };
        let sgd = Optimizer::Sgd(SgdConfig::HE_2015);
        [&SIZES[..], &SIZES[..3]].iter().map(|sizes| Plan::new(&updates(sgd, sizes)?, &target)).collect()
    };
    names(Session::new(device, plans(true)?).map(|_| ()), "w0")?;
    Session::new(device, plans(false)?)?;
    Ok(())
}

/// A plan that reads one value and writes another, both of which the first plan stores in one buffer.
pub fn plans_that_read_and_write_one_shared_buffer_are_rejected(device: &Device) -> Outcome {
    let graphs = || -> Result<[Graph; 2]> {
        let mut mixed = Graph::new();
        let (w0, w5) = (state(&mut mixed, "w0", SIZES[0])?, state(&mut mixed, "w5", SIZES[5])?);
        let y = mixed.apply(Relu, &[w0])?[0];
        mixed.update(w5, y)?;
        Ok([updates(Optimizer::Sgd(SgdConfig::HE_2015), &SIZES)?, mixed])
    };
    let [training, mixed] = graphs()?;
    session(device, &[&mixed])?;
    names(session(device, &[&training, &mixed]).map(|_| ()), "w0")
}

/// The first launch writes `b`, which the second reads: WebGPU forbids both within one buffer.
pub fn dependent_launches_are_not_merged(device: &Device) -> Outcome {
    let mut graph = Graph::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| state(&mut graph, name, 5));
    let (a, b, c) = (a?, b?, c?);
    let first = graph.apply(WeightedSum { alpha: 0.5, beta: 0.5 }, &[b, a])?[0];
    let second = graph.apply(WeightedSum { alpha: 0.5, beta: 0.5 }, &[c, first])?[0];
    graph.update(b, first)?;
    graph.update(c, second)?;
    let mut session = session(device, &[&graph])?;
    session.write("a", &numbers(&[4.0; 5]))?;
    session.write("b", &numbers(&[2.0; 5]))?;
    session.write("c", &numbers(&[1.0; 5]))?;
    session.run(0, &[])?;
    expect(session.read("b").map(Tensor::into_f32), &[3.0; 5])?;
    expect(session.read("c").map(Tensor::into_f32), &[2.0; 5])
}
