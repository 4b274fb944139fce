//! Inputs, views and updated values as outputs.

use crate::common::*;
use crate::support::*;
use striate::graph::Graph;
use striate::op::*;
use striate::{Device, Error, Result, Tensor, TensorType, eager};

/// The output would be read after the update. The old values are as good as an error.
pub fn a_view_of_an_updated_value_is_output_or_refused(device: &Device) -> Outcome {
    let run = || -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2]))?;
        let w = state(&mut graph, "w", 2)?;
        let view = graph.apply(Reshape { shape: vec![2, 1] }, &[w])?[0];
        graph.output("view", view);
        let more = graph.apply(Add, &[w, x])?[0];
        graph.update(w, more)?;
        let mut session = session(device, &[&graph])?;
        session.write("w", &numbers(&[1.0, 2.0]))?;
        let outputs = session.run(0, &[("x", (&numbers(&[10.0, 20.0])).into())])?;
        let mut found = outputs.get("view").expect("the output").as_f32().to_vec();
        found.extend(session.read("w")?.into_f32());
        Ok(found)
    };
    match run() {
        Err(Error::Argument { name, .. }) if name == "view" => Ok(()),
        found => expect(found, &[1.0, 2.0, 11.0, 22.0]),
    }
}

pub fn views_can_be_outputs(device: &Device) -> Outcome {
    let run = || -> Result<Vec<(Vec<usize>, Vec<f32>)>> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2, 3]))?;
        let y = graph.apply(Relu, &[x])?[0];
        let view = graph.apply(Reshape { shape: vec![6] }, &[y])?[0];
        let of_view = graph.apply(Reshape { shape: vec![3, 2] }, &[view])?[0];
        let sum = graph.apply(Add, &[of_view, of_view])?[0];
        let later = graph.apply(Add, &[sum, sum])?[0];
        for (name, value) in [("y", y), ("view", view), ("of view", of_view), ("later", later)] {
            graph.output(name, value);
        }
        let mut session = session(device, &[&graph])?;
        let x = Tensor::f32([2, 3], vec![-1.0, 2.0, -3.0, 4.0, 5.0, -6.0])?;
        let outputs = session.run(0, &[("x", (&x).into())])?;
        Ok(outputs.into_tensors().into_iter().map(|t| (t.shape().to_vec(), t.into_f32())).collect())
    };
    let relu = vec![0.0, 2.0, 0.0, 4.0, 5.0, 0.0];
    let want = vec![
        (vec![2, 3], relu.clone()),
        (vec![6], relu.clone()),
        (vec![3, 2], relu.clone()),
        (vec![3, 2], relu.iter().map(|v| 4.0 * v).collect()),
    ];
    let found = run()?;
    assert!(found == want, "expected {want:?}, found {found:?}");
    Ok(())
}

pub fn an_input_can_be_an_output(device: &Device) -> Outcome {
    let x = Random::new(4).normal(&[2, 3]);
    let outputs = eager::evaluate(device, &[&x], |graph, v| {
        Ok(vec![v[0], graph.apply(Reshape { shape: vec![3, 2] }, v)?[0]])
    })?;
    compare("an input, seed 4", &outputs[0], &x, 0.0, 0.0)?;
    compare("its view, seed 4", &outputs[1], &Tensor::f32([3, 2], x.into_f32()).unwrap(), 0.0, 0.0)
}

pub fn a_value_can_be_output_twice(device: &Device) -> Outcome {
    let x = Random::new(4).spaced(&[5], 0.1);
    let outputs = eager::evaluate(device, &[&x], |graph, v| {
        let y = graph.apply(Add, &[v[0], v[0]])?[0];
        Ok(vec![y, y])
    });
    let outputs = outputs?;
    compare("the same value twice", &outputs[0], &outputs[1], 0.0, 0.0)
}
