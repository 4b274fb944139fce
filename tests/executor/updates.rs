//! Updates of persistent values.

use crate::common::*;
use crate::support::*;
use striate::graph::{Graph, Init, PersistentKind};
use striate::op::*;
use striate::{Device, Error, Result, Tensor, TensorType, eager};

/// Three steps of SGD with momentum: in place, with outputs that need the old values, and with an output that reads the weights
/// through a view.
pub fn updates_in_place_and_by_copy_agree(device: &Device) -> Outcome {
    let run = |variant: usize| -> Result<(usize, Vec<Tensor>)> {
        let mut graph = Graph::new();
        let gradient = graph.input("gradient", TensorType::f32([300]))?;
        let schedule = graph.input("schedule", TensorType::f32([3]))?;
        let (w, v) = (state(&mut graph, "w", 300)?, state(&mut graph, "v", 300)?);
        if variant == 2 {
            let view = graph.apply(Reshape { shape: vec![3, 100] }, &[w])?[0];
            let y = graph.apply(Relu, &[view])?[0];
            graph.output("y", y);
        }
        let sgd = Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: true, lr_scale: 1.0 };
        let stepped = graph.apply(sgd, &[w, gradient, v, schedule])?;
        if variant == 1 {
            let y = graph.apply(Relu, &[w])?[0];
            let z = graph.apply(Relu, &[v])?[0];
            graph.output("y", y);
            graph.output("z", z);
        }
        graph.update(w, stepped[0])?;
        graph.update(v, stepped[1])?;
        let mut session = session(device, &[&graph])?;
        let copies = session.plans()[0].launches.iter().filter(|l| l.kernel.name == "copy").count();
        let mut rng = Random::new(9);
        session.write("w", &rng.normal(&[300]))?;
        let schedule = numbers(&[0.1, 1.0, 1.0]);
        for _ in 0..3 {
            let gradient = rng.normal(&[300]);
            session.run(0, &[("gradient", (&gradient).into()), ("schedule", (&schedule).into())])?;
        }
        Ok((copies, vec![session.read("w")?, session.read("v")?]))
    };
    let (copies, in_place) = run(0)?;
    if copies != 0 {
        return Err(format!("an update in place took {copies} copies").into());
    }
    for variant in [1, 2] {
        let (copies, got) = run(variant)?;
        if copies == 0 {
            return Err(format!("variant {variant}: the old values are needed, but there is no copy").into());
        }
        compare_all(&format!("variant {variant}, seed 9"), &got, &in_place, 0.0, 0.0)?;
    }
    // All variants match the operation on its own.
    let mut rng = Random::new(9);
    let (mut w, mut v) = (rng.normal(&[300]), Tensor::zeros([300]));
    let sgd = Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: true, lr_scale: 1.0 };
    for _ in 0..3 {
        (w, v) = eager::sgd(device, &w, &rng.normal(&[300]), &v, 0.1, sgd)?;
    }
    compare_all("single operations, seed 9", &[w, v], &in_place, 0.0, 0.0)
}

pub fn old_values_are_read_before_the_update(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2]))?;
        let w = state(&mut graph, "w", 2)?;
        let more = graph.apply(Add, &[w, x])?[0];
        graph.update(w, more)?;
        let late = graph.apply(Add, &[w, w])?[0];
        graph.output("twice the old", late);
        graph.output("new", more);
        let mut session = session(device, &[&graph])?;
        session.write("w", &numbers(&[1.0, 2.0]))?;
        let mut found = Vec::new();
        for _ in 0..2 {
            let outputs = session.run(0, &[("x", (&numbers(&[10.0, 20.0])).into())])?;
            found.extend(outputs.into_tensors().into_iter().flat_map(Tensor::into_f32));
        }
        found.extend(session.read("w")?.into_f32());
        Ok(found)
    };
    expect(run(), &[2.0, 4.0, 11.0, 22.0, 22.0, 44.0, 21.0, 42.0, 21.0, 42.0])
}

/// In alpha * w + beta * w the kernel would read and write one buffer.
pub fn a_value_can_be_updated_from_itself_twice(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let w = state(&mut graph, "w", 2)?;
        let half = graph.apply(WeightedSum { alpha: 0.25, beta: 0.5 }, &[w, w])?[0];
        graph.update(w, half)?;
        let mut session = session(device, &[&graph])?;
        session.write("w", &numbers(&[4.0, 8.0]))?;
        session.run(0, &[])?;
        Ok(session.read("w")?.into_f32())
    };
    expect(run(), &[3.0, 6.0])
}

/// Each of two values becomes the other, through views: one would be overwritten before it is read. The correct values are as
/// good as an error.
pub fn values_can_be_swapped_or_are_refused(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let (a, b) = (state(&mut graph, "a", 2)?, state(&mut graph, "b", 2)?);
        let view = |graph: &mut Graph, v| graph.apply(Reshape { shape: vec![2] }, &[v]).map(|v| v[0]);
        let (old_a, old_b) = (view(&mut graph, a)?, view(&mut graph, b)?);
        graph.update(a, old_b)?;
        graph.update(b, old_a)?;
        let mut session = session(device, &[&graph])?;
        session.write("a", &numbers(&[1.0, 2.0]))?;
        session.write("b", &numbers(&[3.0, 4.0]))?;
        session.run(0, &[])?;
        Ok([session.read("a")?.into_f32(), session.read("b")?.into_f32()].concat())
    };
    match run() {
        Err(Error::Argument { name, .. }) if name == "a" || name == "b" => Ok(()),
        found => expect(found, &[3.0, 4.0, 1.0, 2.0]),
    }
}

pub fn a_second_update_is_refused(_: &Device) -> Outcome {
    let mut graph = Graph::new();
    let zero = Init::Constant(0.0);
    let mut state = |name| graph.persistent(name, TensorType::f32([1]), PersistentKind::Buffer, zero);
    let (a, b) = (state("a")?, state("b")?);
    graph.update(a, b)?;
    match graph.update(a, a) {
        Err(Error::Argument { name, problem }) if name == "a" && problem.contains("already") => {}
        other => return Err(format!("expected an error that names the value, found {other:?}").into()),
    }
    assert!(graph.updates() == [(a, b)], "the first update should be kept, found {:?}", graph.updates());
    Ok(())
}
