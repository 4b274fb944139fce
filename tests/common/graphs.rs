//! Random graphs with gradients and updates.

use super::{Random, everything};
use striate::graph::{Graph, Init, PersistentKind, ValueId};
use striate::op::*;
use striate::plan::Plan;
use striate::{Device, Result, Session, Tensor, TensorType};

/// A random graph on images, with branches that join again, gradients and updates; and its inputs.
pub fn random_graph(seed: u64) -> Result<(Graph, Vec<(String, Tensor)>)> {
    let mut rng = Random::new(seed);
    let mut graph = Graph::new();
    let mut feed = Vec::new();
    let mut input = |graph: &mut Graph, name: &str, tensor: Tensor| {
        feed.push((name.to_owned(), tensor.clone()));
        graph.input(name, tensor.ty().clone())
    };
    let schedule = input(&mut graph, "schedule", Tensor::f32([3], vec![0.1, 1.0, 1.0])?)?;
    let counter = input(&mut graph, "counter", Tensor::u32([2], vec![1, 2])?)?;
    let x = input(&mut graph, "x", rng.normal(&[2, 3, 6, 5]))?;
    let mut values = vec![x];
    for i in 0..4 + rng.below(12) {
        let v = values[rng.below(values.len())];
        let [n, c, h, w] = graph.shape(v).to_vec().try_into().expect("an image");
        let state = |graph: &mut Graph, name: &str, shape: &[usize]| {
            let init = Init::Normal { std: 0.5 };
            graph.persistent(&format!("{name}{i}"), TensorType::f32(shape), PersistentKind::Parameter, init)
        };
        let outs = 1 + rng.below(5);
        let y = match rng.below(9) {
            0 => graph.apply(Relu, &[v])?,
            1 => graph.apply(Dropout { p: 0.2, stream: i as u32 }, &[v, counter])?,
            2 => {
                let weight = state(&mut graph, "w", &[outs, c, 3, 3])?;
                let bias = state(&mut graph, "b", &[outs])?;
                graph.apply(Conv2d { padding: [1, 1], ..Default::default() }, &[v, weight, bias])?
            }
            3 => {
                let weight = state(&mut graph, "w", &[outs, c, 1, 1])?;
                graph.apply(Conv2d::default(), &[v, weight])?
            }
            4 => {
                let (gamma, beta) = (state(&mut graph, "gamma", &[c])?, state(&mut graph, "beta", &[c])?);
                let y = graph.apply(BatchNorm::default(), &[v, gamma, beta])?;
                let sums = [[y[0], v], [v, y[0]], [y[0], y[0]]];
                match rng.below(6) {
                    0 => y,
                    1 | 2 => graph.apply(Relu, &[y[0]])?,
                    side => {
                        let sum = graph.apply(Add, &sums[side - 3])?;
                        graph.apply(Relu, &[sum[0]])?
                    }
                }
            }
            5 => {
                let window = MaxPool2d {
                    kernel_size: [3, 3],
                    stride: Some([1, 1]),
                    padding: [1, 1],
                    ceil_mode: false,
                };
                graph.apply(window, &[v])?
            }
            6 => graph.apply(Reshape { shape: vec![n, c, w, h] }, &[v])?,
            7 => {
                let alike = |u: &&ValueId| {
                    let s = graph.shape(**u);
                    s[0] == n && s[2..] == [h, w]
                };
                let others: Vec<ValueId> = values.iter().filter(alike).copied().collect();
                graph.apply(Concat, &[v, others[rng.below(others.len())]])?
            }
            _ => {
                let shape = graph.shape(v).to_vec();
                let others: Vec<ValueId> =
                    values.iter().filter(|u| graph.shape(**u) == shape).copied().collect();
                graph.apply(Add, &[v, others[rng.below(others.len())]])?
            }
        };
        if graph.shape(y[0])[1] <= 24 {
            values.push(y[0]);
        }
    }
    let mut upstream = Vec::new();
    for k in 0..1 + rng.below(2) {
        let y = values[values.len() - 1 - rng.below(values.len().min(3))];
        let tensor = rng.normal(graph.shape(y));
        let gradient = input(&mut graph, &format!("upstream{k}"), tensor)?;
        upstream.push((y, gradient));
        graph.output(&format!("y{k}"), y);
    }
    let parameters = graph.parameters();
    let gradients = graph.gradients(&upstream, &parameters)?;
    for (parameter, gradient) in parameters.into_iter().zip(gradients) {
        let Some(gradient) = gradient else { continue };
        let name = format!("{}.velocity", graph.value(parameter).name);
        let ty = graph.value(parameter).ty.clone();
        let velocity = graph.persistent(&name, ty, PersistentKind::Optimizer, Init::Constant(0.0))?;
        let sgd = Sgd { momentum: 0.9, ..Default::default() };
        let stepped = graph.apply(sgd, &[parameter, gradient, velocity, schedule])?;
        graph.update(parameter, stepped[0])?;
        graph.update(velocity, stepped[1])?;
    }
    Ok((graph, feed))
}

/// Runs two steps. Returns the first output of each, and the persistent values after them.
pub fn two_steps(device: &Device, plan: Plan, feed: &[(String, Tensor)], seed: u64) -> Result<Vec<Tensor>> {
    let mut session = Session::new(device, vec![plan])?;
    session.initialize(seed)?;
    let feed = super::feed(feed);
    let mut results = Vec::new();
    for _ in 0..2 {
        let mut outputs = session.run(0, &feed)?.into_tensors();
        outputs.retain(|t| t.ty().dtype == striate::DType::F32);
        results.extend(outputs.into_iter().take(1));
    }
    results.extend(everything(&mut session)?.into_iter().map(|(_, tensor)| tensor));
    Ok(results)
}
