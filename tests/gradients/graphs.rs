//! Graphs with branches that join again.

use crate::case::*;
use striate::Tensor;
use striate::op::*;

pub fn graphs() -> Vec<Case> {
    let same3x3 = Conv2d { padding: [1, 1], ..Default::default() };
    let max3x3 = MaxPool2d { kernel_size: [3, 3], stride: Some([1, 1]), padding: [1, 1], ceil_mode: false };
    vec![
        graph(
            "graph::residual",
            |rng| vec![rng.spaced(&[2, 3, 5, 5], 0.1), rng.normal(&[3, 3, 3, 3]), rng.normal(&[3])],
            move |graph, v| {
                let h = one(graph, Relu, &v[..1])?;
                let h = one(graph, same3x3, &[h, v[1], v[2]])?;
                one(graph, Add, &[h, v[0]])
            },
        ),
        graph(
            "graph::a_value_used_three_times",
            |rng| vec![rng.normal(&[6, 6]), rng.normal(&[6, 6])],
            |graph, v| {
                let h = one(graph, Matmul::default(), &[v[0], v[1]])?;
                let square = one(graph, Matmul::default(), &[h, h])?;
                let soft = one(graph, Softmax::default(), &[h])?;
                one(graph, Add, &[square, soft])
            },
        ),
        graph(
            "graph::a_value_added_to_itself",
            |rng| vec![rng.normal(&[70])],
            |graph, v| {
                let twice = one(graph, Add, &[v[0], v[0]])?;
                let thrice = one(graph, Add, &[twice, v[0]])?;
                one(graph, Add, &[thrice, twice])
            },
        ),
        graph(
            "graph::a_branch_concatenated_with_itself",
            |rng| vec![rng.normal(&[2, 3, 4, 4]), rng.normal(&[2, 3, 1, 1])],
            |graph, v| {
                let h = one(graph, Conv2d::default(), v)?;
                let soft = one(graph, Softmax::default(), &[h])?;
                one(graph, Concat, &[h, soft, h])
            },
        ),
        graph(
            "graph::inception",
            |rng| {
                vec![
                    rng.spaced(&[2, 3, 6, 6], 0.2),
                    rng.normal(&[2, 3, 1, 1]),
                    rng.normal(&[4, 3, 3, 3]),
                    rng.normal(&[1, 3, 1, 1]),
                ]
            },
            move |graph, v| {
                let narrow = one(graph, Conv2d::default(), &[v[0], v[1]])?;
                let wide = one(graph, same3x3, &[v[0], v[2]])?;
                let pooled = one(graph, max3x3, &v[..1])?;
                let pooled = one(graph, Conv2d::default(), &[pooled, v[3]])?;
                one(graph, Concat, &[narrow, wide, pooled])
            },
        ),
        graph(
            "graph::classifier",
            |rng| {
                let scale = |t: Tensor| {
                    let shape = t.shape().to_vec();
                    Tensor::f32(shape, t.into_f32().into_iter().map(|v| 0.3 * v).collect()).unwrap()
                };
                let mut inputs = vec![rng.normal(&[6, 2, 6, 6]), rng.labels(6, 5)];
                inputs.extend([&[4, 2, 3, 3][..], &[4, 4, 3, 3], &[5, 4]].map(|s| scale(rng.normal(s))));
                inputs.extend([rng.uniform(&[4], 0.5, 1.5), rng.normal(&[4])]);
                inputs
            },
            move |graph, v| {
                let [x, labels, w1, w2, fc, gamma, beta] = v[..] else { unreachable!("seven inputs") };
                let h = one(graph, same3x3, &[x, w1])?;
                let h = one(graph, BatchNorm::default(), &[h, gamma, beta])?;
                let branch = one(graph, same3x3, &[h, w2])?;
                let branch = one(graph, Softmax::default(), &[branch])?;
                let h = one(graph, Add, &[h, branch])?;
                let h = one(graph, AdaptiveAvgPool2d { output_size: [1, 1] }, &[h])?;
                let h = one(graph, Reshape { shape: vec![6, 4] }, &[h])?;
                let logits = one(graph, Matmul { transpose_a: false, transpose_b: true }, &[h, fc])?;
                one(graph, CrossEntropy::default(), &[logits, labels])
            },
        ),
    ]
}
