//! A small network with all kinds of state, and shared helpers.

use crate::common::*;
use striate::graph::{Graph, Init, PersistentKind, ValueId};
use striate::op::*;
use striate::plan::Plan;
use striate::{Device, Error, Input, Result, Session, Tensor, TensorType};

/// Rows of a batch.
pub const BATCH: usize = 8;

/// Features of a row.
pub const WIDTH: usize = 12;

pub const CLASSES: usize = 5;

/// Persistent values by name.
pub type State = Vec<(String, Tensor)>;

/// A training step of a classifier with one hidden layer and batch norm.
pub fn training(batch: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([batch, WIDTH]))?;
    let labels = graph.input("labels", TensorType::u32([batch]))?;
    let schedule = graph.input("schedule", TensorType::f32([3]))?;
    let one = graph.input("one", TensorType::f32([1]))?;
    let state = |graph: &mut Graph, name: &str, shape: &[usize], kind, init| {
        graph.persistent(name, TensorType::f32(shape), kind, init)
    };
    let (learned, ones) = (PersistentKind::Parameter, Init::Constant(1.0));
    let normal = Init::Normal { std: 0.3 };
    let w1 = state(&mut graph, "w1", &[16, WIDTH], learned, normal)?;
    let gamma = state(&mut graph, "gamma", &[16], learned, ones)?;
    let beta = state(&mut graph, "beta", &[16], learned, Init::Constant(0.0))?;
    let w2 = state(&mut graph, "w2", &[CLASSES, 16], learned, normal)?;
    let bias = state(&mut graph, "bias", &[CLASSES], learned, Init::Uniform { bound: 0.1 })?;
    let running = state(&mut graph, "running_mean", &[16], PersistentKind::Buffer, Init::Constant(0.0))?;

    let linear = Matmul { transpose_a: false, transpose_b: true };
    let h = graph.scoped("hidden", |g| g.apply(linear, &[x, w1]))?[0];
    let normed = graph.scoped("bn", |g| g.apply(BatchNorm::default(), &[h, gamma, beta]))?;
    let mean = graph.apply(WeightedSum { alpha: 0.9, beta: 0.1 }, &[running, normed[1]])?[0];
    graph.update(running, mean)?;
    let h = graph.apply(Relu, &normed[..1])?[0];
    let logits = graph.scoped("fc", |g| g.apply(linear, &[h, w2, bias]))?[0];
    let loss = graph.apply(CrossEntropy::default(), &[logits, labels])?[0];
    graph.output("loss", loss);
    let parameters = graph.parameters();
    let gradients = graph.gradients(&[(loss, one)], &parameters)?;
    for (parameter, gradient) in parameters.into_iter().zip(gradients) {
        let gradient = gradient.expect("the loss depends on every parameter");
        let name = format!("{}.velocity", graph.value(parameter).name);
        let shape = graph.shape(parameter).to_vec();
        let velocity = state(&mut graph, &name, &shape, PersistentKind::Optimizer, Init::Constant(0.0))?;
        let sgd = Sgd { momentum: 0.9, weight_decay: 1e-4, ..Default::default() };
        let stepped = graph.apply(sgd, &[parameter, gradient, velocity, schedule])?;
        graph.update(parameter, stepped[0])?;
        graph.update(velocity, stepped[1])?;
    }
    Ok(graph)
}

pub fn session(device: &Device, graphs: &[&Graph]) -> Result<Session> {
    let plans = graphs.iter().map(|g| Plan::new(g, device.target())).collect::<Result<Vec<_>>>()?;
    Session::new(device, plans)
}

/// Inputs of one training step.
pub struct Batch {
    pub x: Tensor,
    pub labels: Tensor,
    pub schedule: Tensor,
    pub one: Tensor,
}

impl Batch {
    pub fn new(rows: usize, seed: u64) -> Self {
        let mut rng = Random::new(seed);
        let (x, labels) = (rng.normal(&[rows, WIDTH]), rng.labels(rows, CLASSES));
        let schedule = Tensor::f32([3], vec![0.05, 1.0, 1.0]).unwrap();
        Self { x, labels, schedule, one: Tensor::f32([1], vec![1.0]).unwrap() }
    }

    pub fn feed(&self) -> [(&str, Input<'_>); 4] {
        [
            ("x", (&self.x).into()),
            ("labels", (&self.labels).into()),
            ("schedule", (&self.schedule).into()),
            ("one", (&self.one).into()),
        ]
    }
}

/// Checks that an error names an argument.
pub fn names<T: std::fmt::Debug>(result: Result<T>, name: &str) -> Outcome {
    match result {
        Err(Error::Argument { name: found, .. }) if found == name => Ok(()),
        other => Err(format!("expected an error about {name:?}, found {other:?}").into()),
    }
}

/// A persistent value of zeros.
pub fn state(graph: &mut Graph, name: &str, len: usize) -> Result<ValueId> {
    graph.persistent(name, TensorType::f32([len]), PersistentKind::Parameter, Init::Constant(0.0))
}

pub fn numbers(values: &[f32]) -> Tensor {
    Tensor::f32([values.len()], values.to_vec()).unwrap()
}

pub fn expect(found: Result<Vec<f32>>, want: &[f32]) -> Outcome {
    let found = found?;
    assert!(found == want, "expected {want:?}, found {found:?}");
    Ok(())
}
