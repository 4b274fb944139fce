//! Rules of differentiation: which values have gradients, and which operations have none.

use crate::case::*;
use crate::common::*;
use std::collections::BTreeSet;
use striate::graph::{Graph, ValueId};
use striate::op::*;
use striate::{Device, Error, Result, TensorType, eager};

/// Adds the tests. `covered` are the operations whose gradients are compared with differences.
pub fn rules(suite: &mut Suite, covered: BTreeSet<&'static str>) {
    suite.add("rules::gradient_of_an_intermediate_value", || {
        let device = Device::cpu_reference();
        let mut rng = Random::new(11);
        let [x, a, b] = [0; 3].map(|_| rng.normal(&[5, 5]));
        let upstream = rng.normal(&[5, 5]);
        let in_between = eager::evaluate(&device, &[&x, &a, &b, &upstream], |graph, v| {
            let h = one(graph, Matmul::default(), &[v[0], v[1]])?;
            let y = one(graph, Softmax::default(), &[h])?;
            let y = one(graph, Matmul::default(), &[y, v[2]])?;
            let wrt = graph.gradients(&[(y, v[3])], &[h, v[0]])?;
            Ok(vec![wrt[0].unwrap(), wrt[1].unwrap(), h])
        })?;
        // The same with the value as an input; the chain rule gives grad_x = grad_h a^T.
        let separate = eager::evaluate(&device, &[&in_between[2], &b, &upstream], |graph, v| {
            let y = one(graph, Softmax::default(), &v[..1])?;
            let y = one(graph, Matmul::default(), &[y, v[1]])?;
            Ok(vec![graph.gradients(&[(y, v[2])], &v[..1])?[0].unwrap()])
        })?;
        compare("intermediate value, seed 11", &in_between[0], &separate[0], 0.0, 0.0)?;
        let back =
            eager::matmul(&device, &separate[0], &a, None, Matmul { transpose_a: false, transpose_b: true });
        compare("input, seed 11", &in_between[1], &back?, 0.0, 0.0)
    });
    suite.add("rules::two_upstream_gradients_add_up", || {
        let device = Device::cpu_reference();
        let mut rng = Random::new(12);
        let [x, u, v] = [0; 3].map(|_| rng.normal(&[3, 4]));
        // y = softmax(x) and z = y + x each have an upstream gradient; that of z reaches y as well.
        let both = eager::evaluate(&device, &[&x, &u, &v], |graph, t| {
            let y = one(graph, Softmax::default(), &t[..1])?;
            let z = one(graph, Add, &[y, t[0]])?;
            Ok(vec![graph.gradients(&[(y, t[1]), (z, t[2])], &t[..1])?[0].unwrap()])
        })?;
        let sum = eager::add(&device, &u, &v)?;
        let through_y = eager::gradients(&device, Softmax::default(), &[&x], &sum)?;
        let want = eager::add(&device, through_y[0].as_ref().unwrap(), &v)?;
        compare("two upstream gradients, seed 12", &both[0], &want, tolerance(4), 0.0)
    });
    suite.add("rules::values_without_influence_have_no_gradient", || {
        let mut graph = Graph::new();
        let ty = TensorType::f32([2, 3]);
        let [x, other, upstream] =
            ["x", "other", "upstream"].map(|n| graph.input(n, ty.clone()).expect("new names"));
        let y = one(&mut graph, Relu, &[x])?;
        let aside = one(&mut graph, Relu, &[other])?;
        let gradients = graph.gradients(&[(y, upstream)], &[x, other, aside, y])?;
        let some: Vec<bool> = gradients.iter().map(Option::is_some).collect();
        if some != [true, false, false, true] || gradients[3] != Some(upstream) {
            return Err(format!("gradients of x, another input, its relu, and y: {gradients:?}").into());
        }
        Ok(())
    });
    suite.add("rules::a_wrong_upstream_shape_is_an_error", || {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2, 3]))?;
        let upstream = graph.input("upstream", TensorType::f32([3, 2]))?;
        let y = one(&mut graph, Relu, &[x])?;
        match graph.gradients(&[(y, upstream)], &[x]) {
            Err(Error::Shape { problem, .. }) if problem.contains("[2, 3]") && problem.contains("[3, 2]") => {
                Ok(())
            }
            other => Err(format!("expected a shape error with both shapes, found {other:?}").into()),
        }
    });
    let f32 = |shape: &[usize]| TensorType::f32(shape);
    let without: Vec<(Op, Vec<TensorType>)> = vec![
        (WeightedSum { alpha: 0.9, beta: 0.1 }.into(), vec![f32(&[4]), f32(&[4])]),
        (TopK::default().into(), vec![f32(&[2, 3]), TensorType::u32([2])]),
        (NonFinite.into(), vec![f32(&[4]), f32(&[2, 3])]),
        (AllReduce.into(), vec![f32(&[4])]),
        (Moments.into(), vec![f32(&[2, 3])]),
        (ChannelSum.into(), vec![f32(&[2, 3])]),
        (ClipCoefficient { max_norm: 1.0 }.into(), vec![f32(&[1])]),
        (ReluGrad.into(), vec![f32(&[4]), f32(&[4])]),
        (StabilizedDiv { eps: 0.1 }.into(), vec![f32(&[4]), f32(&[4])]),
        (Scale.into(), vec![f32(&[4]), f32(&[1])]),
        (Sgd::default().into(), vec![f32(&[4]), f32(&[4]), f32(&[4]), f32(&[3])]),
        (Adam::default().into(), vec![f32(&[4]), f32(&[4]), f32(&[4]), f32(&[4]), f32(&[3])]),
        (FoldBatchNorm { eps: 1e-5 }.into(), [&[2, 1, 3, 3][..], &[2], &[2], &[2], &[2]].map(f32).to_vec()),
    ];
    // Gradients are not differentiable.
    let (image, labels) = (vec![1, 1, 4, 4], TensorType::u32([2]));
    let window = Window::Adaptive { output_size: [1, 1] };
    let pool = AvgPool { window, count_include_pad: false };
    let conv = Conv2d::default();
    let of_norm = || [&[2, 3][..], &[3], &[3], &[2, 3], &[3], &[3]].map(f32).to_vec();
    let pooled = TensorType::u32([1, 1, 1, 1]);
    let gradients: Vec<(Op, Vec<TensorType>)> = vec![
        (AvgPoolGrad { pool, input_shape: image.clone() }.into(), vec![f32(&[1, 1, 1, 1])]),
        (MaxPoolGrad { window, input_shape: image.clone() }.into(), vec![f32(&[1, 1, 1, 1]), pooled]),
        (BatchNormGrad { eps: 1e-5, relu: false }.into(), of_norm()),
        (BatchNormEvalGrad { eps: 1e-5 }.into(), of_norm()),
        (
            Conv2dGradInput { conv, input_shape: image.clone(), ..Default::default() }.into(),
            vec![f32(&image), f32(&[1, 1, 1, 1])],
        ),
        (Conv2dGradWeight { conv, weight_shape: vec![1; 4] }.into(), vec![f32(&image), f32(&image)]),
        (CrossEntropyGrad::default().into(), vec![f32(&[2, 3]), labels, f32(&[1])]),
        (LocalResponseNormGrad { norm: LocalResponseNorm::default() }.into(), vec![f32(&image); 4]),
        (SoftmaxGrad { dim: 1 }.into(), vec![f32(&[2, 3]); 2]),
        (LogSoftmaxGrad { dim: 1 }.into(), vec![f32(&[2, 3]); 2]),
    ];
    let without: Vec<(Op, Vec<TensorType>)> = without.into_iter().chain(gradients).collect();
    // Only the factor of `Scale` has no gradient.
    let exempt = without.iter().map(|(op, _)| op.variant()).filter(|op| *op != "Scale");
    // That of a synchronized batch norm needs several ranks: tests/distributed compares it.
    let exempt: BTreeSet<&str> = exempt.chain(["SyncBatchNorm"]).collect();
    suite.add("rules::every_operation_is_compared_or_has_no_gradient", move || {
        let missing: Vec<&str> =
            Op::VARIANTS.iter().copied().filter(|op| !covered.contains(op) && !exempt.contains(op)).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => {
                Err(format!("neither compared nor known to have no gradient: {}", missing.join(", ")).into())
            }
        }
    });
    for (op, types) in without {
        suite.add(format!("rules::{}_reports_that_it_has_no_gradient", op.name()), move || {
            let mut graph = Graph::new();
            let inputs: Vec<ValueId> = types
                .iter()
                .enumerate()
                .map(|(i, ty)| graph.input(&format!("input {i}"), ty.clone()))
                .collect::<Result<_>>()?;
            let name = op.name();
            let y = graph.scoped("layer1.0", |graph| one(graph, op, &inputs))?;
            let upstream = graph.input("upstream", graph.value(y).ty.clone())?;
            match graph.gradients(&[(y, upstream)], &inputs) {
                Err(Error::Shape { op, scope, .. }) if op == name && scope == "layer1.0" => Ok(()),
                other => {
                    Err(format!("expected an error that names {name} in layer1.0, found {other:?}").into())
                }
            }
        });
    }
    suite.add("rules::batch_norm_statistics_pass_no_gradient", move || {
        let mut graph = Graph::new();
        let x = graph.input("x", f32(&[4, 3]))?;
        let [weight, bias, upstream] =
            ["weight", "bias", "upstream"].map(|n| graph.input(n, TensorType::f32([3])).expect("new names"));
        let outputs = graph.apply(BatchNorm::default(), &[x, weight, bias])?;
        match graph.gradients(&[(outputs[1], upstream)], &[x]) {
            Err(Error::Shape { op, .. }) if op == "batch_norm" => Ok(()),
            other => Err(format!("expected an error that names batch_norm, found {other:?}").into()),
        }
    });
}
