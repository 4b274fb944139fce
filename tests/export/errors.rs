//! Networks and weights that cannot be exported.

use crate::common::{Outcome, Suite, named};
use crate::random_weights;
use striate::data::Normalization;
use striate::export::{OnnxConfig, onnx};
use striate::graph::{Graph, ValueId};
use striate::models;
use striate::nn::{Builder, Linear, Mode};
use striate::op::{self, AdaptiveAvgPool2d, AvgPool2d, LocalResponseNorm, Op};
use striate::{Result, Tensor, TensorType};

pub fn add(suite: &mut Suite) {
    suite.add_all(named![
        operations_without_a_counterpart_are_named,
        training_graphs_are_refused,
        weights_must_be_complete,
        half_precision_must_hold_the_weights,
        other_inputs_and_outputs_are_refused,
    ]);
}

#[track_caller]
fn refused(graph: &Graph, weights: Vec<(String, Tensor)>, config: &OnnxConfig, words: &[&str]) {
    let message = onnx(graph, weights, config).expect_err("this should fail").to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    words.iter().for_each(|word| assert!(message.contains(word), "{message:?} does not say {word:?}"));
}

/// One operation in a layer, on images of this size.
fn layer(size: usize, op: impl Into<Op>) -> Graph {
    graph(size, |b, x| b.scoped("layer", |b| b.apply(op, &[x])))
}

fn graph(size: usize, build: impl FnOnce(&mut Builder, ValueId) -> Result<ValueId>) -> Graph {
    let mut b = Builder::new(Mode::Eval);
    let x = b.images([2, 3, size, size]).unwrap();
    let y = build(&mut b, x).unwrap();
    b.graph.output(Builder::LOGITS, y);
    b.graph
}

fn operations_without_a_counterpart_are_named() -> Outcome {
    let pool = AvgPool2d {
        kernel_size: [3, 3],
        stride: Some([2, 2]),
        padding: [1, 1],
        ceil_mode: true,
        ..Default::default()
    };
    let sum =
        graph(4, |b, x| b.scoped("layer", |b| b.apply(op::WeightedSum { alpha: 1.0, beta: 2.0 }, &[x, x])));
    let batched = graph(4, |b, x| {
        let x = b.apply(op::Reshape { shape: vec![2, 12, 4] }, &[x])?;
        b.scoped("layer", |b| b.apply(op::Matmul { transpose_a: true, ..Default::default() }, &[x, x]))
    });
    let cases: [(Graph, &[&str]); 6] = [
        (sum, &["weighted_sum in layer: has no counterpart in ONNX"]),
        (batched, &["matmul in layer: ", "two axes only"]),
        (
            layer(4, LocalResponseNorm { size: 4, ..Default::default() }),
            &["local_response_norm in layer: ", "odd size"],
        ),
        (layer(4, pool), &["avg_pool2d in layer: ", "ceil_mode"]),
        (
            layer(8, AdaptiveAvgPool2d { output_size: [6, 6] }),
            &["avg_pool2d in layer: ", "divide 8 pixels into 6"],
        ),
        (
            layer(4, op::Reshape { shape: vec![6, 16] }),
            &["reshape in layer: ", "the batch stays the first axis"],
        ),
    ];
    for (graph, words) in cases {
        refused(&graph, Vec::new(), &OnnxConfig::default(), words);
    }
    Ok(())
}

fn training_graphs_are_refused() -> Outcome {
    for (name, words) in
        [("resnet8", ["batch_norm in bn1: ", "Mode::Eval"]), ("alexnet", ["counter: is u32", "Mode::Eval"])]
    {
        let model = models::by_name(name, 3, 10)?;
        let [height, width] = model.input_size();
        let mut b = Builder::new(Mode::Train);
        let images = b.images([2, 3, height, width])?;
        let logits = model.forward(&mut b, images)?;
        b.graph.output(Builder::LOGITS, logits);
        refused(&b.graph, random_weights(&b.graph, name), &OnnxConfig::default(), &words);
    }
    Ok(())
}

fn linear() -> Graph {
    graph(1, |b, x| {
        let x = b.flatten(x)?;
        b.linear("fc", x, Linear { in_features: 3, out_features: 2, bias: true })
    })
}

fn weights_must_be_complete() -> Outcome {
    let graph = linear();
    let good = random_weights(&graph, "linear");
    refused(&graph, good[1..].to_vec(), &OnnxConfig::default(), &["fc.weight: has no value"]);
    let mut other = good;
    other[1].1 = Tensor::zeros([3]);
    refused(&graph, other, &OnnxConfig::default(), &["fc.bias: has shape [3], expected [2]"]);
    Ok(())
}

fn half_precision_must_hold_the_weights() -> Outcome {
    let graph = linear();
    let mut weights = random_weights(&graph, "linear");
    weights[0].1 = Tensor::f32([2, 3], vec![1.0, 65519.0, 65520.0, 1.0, 1.0, 1.0])?;
    let config = OnnxConfig { half: true, ..Default::default() };
    refused(&graph, weights.clone(), &config, &["fc.weight: has the value 65520 at index 2", "65504"]);
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("half.safetensors");
    let error = striate::weights::write_half(&path, &weights, &Default::default()).unwrap_err().to_string();
    assert!(error.starts_with("fc.weight: ") && !path.exists(), "{error}");
    Ok(())
}

fn other_inputs_and_outputs_are_refused() -> Outcome {
    let normalized = |channels| OnnxConfig {
        normalization: Some(Normalization { mean: vec![0.5; channels], std: vec![0.5; channels] }),
        ..Default::default()
    };
    let gray = layer(4, op::Relu);
    refused(&gray, Vec::new(), &normalized(1), &["normalization: has 1 channels", "[2, 3, 4, 4]"]);
    let mut two = graph(4, |b, x| {
        let other = b.graph.input("other", TensorType::f32([2, 3, 4, 4]))?;
        b.add(x, other)
    });
    refused(&two, Vec::new(), &normalized(3), &["normalization: needs a network with a single input"]);
    let sum = two.outputs()[0].1;
    two.output("again", sum);
    refused(&two, Vec::new(), &OnnxConfig::default(), &["again: must be the first output"]);
    let same = graph(4, |_, x| Ok(x));
    refused(&same, Vec::new(), &OnnxConfig::default(), &["logits: must be the first output"]);
    Ok(())
}
