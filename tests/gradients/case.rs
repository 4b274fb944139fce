//! A graph, and its gradients by central differences.

use crate::common::*;
use std::sync::Arc;
use striate::graph::{Graph, ValueId};
use striate::op::*;
use striate::plan::{Plan, Target};
use striate::{DType, Device, Input, Result, Session, Tensor, eager};

/// Step of the central differences, along directions of -1 and 1.
const STEP: f32 = 0.02;

/// Number of directions per input.
const DIRECTIONS: usize = 3;

/// Tolerance relative to the gradient's Euclidean norm, which is the typical size of a sum of its elements with random
/// signs. Rounding contributes about 1e-5 * (norm of the outputs); the leading error of the difference, from the third
/// derivative, cancels with that of a second difference with half the step.
const TOLERANCE: f64 = 1e-3;

/// A graph from inputs to one output.
pub type Build = Arc<dyn Fn(&mut Graph, &[ValueId]) -> Result<ValueId> + Send + Sync>;

pub struct Case {
    pub name: String,
    pub inputs: Vec<Tensor>,
    /// Indices of the inputs to differentiate.
    pub wrt: Vec<usize>,
    pub build: Build,
    /// The operation under test, if there is a single one.
    pub op: Option<Op>,
    pub seed: u64,
}

/// A graph, differentiated with respect to all float inputs.
pub fn graph(
    name: &str,
    inputs: impl FnOnce(&mut Random) -> Vec<Tensor>,
    build: impl Fn(&mut Graph, &[ValueId]) -> Result<ValueId> + Send + Sync + 'static,
) -> Case {
    let seed = seed_of(name);
    let inputs = inputs(&mut Random::new(seed));
    let wrt = (0..inputs.len()).filter(|i| inputs[*i].ty().dtype == DType::F32).collect();
    Case { name: name.to_owned(), inputs, wrt, build: Arc::new(build), op: None, seed }
}

/// An operation inside a graph: its float inputs and its result are scaled.
pub fn mid(name: &str, op: impl Into<Op>, inputs: impl FnOnce(&mut Random) -> Vec<Tensor>) -> Case {
    let op: Op = op.into();
    let about = op.clone();
    let with_factor = |rng: &mut Random| {
        let mut all = inputs(rng);
        all.push(Tensor::f32([1], vec![1.25]).unwrap());
        all
    };
    let mut case = graph(name, with_factor, move |graph, values| {
        let (factor, inputs) = values.split_last().expect("the factor was pushed");
        let mut scaled = Vec::new();
        for x in inputs {
            let float = graph.value(*x).ty.dtype == DType::F32;
            scaled.push(if float { graph.apply(Scale, &[*x, *factor])?[0] } else { *x });
        }
        let y = graph.apply(op.clone(), &scaled)?[0];
        Ok(graph.apply(Scale, &[y, *factor])?[0])
    });
    case.wrt.pop(); // the factor
    Case { op: Some(about), ..case }
}

impl Case {
    /// Differentiates with respect to some inputs only.
    pub fn by(self, wrt: &[usize]) -> Self {
        Self { wrt: wrt.to_vec(), ..self }
    }

    /// Whether the forward pass can be planned for a target, whose requested kernels may not support it.
    pub fn plans_for(&self, target: &Target) -> bool {
        let (graph, _) = self.forward().expect("the shapes of a case fit");
        Plan::new(&graph, target).is_ok()
    }

    /// Compares the gradients with central differences.
    pub fn check(&self, device: &Device) -> Outcome {
        let (name, seed) = (&self.name, self.seed);
        let what = format!("{name} of {}, seed {seed:#x}, on {}", shapes(&self.inputs), device.name());
        let (forward, y) = self.forward()?;
        let ty = forward.value(y).ty.clone();
        let mut session = Session::new(device, vec![Plan::new(&forward, device.target())?])?;

        let mut rng = Random::new(self.seed ^ 2);
        let upstream = rng.normal(&ty.shape);
        let gradients = self.gradients(device, &upstream)?;
        for (&i, gradient) in self.wrt.iter().zip(&gradients) {
            let norm = gradient.as_f32().iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            for k in 0..DIRECTIONS {
                let direction = rng.signs(gradient.shape());
                let pairs = gradient.as_f32().iter().zip(direction.as_f32());
                let claimed: f64 = pairs.map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                let mut slope = |step: f32| -> Result<f64> {
                    let (up, above) = self.loss(&mut session, &upstream, i, &direction, step)?;
                    let (down, below) = self.loss(&mut session, &upstream, i, &direction, -step)?;
                    Ok((up - down) / (above - below))
                };
                let found = (4.0 * slope(STEP / 2.0)? - slope(STEP)?) / 3.0;
                let error = (claimed - found).abs() / norm;
                if error.is_nan() || error > TOLERANCE {
                    return Err(format!(
                        "{what}: along direction {k} of input {i} the loss changes by {found}, but the gradient predicts {claimed}: an error of {error:e} of its norm {norm}, where {TOLERANCE:e} is allowed"
                    ).into());
                }
            }
        }
        Ok(())
    }

    /// The graph and its output.
    fn forward(&self) -> Result<(Graph, ValueId)> {
        let mut graph = Graph::new();
        let inputs = self.inputs.iter().enumerate();
        let inputs = inputs.map(|(i, x)| graph.input(&format!("input {i}"), x.ty().clone()));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let y = (self.build)(&mut graph, &inputs)?;
        graph.output("y", y);
        Ok((graph, y))
    }

    fn gradients(&self, device: &Device, upstream: &Tensor) -> Result<Vec<Tensor>> {
        let inputs: Vec<&Tensor> = self.inputs.iter().chain([upstream]).collect();
        eager::evaluate(device, &inputs, |graph, values| {
            let (upstream, inputs) = values.split_last().expect("the upstream gradient was pushed");
            let y = (self.build)(graph, inputs)?;
            let wrt: Vec<ValueId> = self.wrt.iter().map(|i| inputs[*i]).collect();
            let gradients = graph.gradients(&[(y, *upstream)], &wrt)?;
            Ok(gradients.into_iter().map(|g| g.expect("the output depends on each input")).collect())
        })
    }

    /// Sum of upstream * y with input `i` moved along a direction, and the distance it moved in f32.
    fn loss(
        &self,
        session: &mut Session,
        upstream: &Tensor,
        i: usize,
        direction: &Tensor,
        step: f32,
    ) -> Result<(f64, f64)> {
        let x = self.inputs[i].as_f32();
        let moved: Vec<f32> = x.iter().zip(direction.as_f32()).map(|(x, d)| x + step * d).collect();
        // Rounding changes the step of each element a little, so the average counts.
        let steps = moved.iter().zip(x).zip(direction.as_f32());
        let distance = steps.map(|((m, x), d)| (f64::from(*m) - f64::from(*x)) * f64::from(*d)).sum::<f64>();
        let moved = Tensor::f32(direction.shape(), moved)?;
        let names: Vec<String> = (0..self.inputs.len()).map(|i| format!("input {i}")).collect();
        let tensors = self.inputs.iter().enumerate().map(|(j, t)| if j == i { &moved } else { t });
        let feed: Vec<(&str, Input)> =
            names.iter().map(String::as_str).zip(tensors.map(Input::from)).collect();
        let outputs = session.run(0, &feed)?;
        let y = outputs.get("y").expect("the only output").as_f32();
        let loss = y.iter().zip(upstream.as_f32()).map(|(y, u)| f64::from(*y) * f64::from(*u)).sum();
        Ok((loss, distance / x.len() as f64))
    }
}

/// Applies an operation with one output.
pub fn one(graph: &mut Graph, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId> {
    Ok(graph.apply(op, inputs)?[0])
}
