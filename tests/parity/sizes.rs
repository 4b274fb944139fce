//! Huge sizes and settings are either refused by name when a graph is built, or correct on every device. None is truncated to 32
//! bits.

use crate::REFERENCE;
use crate::common::{CPU_AND_GPU, Outcome, Random, Suite, compare_all};
use striate::graph::{Graph, ValueId};
use striate::op::*;
use striate::plan::{Algorithm, Family, Plan, Target};
use striate::{Device, Error, Tensor, TensorType, eager};

/// Sizes that must be refused, among them some whose lower 32 bits look harmless.
const TOO_LARGE: [usize; 6] = [1 << 31, u32::MAX as usize, 1 << 32, (1 << 32) + 1, 1 << 63, usize::MAX];

/// The largest valid size.
const LARGEST: usize = (1 << 31) - 1;

type Row = (&'static str, fn(usize) -> Op, &'static [&'static [usize]]);

const IMAGE: &[usize] = &[1, 2, 5, 5];
const CONV: &[&[usize]] = &[IMAGE, &[3, 2, 3, 3]];
const GRAD: &[&[usize]] = &[&[1, 3, 3, 3], &[3, 2, 3, 3]];

/// Every size among the settings of every operation: name, operation for a value, and input shapes.
fn settings() -> Vec<Row> {
    vec![
        ("conv2d_stride", |v| Conv2d { stride: [v; 2], ..Default::default() }.into(), CONV),
        ("conv2d_stride_of_rows", |v| Conv2d { stride: [v, 1], ..Default::default() }.into(), CONV),
        ("conv2d_stride_of_columns", |v| Conv2d { stride: [1, v], ..Default::default() }.into(), CONV),
        ("conv2d_padding", |v| Conv2d { padding: [v; 2], ..Default::default() }.into(), CONV),
        ("conv2d_padding_of_columns", |v| Conv2d { padding: [0, v], ..Default::default() }.into(), CONV),
        ("conv2d_dilation", |v| Conv2d { dilation: [v; 2], ..Default::default() }.into(), CONV),
        ("conv2d_groups", |v| Conv2d { groups: v, ..Default::default() }.into(), CONV),
        ("conv2d_grad_input_of_a_batch", |v| grad_input(vec![v, 2, 5, 5]), GRAD),
        ("conv2d_grad_input_of_channels", |v| grad_input(vec![1, v, 5, 5]), GRAD),
        ("conv2d_grad_input_of_rows", |v| grad_input(vec![1, 2, v, 5]), GRAD),
        ("conv2d_grad_weight_of_outputs", |v| grad_weight(vec![v, 2, 3, 3]), &[IMAGE, &[1, 3, 3, 3]]),
        ("conv2d_grad_weight_of_taps", |v| grad_weight(vec![3, 2, 3, v]), &[IMAGE, &[1, 3, 3, 3]]),
        ("max_pool2d_kernel", |v| MaxPool2d { kernel_size: [v; 2], ..Default::default() }.into(), &[IMAGE]),
        (
            "max_pool2d_kernel_and_padding",
            |v| MaxPool2d { kernel_size: [v; 2], padding: [v / 2; 2], ..Default::default() }.into(),
            &[IMAGE],
        ),
        ("max_pool2d_stride", |v| MaxPool2d { stride: Some([v; 2]), ..Default::default() }.into(), &[IMAGE]),
        (
            "max_pool2d_stride_rounded_up",
            |v| MaxPool2d { stride: Some([v; 2]), ceil_mode: true, ..Default::default() }.into(),
            &[IMAGE],
        ),
        ("max_pool2d_padding", |v| MaxPool2d { padding: [v; 2], ..Default::default() }.into(), &[IMAGE]),
        ("avg_pool2d_kernel", |v| AvgPool2d { kernel_size: [1, v], ..Default::default() }.into(), &[IMAGE]),
        ("avg_pool2d_stride", |v| AvgPool2d { stride: Some([v, 1]), ..Default::default() }.into(), &[IMAGE]),
        ("avg_pool2d_padding", |v| AvgPool2d { padding: [0, v], ..Default::default() }.into(), &[IMAGE]),
        ("adaptive_max_pool2d", |v| AdaptiveMaxPool2d { output_size: [v, 1] }.into(), &[IMAGE]),
        ("adaptive_avg_pool2d", |v| AdaptiveAvgPool2d { output_size: [1, v] }.into(), &[IMAGE]),
        ("local_response_norm", |v| LocalResponseNorm { size: v, ..Default::default() }.into(), &[IMAGE]),
        ("softmax", |v| Softmax { dim: v }.into(), &[&[3, 4]]),
        ("log_softmax", |v| LogSoftmax { dim: v }.into(), &[&[3, 4]]),
        ("channel_slice_start", |v| ChannelSlice { start: v, channels: 1 }.into(), &[IMAGE]),
        ("channel_slice_channels", |v| ChannelSlice { start: 1, channels: v }.into(), &[IMAGE]),
        ("channel_slice_both", |v| ChannelSlice { start: v, channels: v }.into(), &[IMAGE]),
        ("channel_pad_before", |v| ChannelPad { before: v, after: 1 }.into(), &[IMAGE]),
        ("channel_pad_both", |v| ChannelPad { before: v, after: v }.into(), &[IMAGE]),
        ("reshape", |v| Reshape { shape: vec![v] }.into(), &[IMAGE]),
        ("reshape_to_a_product", |v| Reshape { shape: vec![v, v, 2] }.into(), &[IMAGE]),
        ("max_pool2d_grad", |v| max_pool_grad(vec![1, 2, v, 5]), &[&[1, 2, 2, 2], &[1, 2, 2, 2]]),
        ("avg_pool2d_grad", |v| avg_pool_grad(vec![v, 2, 5, 5]), &[&[1, 2, 2, 2]]),
    ]
}

fn grad_input(input_shape: Vec<usize>) -> Op {
    Conv2dGradInput { conv: Conv2d::default(), input_shape, ..Default::default() }.into()
}

fn grad_weight(weight_shape: Vec<usize>) -> Op {
    Conv2dGradWeight { conv: Conv2d::default(), weight_shape }.into()
}

fn window() -> Window {
    Window::Sliding { kernel_size: [2, 2], stride: [2, 2], padding: [0, 0], ceil_mode: false }
}

fn max_pool_grad(input_shape: Vec<usize>) -> Op {
    MaxPoolGrad { window: window(), input_shape }.into()
}

fn avg_pool_grad(input_shape: Vec<usize>) -> Op {
    AvgPoolGrad { pool: AvgPool { window: window(), count_include_pad: true }, input_shape }.into()
}

pub fn add(suite: &mut Suite) {
    for (name, op, shapes) in settings() {
        suite.add(format!("sizes::{name}::refused"), move || refused(name, op, shapes));
        suite.add_on(CPU_AND_GPU, format!("sizes::{name}::largest"), move |device| {
            largest(name, op, shapes, device)
        });
    }
    suite.add("sizes::values_beyond_32_bits_are_refused", values);
    for family in [Family::Gpu, Family::Software, Family::Cpu] {
        suite.add(format!("sizes::plans_of_the_largest_values::{family:?}"), move || plans(family));
    }
    suite.add_on(CPU_AND_GPU, "sizes::adaptive_pooling_of_long_rows", long_rows);
}

/// Output types of an operation on inputs of these shapes, which are f32, except for the indices of max-pooling's gradient.
fn in_graph(op: Op, shapes: &[&[usize]]) -> striate::Result<Vec<TensorType>> {
    let mut graph = Graph::new();
    let is_indices = |i: usize| i == 1 && matches!(op, Op::MaxPoolGrad(_));
    let inputs = shapes.iter().enumerate().map(|(i, shape)| {
        let ty = if is_indices(i) { TensorType::u32(*shape) } else { TensorType::f32(*shape) };
        graph.input(&format!("input {i}"), ty)
    });
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let outputs = graph.apply(op, &inputs)?;
    Ok(outputs.into_iter().map(|v| graph.value(v).ty.clone()).collect())
}

fn refused(name: &str, op: fn(usize) -> Op, shapes: &[&[usize]]) -> Outcome {
    for size in TOO_LARGE {
        match in_graph(op(size), shapes) {
            Err(Error::Shape { .. }) => {}
            other => return Err(format!("{name} of {size}: expected a shape error, found {other:?}").into()),
        }
    }
    Ok(())
}

/// The largest valid settings give an error on every device, or the results of the definition.
fn largest(name: &str, op: fn(usize) -> Op, shapes: &[&[usize]], device: &Device) -> Outcome {
    for size in [LARGEST, LARGEST - 1, 1 << 30, (1 << 16) + 1] {
        let op = op(size);
        let Ok(outputs) = in_graph(op.clone(), shapes) else { continue };
        // Large outputs would take too long.
        if outputs.iter().any(|ty| ty.len() > 1 << 18) {
            continue;
        }
        let mut rng = Random::new(1);
        let inputs: Vec<Tensor> = shapes.iter().map(|shape| rng.normal(shape)).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let upstream = rng.normal(&outputs[0].shape);
        let both = |device: &Device| -> striate::Result<Vec<Tensor>> {
            let mut all = eager::apply(device, op.clone(), &inputs)?;
            // Indices of maxima have no gradient, nor do gradients.
            all.extend(eager::gradients(device, op.clone(), &inputs, &upstream)?.into_iter().flatten());
            Ok(all)
        };
        let want = both(&REFERENCE).map_err(|e| format!("{name} of {size} by definition: {e}"))?;
        let mut targets = vec![device.target().clone()];
        if matches!(op, Op::Conv2d(_)) {
            let algorithms = [Algorithm::Im2col, Algorithm::Direct];
            targets.extend(algorithms.map(|conv| device.target().clone().with_convolutions(conv)));
            targets.push(Target { family: Family::Gpu, ..device.target().clone() });
        }
        for target in targets {
            let what = format!("{name} of {size} by {:?} on {}", target.algorithms, device.name());
            let got = both(&device.clone().with_target(target)).map_err(|e| format!("{what}: {e}"))?;
            compare_all(&what, &got, &want, 1e-5, 0.0)?;
        }
    }
    Ok(())
}

fn values() -> Outcome {
    let shapes = TOO_LARGE.into_iter().flat_map(|v| [vec![v], vec![1, v], vec![v, v], vec![1 << 20, v, 3]]);
    let products = [vec![1 << 16, 1 << 15], vec![1 << 16, 1 << 16], vec![1 << 32, 1 << 32]];
    for shape in shapes.chain(products) {
        let (mut graph, ty) = (Graph::new(), TensorType::f32(shape.clone()));
        let kind = striate::graph::PersistentKind::Parameter;
        let init = striate::graph::Init::Constant(0.0);
        let input = graph.input("x", ty.clone());
        let parameter = graph.persistent("w", ty, kind, init);
        for found in [input, parameter] {
            let problem = found.err().ok_or(format!("{shape:?} was accepted"))?.to_string();
            if !problem.contains("at most 2147483647") {
                return Err(format!("{shape:?}: {problem}").into());
            }
        }
    }
    // A product of two small values that is too large.
    let mut graph = Graph::new();
    let a = graph.input("a", TensorType::f32([1 << 16, 1]))?;
    let b = graph.input("b", TensorType::f32([1, 1 << 16]))?;
    match graph.apply(Matmul::default(), &[a, b]) {
        Err(Error::Shape { op, problem, .. }) if op == "matmul" && problem.contains("at most") => Ok(()),
        other => Err(format!("expected a shape error of matmul, found {other:?}").into()),
    }
}

/// Planning the largest values succeeds, or fails because of their memory: no arithmetic overflows.
fn plans(family: Family) -> Outcome {
    let all: [usize; 1] = [LARGEST];
    let conv = |stride, padding, dilation| -> Op {
        Conv2d { stride: [stride; 2], padding: [padding; 2], dilation: [dilation; 2], ..Default::default() }
            .into()
    };
    let long = vec![1, 1, 1, LARGEST];
    let many = vec![LARGEST, 1, 1, 1];
    let square = vec![1, 1, 46_340, 46_340];
    let tap = vec![1, 1, 1, 1];
    let pool: Op = MaxPool2d { kernel_size: [1, 2], ..Default::default() }.into();
    let rows: Vec<(Op, Vec<Vec<usize>>)> = vec![
        (Relu.into(), vec![all.to_vec()]),
        (Add.into(), vec![all.to_vec(); 2]),
        (ClipCoefficient { max_norm: 1.0 }.into(), vec![all.to_vec()]),
        (Scale.into(), vec![all.to_vec(), vec![1]]),
        (Softmax::default().into(), vec![vec![1, LARGEST]]),
        (Softmax::default().into(), vec![vec![LARGEST, 1]]),
        (LogSoftmax { dim: 0 }.into(), vec![vec![LARGEST, 1]]),
        (BatchNorm::default().into(), vec![vec![1 << 20, 1, 2047], vec![1], vec![1]]),
        (BatchNorm::default().into(), vec![vec![2, 1 << 29], vec![1 << 29], vec![1 << 29]]),
        (LocalResponseNorm::default().into(), vec![vec![1, LARGEST]]),
        (Matmul::default().into(), vec![vec![1 << 30, 1], vec![1, 1]]),
        (Matmul::default().into(), vec![vec![1, 1 << 30], vec![1 << 30, 1]]),
        (Matmul { transpose_a: true, transpose_b: true }.into(), vec![vec![1 << 30, 1], vec![1, 1 << 30]]),
        (Matmul::default().into(), vec![vec![1 << 29, 1, 1], vec![1 << 29, 1, 1]]),
        (conv(1, 0, 1), vec![long.clone(), tap.clone()]),
        (conv(2, 0, 1), vec![many.clone(), tap.clone()]),
        (conv(1, 1, 1), vec![square.clone(), vec![1, 1, 3, 3]]),
        (conv(2, 1, 1), vec![square.clone(), vec![1, 1, 3, 3]]),
        (conv(40_000, 0, 1), vec![square.clone(), tap.clone()]),
        (conv(1 << 29, 1 << 29, 1), vec![vec![1, 1, 9, 9], tap.clone()]),
        (conv(1, 0, 20_000), vec![square.clone(), vec![1, 1, 2, 2]]),
        (conv(1, 0, 1), vec![square.clone(), vec![1, 1, 46_000, 46_000]]),
        (conv(1, 0, 1), vec![vec![1, 1 << 15, 4, 4], vec![1 << 15, 1 << 15, 1, 1]]),
        (pool.clone(), vec![vec![1, 1, 500, 1 << 22]]),
        (pool, vec![vec![1 << 29, 1, 1, 2]]),
        (AdaptiveAvgPool2d { output_size: [1, 1000] }.into(), vec![vec![1, 1, 1, 1 << 22]]),
        (ChannelPad { before: 1, after: 1 }.into(), vec![vec![1, LARGEST - 2]]),
        (ChannelSlice { start: 1, channels: LARGEST - 1 }.into(), vec![vec![1, LARGEST]]),
        (Concat.into(), vec![vec![1, 1 << 30], vec![1, (1 << 30) - 1]]),
    ];
    let lanes = if family == Family::Software { 8 } else { 0 };
    for huge in [false, true] {
        let limits = Target { subgroup: lanes, ..Target::baseline(family) };
        let limits = match huge {
            true => Target {
                max_binding: 1 << 40,
                max_buffer: 1 << 40,
                scratch: 1 << 40,
                max_workgroups: u32::MAX,
                ..limits
            },
            false => limits,
        };
        for (op, shapes) in &rows {
            for backward in [false, true] {
                match plan(op, shapes, backward, &limits) {
                    Ok(_) | Err(Error::TooLarge(_)) => {}
                    Err(e) => return Err(format!("{op:?} of {shapes:?}: {e}").into()),
                }
            }
        }
    }
    Ok(())
}

fn plan(op: &Op, shapes: &[Vec<usize>], backward: bool, target: &Target) -> striate::Result<Plan> {
    let mut graph = Graph::new();
    let inputs = shapes.iter().enumerate();
    let inputs: Vec<ValueId> = inputs
        .map(|(i, shape)| graph.input(&format!("input {i}"), TensorType::f32(shape.clone())))
        .collect::<Result<_, _>>()?;
    let mut outputs = graph.apply(op.clone(), &inputs)?;
    let differentiable = !matches!(op, Op::ClipCoefficient(_) | Op::Scale(_));
    if backward && differentiable {
        let upstream = graph.input("upstream", graph.value(outputs[0]).ty.clone())?;
        outputs = graph.gradients(&[(outputs[0], upstream)], &inputs)?.into_iter().flatten().collect();
    }
    for (i, value) in outputs.into_iter().enumerate() {
        graph.output(&format!("output {i}"), value);
    }
    Plan::new(&graph, target)
}

/// The product of window and row just fits into 32 bits, or exceeds them by one.
fn long_rows(device: &Device) -> Outcome {
    let (side, most) = (100_003, 42_946);
    for outs in [7, 40_000, most] {
        for op in [
            Op::from(AdaptiveAvgPool2d { output_size: [1, outs] }),
            AdaptiveMaxPool2d { output_size: [1, outs] }.into(),
        ] {
            let mut rng = Random::new(outs as u64);
            let (x, upstream) = (rng.normal(&[1, 1, 1, side]), rng.normal(&[1, 1, 1, outs]));
            let both = |device: &Device| -> striate::Result<Vec<Tensor>> {
                let mut all = eager::apply(device, op.clone(), &[&x])?;
                all.extend(eager::gradients(device, op.clone(), &[&x], &upstream)?.into_iter().flatten());
                Ok(all)
            };
            let (got, want) = (both(device)?, both(&REFERENCE)?);
            let what = format!("{} of {side} pixels to {outs}, seed {outs}", op.name());
            compare_all(&what, &got, &want, 1e-5, 0.0)?;
        }
    }
    match in_graph(AdaptiveAvgPool2d { output_size: [1, most + 1] }.into(), &[&[1, 1, 1, side]]) {
        Err(Error::Shape { problem, .. }) if problem.contains("below 2^32") => Ok(()),
        other => Err(format!("expected a refusal of 2^32, found {other:?}").into()),
    }
}
