//! More workgroups than a dimension holds, and what is refused.

use crate::case::{Case, Lowered};
use crate::common::*;
use crate::{REFERENCE, agrees};
use striate::op::*;
use striate::plan::{ConvAlgorithm, Target};
use striate::{Error, Tensor, ops};

/// The most workgroups in a dimension that WebGPU promises.
const LIMIT: usize = 65_535;

pub fn add(suite: &mut Suite) {
    // The same by element: a workgroup has 256.
    suite.add_gpu("limits::relu_of_17_million::forward::gpu", |gpu| {
        let len = (LIMIT + 1) * 256 + 3;
        let x = Random::new(1).normal(&[len]);
        let want = x.as_f32().iter().map(|v| v.max(0.0)).collect();
        let got = ops::relu(gpu, &x).map_err(text)?;
        compare("relu of 17 million, seed 1", &got, &Tensor::f32([len], want).unwrap(), 0.0, 0.0)
    });
    let planes = Case::new("limits", "planes", BatchNormEval::default(), |rng| {
        let mut inputs = vec![rng.normal(&[300, 256, 2])];
        inputs.extend([0; 3].map(|_| rng.normal(&[256])));
        inputs.push(rng.uniform(&[256], 0.5, 2.0));
        inputs
    })
    .terms(600);
    // im2col has a workgroup for each picture, channel and tap.
    let columns = Case::new("limits", "columns", Conv2d { padding: [1, 1], ..Default::default() }, |rng| {
        vec![rng.normal(&[33, 250, 2, 2]), rng.normal(&[1, 250, 3, 3])]
    })
    .terms(2250)
    .lowered(Lowered::Matmul);
    for case in [planes, columns].map(std::sync::Arc::new) {
        for (backward, direction) in [(false, "forward"), (true, "backward")] {
            let own = case.clone();
            suite.add_gpu(format!("{}::{direction}::gpu", case.name), move |gpu| {
                let unfolded = Target { conv: ConvAlgorithm::Im2col, ..gpu.target().clone() };
                let gpu = &gpu.clone().with_target(unfolded);
                let plan = own.plan(gpu.target(), backward).map_err(text)?;
                if gpu.target().max_workgroups as usize == LIMIT
                    && plan.launches.iter().all(|l| l.workgroups[1] == 1)
                {
                    return Err(format!("{} should pass the limit of {LIMIT} workgroups", own.name));
                }
                agrees(&own, backward, gpu)
            });
        }
    }
    for (name, op, shapes) in empty_batches() {
        suite.add(format!("refused::empty_batch::{name}"), move || {
            let inputs: Vec<Tensor> = shapes.into_iter().map(Tensor::zeros).collect();
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            match ops::apply(&REFERENCE, op, &inputs) {
                Err(Error::Shape { op, problem, .. }) if op == "input" && problem.contains("input 0") => {
                    Ok(())
                }
                other => Err(format!(
                    "{name} of an empty batch: expected a shape error naming the input, found {other:?}"
                )),
            }
        });
    }
}

fn empty_batches() -> Vec<(&'static str, Op, Vec<Vec<usize>>)> {
    let picture = vec![0, 3, 4, 4];
    vec![
        ("conv2d", Conv2d::default().into(), vec![picture.clone(), vec![2, 3, 3, 3]]),
        ("matmul", Matmul::default().into(), vec![vec![0, 3], vec![3, 2]]),
        ("max_pool2d", MaxPool2d::default().into(), vec![picture.clone()]),
        ("avg_pool2d", AvgPool2d::default().into(), vec![picture.clone()]),
        ("batch_norm", BatchNorm::default().into(), vec![picture.clone(), vec![3], vec![3]]),
        ("relu", Relu.into(), vec![picture.clone()]),
        ("add", Add.into(), vec![picture.clone(), picture.clone()]),
        ("concat", Concat.into(), vec![picture.clone(), picture.clone()]),
        ("softmax", Softmax::default().into(), vec![vec![0, 5]]),
        ("reshape", Reshape { shape: vec![0, 48] }.into(), vec![picture]),
    ]
}
