//! Batch norm, softmax, losses and metrics.

use super::case::{Case, Lowered};
use crate::Tensor;
use crate::op::*;
use crate::selftest::compare::tolerance;
use crate::selftest::random::{Random, floats};

pub fn cases() -> Vec<Case> {
    let mut cases = batch_norms();
    cases.extend(softmaxes());
    cases.extend(losses());
    cases.extend(response_norms());
    cases
}

/// Windows of odd and even sizes, up to wider than the channels.
fn response_norms() -> Vec<Case> {
    let alexnet = LocalResponseNorm { alpha: 5e-4, k: 2.0, ..Default::default() };
    let strong = LocalResponseNorm { alpha: 1.0, ..Default::default() };
    let rows: [(&str, Vec<usize>, LocalResponseNorm); 8] = [
        ("alexnet", vec![2, 96, 5, 7], alexnet),
        ("googlenet", vec![1, 64, 14, 14], LocalResponseNorm::default()),
        ("strong", vec![3, 17, 5, 3], strong),
        ("even_size", vec![2, 9, 4, 4], LocalResponseNorm { size: 4, ..strong }),
        ("own_channel_alone", vec![2, 5, 3, 3], LocalResponseNorm { size: 1, ..strong }),
        ("wider_than_the_channels", vec![2, 3, 8, 8], LocalResponseNorm { size: 9, ..strong }),
        ("another_power", vec![2, 7, 6, 5], LocalResponseNorm { beta: 0.6, k: 1.5, ..strong }),
        ("rows", vec![65, 10], strong),
    ];
    rows.map(|(name, shape, op)| {
        Case::new("local_response_norm", name, op, |rng| vec![rng.normal(&shape)]).terms(2 * op.size)
    })
    .into()
}

fn batch_norms() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, shape) in [("vec4", [5, 3, 4, 6]), ("odd", [3, 7, 5, 3]), ("wide", [2, 5, 16, 32])] {
        epilogues(name, &shape, &mut cases);
    }
    folds("prime", &[7, 5, 3, 3], &mut cases);
    folds("pointwise", &[65, 2, 1, 1], &mut cases);
    let mut both = |name: &str, shape: &[usize]| batch_norm_both(name, shape, &mut cases);
    both("rows", &[8, 5]);
    both("two_values_a_channel", &[2, 3, 1, 1]);
    both("batch1", &[1, 3, 2, 2]);
    both("three_axes", &[3, 4, 6]);
    both("prime", &[5, 7, 11, 13]);
    both("thousand_channels", &[2, 1000, 2, 1]);
    both("one_channel", &[3, 1, 17, 19]);
    both("two_slices", &[70, 3, 8, 8]);
    both("slices_of_large_images", &[7, 2, 40, 25]);
    both("ten_slices_of_single_pixels", &[600, 3, 1, 1]);
    for pixels in [63, 64, 65, 127, 257] {
        both(&format!("pixels_{pixels}"), &[3, 2, 1, pixels]);
    }
    for channels in [63, 64, 65, 255, 256, 257] {
        both(&format!("channels_{channels}"), &[3, channels, 2, 1]);
    }
    // f32 represents a mean of 1e4 only to 5e-4, which shifts the normalized values; two roundings may differ by a few times that.
    // The textbook formula E[x^2] - E[x]^2 would be off by 100 %.
    for (name, shape) in [("mean_1e4", [16, 3, 9, 9]), ("mean_1e4_slices", [80, 2, 8, 8])] {
        cases.push(
            Case::new("batch_norm", name, BatchNorm::default(), |rng| {
                let x = rng.normal(&shape).into_f32().into_iter().map(|v| v + 1e4).collect();
                vec![floats(shape, x), rng.normal(&[shape[1]]), rng.normal(&[shape[1]])]
            })
            .tolerance(1e-3),
        );
    }
    cases.into_iter().map(|case| case.lowered(Lowered::Families)).collect()
}

/// Cases for training and evaluation.
fn batch_norm_both(name: &str, shape: &[usize], cases: &mut Vec<Case>) {
    let (channels, terms) = (shape[1], shape.iter().product::<usize>() / shape[1]);
    cases.push(
        Case::new("batch_norm", name, BatchNorm::default(), |rng| {
            vec![rng.normal(shape), rng.uniform(&[channels], 0.5, 2.0), rng.normal(&[channels])]
        })
        .terms(terms)
        // The gradient may be small compared to the upstream gradient, because most of it cancels out.
        .floor(1.0),
    );
    cases.push(
        Case::new("batch_norm_eval", name, BatchNormEval { eps: 1e-3, ..Default::default() }, |rng| {
            let weight_bias_mean = [0; 3].map(|_| rng.normal(&[channels]));
            let mut inputs = vec![rng.normal(shape)];
            inputs.extend(weight_bias_mean);
            inputs.push(rng.uniform(&[channels], 0.1, 3.0));
            inputs
        })
        .terms(terms),
    );
}

/// Batch norm folded into a convolution's weight, with and without a bias.
fn folds(name: &str, weight: &[usize], cases: &mut Vec<Case>) {
    for bias in [false, true] {
        let name = format!("{name}{}", if bias { "_bias" } else { "" });
        let per_channel = [weight[0]];
        let case = Case::new("fold_batch_norm", name, FoldBatchNorm { eps: 1e-5 }, |rng| {
            let mut inputs = vec![rng.normal(weight)];
            inputs.extend([0; 3].map(|_| rng.normal(&per_channel)));
            inputs.push(rng.uniform(&per_channel, 0.1, 3.0));
            inputs.extend(bias.then(|| rng.normal(&per_channel)));
            inputs
        });
        cases.push(case.terms(3).forward_only());
    }
}

/// Operations that are fused into a batch norm, and its gradient with that of ReLU.
fn epilogues(name: &str, shape: &[usize], cases: &mut Vec<Case>) {
    let (channels, terms) = (shape[1], shape.iter().product::<usize>() / shape[1]);
    for epilogue in [Epilogue::Relu, Epilogue::AddRelu] {
        let inputs = |statistics: bool| {
            move |rng: &mut Random| {
                let mut inputs = vec![rng.normal(shape), rng.normal(&[channels]), rng.normal(&[channels])];
                if statistics {
                    inputs.extend([rng.normal(&[channels]), rng.uniform(&[channels], 0.1, 3.0)]);
                }
                if epilogue == Epilogue::AddRelu {
                    inputs.push(rng.normal(shape));
                }
                inputs
            }
        };
        let name = format!("{name}_{epilogue:?}");
        let training = BatchNorm { epilogue, ..Default::default() };
        let evaluation = BatchNormEval { epilogue, ..Default::default() };
        let training = Case::new("batch_norm", &name, training, inputs(false));
        let evaluation = Case::new("batch_norm_eval", &name, evaluation, inputs(true));
        cases.extend([training, evaluation].map(|c| c.terms(terms).floor(1.0).forward_only()));
    }
    let grad = Case::new("batch_norm_grad", name, BatchNormGrad { eps: 1e-5, relu: true }, |rng| {
        let [mean, weight, bias] = [0; 3].map(|_| rng.normal(&[channels]));
        vec![rng.normal(shape), mean, rng.uniform(&[channels], 0.5, 2.0), rng.normal(shape), weight, bias]
    });
    cases.push(grad.terms(terms).floor(1.0).forward_only());
}

fn softmaxes() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut both = |name: &str, shape: &[usize], dim: usize, input: &dyn Fn(&mut Random) -> Tensor| {
        cases.push(Case::new("softmax", name, Softmax { dim }, |rng| vec![input(rng)]).terms(shape[dim]));
        // The gradient sums all upstream gradients times a probability: many terms for a small result.
        cases.push(
            Case::new("log_softmax", name, LogSoftmax { dim }, |rng| vec![input(rng)]).terms(4 * shape[dim]),
        );
    };
    for (name, shape, dim) in [
        ("one_class", vec![3, 1], 1),
        ("rows", vec![5, 10], 1),
        ("batch1", vec![1, 7], 1),
        ("thousand_classes", vec![3, 1000], 1),
        ("first_axis", vec![7, 5], 0),
        ("last_of_three", vec![3, 5, 11], 2),
        ("channels_of_images", vec![2, 13, 5, 7], 1),
        ("one_axis", vec![257], 0),
        ("lines_63", vec![63, 9], 1),
        ("lines_64", vec![64, 9], 1),
        ("lines_65", vec![65, 9], 1),
    ] {
        both(name, &shape, dim, &|rng| rng.normal(&shape));
    }
    both("logits_of_1e4", &[6, 10], 1, &|rng| huge(rng, &[6, 10]));
    both("equal_logits_of_1e4", &[2, 10], 1, &|_| floats([2, 10], [vec![1e4; 10], vec![-1e4; 10]].concat()));
    cases
}

/// Logits from -1e4 to 1e4, with both extremes in each row.
fn huge(rng: &mut Random, shape: &[usize]) -> Tensor {
    let mut x = rng.uniform(shape, -1e4, 1e4).into_f32();
    let classes = shape[shape.len() - 1];
    for row in x.chunks_mut(classes) {
        let at = rng.below(classes);
        (row[at], row[(at + 1) % classes]) = (1e4, -1e4);
    }
    floats(shape, x)
}

fn losses() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, rows, classes, label_smoothing) in [
        ("one_class", 3, 1, 0.0),
        ("batch1", 1, 10, 0.0),
        ("rows", 8, 10, 0.0),
        ("thousand_classes", 5, 1000, 0.0),
        ("smoothed", 8, 10, 0.1),
        ("smoothed_thousand", 5, 1000, 0.1),
        ("smoothed_to_uniform", 8, 10, 1.0),
        ("rows_63", 63, 7, 0.0),
        ("rows_64", 64, 7, 0.1),
        ("rows_65", 65, 7, 0.0),
        ("rows_4099", 4099, 3, 0.0),
    ] {
        let op = CrossEntropy { label_smoothing, ..Default::default() };
        let inputs = |rng: &mut Random| vec![rng.normal(&[rows, classes]), rng.labels(rows, classes)];
        // With one class the gradient is a probability minus 1, which is 0.
        let floor = if classes == 1 { 1.0 } else { 0.0 };
        cases.push(Case::new("cross_entropy", name, op, inputs).terms(rows + classes).floor(floor));
    }
    for label_smoothing in [0.0, 0.1] {
        let op = CrossEntropy { label_smoothing, ..Default::default() };
        let name = format!("logits_of_1e4{}", if label_smoothing > 0.0 { "_smoothed" } else { "" });
        cases.push(
            Case::new("cross_entropy", name, op, |rng| vec![huge(rng, &[9, 10]), rng.labels(9, 10)])
                .tolerance(tolerance(20)),
        );
    }
    for (name, rows, classes, label_smoothing, weighted, ignored) in [
        ("weights", 65, 10, 0.0, true, false),
        ("weights_smoothed", 8, 1000, 0.1, true, false),
        ("ignored", 64, 10, 0.0, false, true),
        ("ignored_smoothed", 63, 7, 0.1, false, true),
        ("both", 1000, 3, 0.2, true, true),
    ] {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            let ignore_index = ignored.then_some(2);
            let op = CrossEntropy { label_smoothing, ignore_index, reduction };
            let inputs = |rng: &mut Random| {
                let mut inputs = vec![rng.normal(&[rows, classes]), rng.labels(rows, classes)];
                inputs.extend(weighted.then(|| rng.uniform(&[classes], 0.0, 3.0)));
                inputs
            };
            let name = format!("{name}_{reduction:?}").to_lowercase();
            cases.push(Case::new("cross_entropy", name, op, inputs).terms(rows + classes));
        }
    }
    for (name, rows, classes, k) in [
        ("one_class", 3, 1, 1),
        ("top1", 65, 10, 1),
        ("top5", 64, 10, 5),
        ("all_classes", 7, 10, 10),
        ("thousand_classes", 63, 1000, 100),
        ("many_rows", 4099, 10, 3),
    ] {
        let inputs = |rng: &mut Random| vec![rng.normal(&[rows, classes]), rng.labels(rows, classes)];
        cases.push(
            Case::new("topk_accuracy", name, TopK { k, ..Default::default() }, inputs).exact().forward_only(),
        );
    }
    let ties = |rng: &mut Random| vec![rng.signs(&[100, 10]), rng.labels(100, 10)];
    cases.push(
        Case::new("topk_accuracy", "ties", TopK { k: 3, ..Default::default() }, ties).exact().forward_only(),
    );
    let nans = |rng: &mut Random| {
        let mut x = rng.normal(&[100, 10]).into_f32();
        x.iter_mut().step_by(7).for_each(|v| *v = f32::NAN);
        vec![floats([100, 10], x), rng.labels(100, 10)]
    };
    cases.push(
        Case::new("topk_accuracy", "nan_ranks_first", TopK { k: 5, ..Default::default() }, nans)
            .exact()
            .forward_only(),
    );
    cases
}
