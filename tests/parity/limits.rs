//! More workgroups than fit into a dimension, and empty batches.

use crate::common::*;
use crate::{REFERENCE, agrees};
use striate::op::*;
use striate::plan::Algorithm;
use striate::selftest::cases::{Case, Lowered};
use striate::{Error, Tensor, eager};

/// The number of workgroups per dimension that WebGPU guarantees.
const LIMIT: usize = 65_535;

pub fn add(suite: &mut Suite) {
    // A workgroup computes 64 results, and the last one fewer.
    suite.add_gpu("limits::max_pool_of_4_million::forward::gpu", |gpu| {
        let x = Random::new(1).normal(&[1, 1, LIMIT + 1, 65]);
        let pool = MaxPool2d { kernel_size: [1, 1], stride: None, ..Default::default() };
        let (got, _) = eager::max_pool2d(gpu, &x, pool)?;
        compare("max-pool of 4 million, seed 1", &got, &x, 0.0, 0.0)
    });
    // One workgroup per slice of a channel.
    let planes = Case::new("limits", "planes", BatchNormEval::default(), |rng| {
        let mut inputs = vec![rng.normal(&[2, LIMIT + 2, 1])];
        inputs.extend([0; 3].map(|_| rng.normal(&[LIMIT + 2])));
        inputs.push(rng.uniform(&[LIMIT + 2], 0.5, 2.0));
        inputs
    })
    .terms(2);
    // im2col has one workgroup per image, channel and tap.
    let columns = Case::new("limits", "columns", Conv2d { padding: [1, 1], ..Default::default() }, |rng| {
        vec![rng.normal(&[33, 250, 2, 2]), rng.normal(&[1, 250, 3, 3])]
    })
    .terms(2250)
    .lowered(Lowered::Matmul);
    for case in [planes, columns].map(std::sync::Arc::new) {
        for (backward, direction) in [(false, "forward"), (true, "backward")] {
            let own = case.clone();
            suite.add_gpu(format!("{}::{direction}::gpu", case.name), move |gpu| {
                let unfolded = gpu.target().clone().with_convolutions(Algorithm::Im2col);
                let gpu = &gpu.clone().with_target(unfolded);
                let plan = own.plan(gpu.target(), backward)?;
                if gpu.target().max_workgroups as usize == LIMIT
                    && plan.launches.iter().all(|l| l.workgroups[1] == 1)
                {
                    return Err(format!("{} should exceed the limit of {LIMIT} workgroups", own.name).into());
                }
                agrees(&own, backward, gpu)
            });
        }
    }
    for (name, op, shapes) in empty_batches() {
        suite.add(format!("refused::empty_batch::{name}"), move || {
            let inputs: Vec<Tensor> = shapes.into_iter().map(Tensor::zeros).collect();
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            match eager::apply(&REFERENCE, op, &inputs) {
                Err(Error::Shape { op, problem, .. }) if op == "input" && problem.contains("input 0") => {
                    Ok(())
                }
                other => Err(format!(
                    "{name} of an empty batch: expected a shape error naming the input, found {other:?}"
                )
                .into()),
            }
        });
    }
}

fn empty_batches() -> Vec<(&'static str, Op, Vec<Vec<usize>>)> {
    let image = vec![0, 3, 4, 4];
    vec![
        ("conv2d", Conv2d::default().into(), vec![image.clone(), vec![2, 3, 3, 3]]),
        ("matmul", Matmul::default().into(), vec![vec![0, 3], vec![3, 2]]),
        ("max_pool2d", MaxPool2d::default().into(), vec![image.clone()]),
        ("avg_pool2d", AvgPool2d::default().into(), vec![image.clone()]),
        ("batch_norm", BatchNorm::default().into(), vec![image.clone(), vec![3], vec![3]]),
        ("relu", Relu.into(), vec![image.clone()]),
        ("add", Add.into(), vec![image.clone(), image.clone()]),
        ("concat", Concat.into(), vec![image.clone(), image.clone()]),
        ("softmax", Softmax::default().into(), vec![vec![0, 5]]),
        ("reshape", Reshape { shape: vec![0, 48] }.into(), vec![image]),
    ]
}
