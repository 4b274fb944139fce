//! At least one case for each differentiable operation.

use crate::case::*;
use crate::common::*;
use striate::Tensor;
use striate::op::*;

pub fn operations() -> Vec<Case> {
    let conv = |name: &str, x: [usize; 4], w: [usize; 4], op: Conv2d| {
        mid(name, op, |rng| vec![rng.normal(&x), rng.normal(&w), rng.normal(&w[..1])])
    };
    let plain = Conv2d::default();
    let product = |name: &str, a: &[usize], b: &[usize], bias: usize, op: Matmul| {
        mid(name, op, |rng| {
            let mut inputs = vec![rng.normal(a), rng.normal(b)];
            if bias > 0 {
                inputs.push(rng.normal(&[bias]));
            }
            inputs
        })
    };
    // Class weights are constants; two rows are ignored.
    let counted = |name: &str, reduction: Reduction| {
        let loss = CrossEntropy { label_smoothing: 0.1, ignore_index: Some(99), reduction };
        mid(&format!("cross_entropy::counted_{name}"), loss, |rng| {
            let mut labels = rng.labels(6, 10).as_u32().to_vec();
            (labels[1], labels[4]) = (99, 99);
            let labels = Tensor::u32([6], labels).unwrap();
            vec![rng.normal(&[6, 10]), labels, rng.uniform(&[10], 0.5, 2.0)]
        })
        .by(&[0])
    };
    let flags = |transpose_a, transpose_b| Matmul { transpose_a, transpose_b };
    let sliding =
        |kernel_size, stride, padding, ceil_mode| Window::Sliding { kernel_size, stride, padding, ceil_mode };
    let windows = [
        ("plain", sliding([2, 2], [2, 2], [0, 0], false)),
        ("overlapping", sliding([3, 2], [2, 1], [1, 1], false)),
        ("ceil", sliding([3, 3], [2, 2], [0, 0], true)),
        ("sparse", sliding([2, 1], [3, 2], [0, 0], false)),
        ("adaptive", Window::Adaptive { output_size: [3, 2] }),
        ("global", Window::Adaptive { output_size: [1, 1] }),
    ];
    let response = |name: &str, op: LocalResponseNorm| {
        mid(&format!("local_response_norm::{name}"), op, |rng| vec![rng.normal(&[2, 7, 3, 4])])
    };
    let mut cases = vec![
        conv("conv2d::padded", [2, 3, 6, 5], [4, 3, 3, 3], Conv2d { padding: [1, 1], ..plain }),
        conv("conv2d::strided", [2, 2, 9, 8], [3, 2, 3, 2], Conv2d { stride: [2, 3], ..plain }),
        conv("conv2d::dilated", [1, 2, 9, 7], [3, 2, 3, 3], Conv2d { dilation: [3, 2], ..plain }),
        conv("conv2d::pointwise", [3, 5, 4, 3], [2, 5, 1, 1], plain),
        conv("conv2d::grouped", [2, 6, 5, 5], [4, 3, 3, 3], Conv2d { groups: 2, padding: [1, 0], ..plain }),
        conv("conv2d::depthwise", [2, 4, 6, 6], [8, 1, 3, 3], Conv2d { groups: 4, stride: [2, 2], ..plain }),
        conv("conv2d::many_images", [35, 2, 4, 4], [3, 2, 3, 3], Conv2d { padding: [1, 1], ..plain }),
        product("matmul::nn", &[5, 7], &[7, 3], 3, flags(false, false)),
        product("matmul::tn", &[7, 5], &[7, 3], 3, flags(true, false)),
        product("matmul::nt", &[5, 7], &[3, 7], 3, flags(false, true)),
        product("matmul::tt", &[7, 5], &[3, 7], 0, flags(true, true)),
        product("matmul::batched_nn", &[3, 5, 4], &[3, 4, 6], 6, flags(false, false)),
        product("matmul::batched_tn", &[3, 4, 5], &[3, 4, 6], 0, flags(true, false)),
        product("matmul::batched_nt", &[3, 5, 4], &[3, 6, 4], 6, flags(false, true)),
        product("matmul::batched_tt", &[3, 4, 5], &[3, 6, 4], 0, flags(true, true)),
        mid("add", Add, |rng| vec![rng.normal(&[3, 5]), rng.normal(&[3, 5])]),
        mid("mul", Mul, |rng| vec![rng.normal(&[3, 5]), rng.normal(&[3, 5])]),
        mid("relu", Relu, |rng| vec![rng.spaced(&[2, 3, 5, 7], 0.2)]),
        mid("reshape", Reshape { shape: vec![15, 2] }, |rng| vec![rng.normal(&[2, 3, 5])]),
        mid("concat", Concat, |rng| [2, 1, 4].map(|c| rng.normal(&[3, c, 2, 5])).to_vec()),
        mid("channel_slice", ChannelSlice { start: 1, channels: 3 }, |rng| vec![rng.normal(&[2, 5, 3, 4])]),
        mid("channel_pad", ChannelPad { before: 2, after: 1 }, |rng| vec![rng.normal(&[2, 3, 4, 5])]),
        response("odd", LocalResponseNorm { alpha: 1.0, ..Default::default() }),
        response("even", LocalResponseNorm { size: 4, alpha: 0.5, beta: 0.6, k: 2.0 }),
        mid("scale", Scale, |rng| vec![rng.normal(&[70]), rng.normal(&[1])]).by(&[0]),
        mid("dropout", Dropout { p: 0.4, stream: 3 }, |rng| {
            vec![rng.normal(&[5, 60]), Tensor::u32([2], vec![7, 1234]).unwrap()]
        })
        .by(&[0]),
        mid("cross_entropy::plain", CrossEntropy::default(), |rng| {
            vec![rng.normal(&[6, 10]), rng.labels(6, 10)]
        })
        .by(&[0]),
        mid("cross_entropy::smoothed", CrossEntropy { label_smoothing: 0.2, ..Default::default() }, |rng| {
            vec![rng.normal(&[6, 10]), rng.labels(6, 10)]
        })
        .by(&[0]),
        counted("mean", Reduction::Mean),
        counted("sum", Reduction::Sum),
        counted("none", Reduction::None),
    ];
    for (name, window) in windows {
        let spaced = |rng: &mut Random| vec![rng.spaced(&[2, 3, 7, 9], 0.2)];
        cases.push(mid(&format!("max_pool2d::{name}"), MaxPool { window }, spaced));
        for (suffix, count_include_pad) in [("", false), ("_pad_counts", true)] {
            let op = AvgPool { window, count_include_pad };
            cases
                .push(mid(&format!("avg_pool2d::{name}{suffix}"), op, |rng| vec![rng.normal(&[2, 3, 7, 9])]));
        }
    }
    for (name, shape) in [
        ("images", vec![4, 3, 5, 3]),
        ("rows", vec![9, 5]),
        ("slices", vec![70, 2, 8, 8]),
        ("batch1", vec![1, 3, 4, 4]),
    ] {
        let c = shape[1];
        let inputs =
            |rng: &mut Random| vec![rng.normal(&shape), rng.uniform(&[c], 0.5, 1.5), rng.normal(&[c])];
        cases.push(mid(&format!("batch_norm::{name}"), BatchNorm::default(), inputs));
        let inputs = |rng: &mut Random| {
            let [weight, bias, mean] = [0; 3].map(|_| rng.normal(&[c]));
            vec![rng.normal(&shape), weight, bias, mean, rng.uniform(&[c], 0.5, 2.0)]
        };
        let op = BatchNormEval { eps: 1e-3, ..Default::default() };
        cases.push(mid(&format!("batch_norm_eval::{name}"), op, inputs).by(&[0, 1, 2]));
    }
    for (name, shape, dim) in [
        ("rows", vec![5, 10], 1),
        ("images", vec![2, 5, 3, 4], 1),
        ("first", vec![6, 4], 0),
        ("last", vec![2, 3, 7], 2),
    ] {
        cases.push(mid(&format!("softmax::{name}"), Softmax { dim }, |rng| vec![rng.normal(&shape)]));
        cases.push(mid(&format!("log_softmax::{name}"), LogSoftmax { dim }, |rng| vec![rng.normal(&shape)]));
    }
    cases
}
