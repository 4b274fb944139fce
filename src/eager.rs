//! Eager single operations: host arrays in, host arrays out, on any device.
//!
//! Each call builds, plans and runs a graph of one operation: for experiments and tests, not for speed. [`gradients`]
//! returns gradients for a given upstream gradient.
//!
//! ```
//! use striate::op::Conv2d;
//! use striate::{Device, Tensor, eager};
//!
//! let device = Device::select("cpu")?;
//! let x = Tensor::f32([1, 1, 3, 3], (1..=9).map(|v| v as f32).collect())?;
//! let w = Tensor::f32([1, 1, 2, 2], vec![1.0, 0.0, 0.0, -1.0])?;
//! let conv = Conv2d { stride: [1, 1], ..Default::default() };
//! let y = eager::conv2d(&device, &x, &w, None, conv)?;
//! assert_eq!(y.as_f32(), [-4.0, -4.0, -4.0, -4.0]);
//!
//! let upstream = Tensor::f32([1, 1, 2, 2], vec![1.0, 0.0, 0.0, 2.0])?;
//! let grads = eager::gradients(&device, conv, &[&x, &w], &upstream)?;
//! assert_eq!(grads[1].as_ref().unwrap().as_f32(), [11.0, 14.0, 20.0, 23.0]);
//! # Ok::<(), striate::Error>(())
//! ```

use crate::graph::{Graph, ValueId};
use crate::nn;
use crate::op::{
    Adam, AdaptiveAvgPool2d, AdaptiveMaxPool2d, Add, AvgPool2d, BatchNorm, BatchNormEval, Concat, Conv2d,
    CrossEntropy, Dropout, LocalResponseNorm, LogSoftmax, Matmul, MaxPool2d, Op, Relu, Reshape, Sgd, Softmax,
    TopK,
};
use crate::plan::Plan;
use crate::{DType, Device, Error, Input, Result, Session, Tensor};

/// Builds a graph on the inputs, runs it once and returns the values that `build` returned.
pub fn evaluate(
    device: &Device,
    inputs: &[&Tensor],
    build: impl FnOnce(&mut Graph, &[ValueId]) -> Result<Vec<ValueId>>,
) -> Result<Vec<Tensor>> {
    let mut graph = Graph::new();
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("input {i}")).collect();
    let values = names
        .iter()
        .zip(inputs)
        .map(|(name, tensor)| graph.input(name, tensor.ty().clone()))
        .collect::<Result<Vec<_>>>()?;
    let outputs = build(&mut graph, &values)?;
    for (i, value) in outputs.iter().enumerate() {
        graph.output(&format!("output {i}"), *value);
    }
    let mut session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
    let feed: Vec<(&str, Input)> =
        names.iter().zip(inputs).map(|(name, tensor)| (name.as_str(), (*tensor).into())).collect();
    Ok(session.run(0, &feed)?.into_tensors())
}

/// Applies an operation and returns all its outputs.
pub fn apply(device: &Device, op: impl Into<Op>, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    evaluate(device, inputs, |graph, values| graph.apply(op, values))
}

/// Gradients of any operation with respect to each `f32` input, for an upstream gradient of its first
/// output; `None` for integer inputs.
pub fn gradients(
    device: &Device,
    op: impl Into<Op>,
    inputs: &[&Tensor],
    grad_output: &Tensor,
) -> Result<Vec<Option<Tensor>>> {
    let op = op.into();
    let floats: Vec<usize> = (0..inputs.len()).filter(|i| inputs[*i].ty().dtype == DType::F32).collect();
    let mut all = inputs.to_vec();
    all.push(grad_output);
    let mut present = vec![false; inputs.len()];
    let computed = evaluate(device, &all, |graph, values| {
        let (upstream, values) = values.split_last().expect("the upstream gradient was pushed");
        let y = graph.apply(op, values)?[0];
        let wrt: Vec<ValueId> = floats.iter().map(|i| values[*i]).collect();
        let grads = graph.gradients(&[(y, *upstream)], &wrt)?;
        floats.iter().zip(&grads).for_each(|(i, gradient)| present[*i] = gradient.is_some());
        Ok(grads.into_iter().flatten().collect())
    })?;
    let mut computed = computed.into_iter();
    Ok(present.into_iter().map(|present| if present { computed.next() } else { None }).collect())
}

/// The only output of an operation.
fn one(device: &Device, op: impl Into<Op>, inputs: &[&Tensor]) -> Result<Tensor> {
    Ok(apply(device, op, inputs)?.swap_remove(0))
}

/// Operands and an optional third one, such as a bias.
fn with<'a>(operands: [&'a Tensor; 2], other: Option<&'a Tensor>) -> Vec<&'a Tensor> {
    operands.into_iter().chain(other).collect()
}

/// Convolution; see [`Conv2d`].
pub fn conv2d(
    device: &Device,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    conv: Conv2d,
) -> Result<Tensor> {
    one(device, conv, &with([x, weight], bias))
}

/// Matrix product; see [`Matmul`].
pub fn matmul(
    device: &Device,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    matmul: Matmul,
) -> Result<Tensor> {
    one(device, matmul, &with([a, b], bias))
}

/// x weight^T + bias: x `[batch, in]`, weight `[out, in]`, bias `[out]`.
pub fn linear(device: &Device, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    one(device, Matmul { transpose_a: false, transpose_b: true }, &with([x, weight], bias))
}

/// Max-pooling; also each maximum's index in its plane (`u32`).
pub fn max_pool2d(device: &Device, x: &Tensor, pool: MaxPool2d) -> Result<(Tensor, Tensor)> {
    pair(apply(device, pool, &[x])?)
}

/// Adaptive max-pooling; also each maximum's index in its plane (`u32`).
pub fn adaptive_max_pool2d(device: &Device, x: &Tensor, pool: AdaptiveMaxPool2d) -> Result<(Tensor, Tensor)> {
    pair(apply(device, pool, &[x])?)
}

fn pair(mut outputs: Vec<Tensor>) -> Result<(Tensor, Tensor)> {
    let second = outputs.swap_remove(1);
    Ok((outputs.swap_remove(0), second))
}

/// Average pooling.
pub fn avg_pool2d(device: &Device, x: &Tensor, pool: AvgPool2d) -> Result<Tensor> {
    one(device, pool, &[x])
}

/// Adaptive average pooling.
pub fn adaptive_avg_pool2d(device: &Device, x: &Tensor, pool: AdaptiveAvgPool2d) -> Result<Tensor> {
    one(device, pool, &[x])
}

/// max(x, 0).
pub fn relu(device: &Device, x: &Tensor) -> Result<Tensor> {
    one(device, Relu, &[x])
}

/// Results of [`batch_norm`].
#[derive(Clone, Debug)]
pub struct BatchNormOutput {
    /// The normalized tensor.
    pub y: Tensor,
    /// Running mean after the step.
    pub running_mean: Tensor,
    /// Running variance after the step.
    pub running_var: Tensor,
}

/// Batch norm in training: statistics of the batch, and the running ones moved towards them by `momentum`
/// (PyTorch's meaning; the running variance takes the unbiased one).
pub fn batch_norm(
    device: &Device,
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [running_mean, running_var]: [&Tensor; 2],
    momentum: f32,
    norm: BatchNorm,
) -> Result<BatchNormOutput> {
    let inputs = [x, weight, bias, running_mean, running_var];
    let outputs = evaluate(device, &inputs, |graph, v| {
        let outputs = graph.apply(norm, &v[..3])?;
        let count = x.len() / x.shape()[1];
        let [mean, var] =
            nn::update_running_stats(graph, count, [outputs[1], outputs[2]], [v[3], v[4]], momentum)?;
        Ok(vec![outputs[0], mean, var])
    })?;
    let [y, running_mean, running_var] = outputs.try_into().expect("three values were named");
    Ok(BatchNormOutput { y, running_mean, running_var })
}

/// Batch norm with given mean and variance.
pub fn batch_norm_eval(
    device: &Device,
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, variance]: [&Tensor; 2],
    norm: BatchNormEval,
) -> Result<Tensor> {
    one(device, norm, &[x, weight, bias, mean, variance])
}

/// a + b.
pub fn add(device: &Device, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    one(device, Add, &[a, b])
}

/// Tensors joined along the channels.
pub fn concat(device: &Device, inputs: &[&Tensor]) -> Result<Tensor> {
    one(device, Concat, inputs)
}

/// `[batch, everything else]`.
pub fn flatten(device: &Device, x: &Tensor) -> Result<Tensor> {
    let batch = x.shape().first().copied().unwrap_or(1);
    one(device, Reshape { shape: vec![batch, x.len() / batch.max(1)] }, &[x])
}

/// Local response normalization across channels.
pub fn local_response_norm(device: &Device, x: &Tensor, norm: LocalResponseNorm) -> Result<Tensor> {
    one(device, norm, &[x])
}

/// Dropout at a step and seed.
pub fn dropout(device: &Device, x: &Tensor, step: u32, seed: u32, dropout: Dropout) -> Result<Tensor> {
    one(device, dropout, &[x, &Tensor::u32([2], vec![step, seed])?])
}

/// Softmax along an axis.
pub fn softmax(device: &Device, x: &Tensor, softmax: Softmax) -> Result<Tensor> {
    one(device, softmax, &[x])
}

/// Log-softmax along an axis.
pub fn log_softmax(device: &Device, x: &Tensor, softmax: LogSoftmax) -> Result<Tensor> {
    one(device, softmax, &[x])
}

/// Cross-entropy of logits against labels, with optional class weights; see [`CrossEntropy`].
pub fn cross_entropy(
    device: &Device,
    logits: &Tensor,
    labels: &Tensor,
    weights: Option<&Tensor>,
    loss: CrossEntropy,
) -> Result<Tensor> {
    one(device, loss, &with([logits, labels], weights))
}

/// The number of rows whose label is among the k largest logits, of shape `[1]`.
pub fn topk_accuracy(device: &Device, logits: &Tensor, labels: &Tensor, top: TopK) -> Result<Tensor> {
    one(device, top, &[logits, labels])
}

/// One SGD step: the new parameter and velocity.
pub fn sgd(
    device: &Device,
    param: &Tensor,
    grad: &Tensor,
    velocity: &Tensor,
    lr: f32,
    sgd: Sgd,
) -> Result<(Tensor, Tensor)> {
    let schedule = Tensor::f32([3], vec![lr, 1.0, 1.0])?;
    pair(apply(device, sgd, &[param, grad, velocity, &schedule])?)
}

/// A step of Adam or AdamW, counted from 0: the new parameter and moments.
pub fn adam(
    device: &Device,
    param: &Tensor,
    grad: &Tensor,
    moments: [&Tensor; 2],
    lr: f32,
    step: usize,
    adam: Adam,
) -> Result<[Tensor; 3]> {
    let schedule = Tensor::f32([3], adam.schedule(lr, step).to_vec())?;
    let outputs = apply(device, adam, &[param, grad, moments[0], moments[1], &schedule])?;
    Ok(outputs.try_into().expect("a step has three outputs"))
}

/// Clips gradients by their global norm. Returns them and the norm before clipping.
///
/// ```
/// use striate::{Device, Tensor, eager};
/// let gradient = Tensor::f32([2], vec![3.0, 4.0])?;
/// let (clipped, norm) = eager::clip_grad_norm(&Device::select("cpu")?, &[&gradient], 1.0)?;
/// assert_eq!(norm, 5.0);
/// assert!((clipped[0].as_f32()[0] - 0.6).abs() < 1e-6);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] if there are no gradients; [`Error::Shape`] if
/// `max_norm` is not above 0.
pub fn clip_grad_norm(device: &Device, grads: &[&Tensor], max_norm: f32) -> Result<(Vec<Tensor>, f32)> {
    if grads.is_empty() {
        return Err(Error::argument("grads", "there are none; give at least one gradient"));
    }
    let mut outputs = evaluate(device, grads, |graph, values| {
        let (mut clipped, norm) = nn::clip_grad_norm(graph, values, max_norm)?;
        clipped.push(norm);
        Ok(clipped)
    })?;
    let norm = outputs.pop().expect("the norm was pushed").as_f32()[0];
    Ok((outputs, norm))
}
