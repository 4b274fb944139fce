//! Exported files: structure without any other program, and logits in ONNX Runtime if Python has it.

#[path = "../common/mod.rs"]
mod common;
mod errors;
mod program;
mod runtime;
mod structure;
#[path = "../common/workspace.rs"]
mod workspace;

use common::{Random, Suite, seed_of};
use striate::Tensor;
use striate::graph::Graph;

fn main() -> std::process::ExitCode {
    // Some models are large.
    let mut suite = Suite::sequential();
    structure::add(&mut suite);
    errors::add(&mut suite);
    program::add(&mut suite);
    runtime::add(&mut suite);
    suite.run()
}

/// Random weights that keep the scale of activations, with statistics as if trained.
fn random_weights(graph: &Graph, name: &str) -> Vec<(String, Tensor)> {
    let mut random = Random::new(seed_of(name));
    let mut tensor = |name: &str, shape: &[usize]| match shape {
        [_] if name.ends_with("weight") || name.ends_with("running_var") => random.uniform(shape, 0.5, 1.5),
        [_] => random.uniform(shape, -0.1, 0.1),
        [_, rest @ ..] => {
            let bound = (6.0 / rest.iter().product::<usize>() as f32).sqrt();
            random.uniform(shape, -bound, bound)
        }
        [] => unreachable!("no layer has a scalar"),
    };
    let values = graph.model_state().into_iter().map(|value| graph.value(value));
    values.map(|value| (value.name.clone(), tensor(&value.name, &value.ty.shape))).collect()
}
