//! Matrices larger than a binding are processed in pieces, with the same results. The limit is lowered for these tests.

use crate::REFERENCE;
use crate::common::network::Network;
use crate::common::*;
use striate::graph::ValueId;
use striate::models::Model;
use striate::nn::{AdamConfig, Builder, Linear, Optimizer, Rules, SgdConfig};
use striate::op::*;
use striate::plan::{Family, Plan, Target};
use striate::train::{Part, Recipe, partial_graph};
use striate::{Device, Error, Session, Tensor, eager};

/// A product, and binding limits in bytes that split it along each of its axes, one or several at a time.
struct Row {
    name: &'static str,
    op: Matmul,
    shapes: Vec<Vec<usize>>,
    bindings: &'static [u64],
}

fn rows() -> Vec<Row> {
    // A row of a or b^T takes 516 bytes, one of b or the result 804, so pieces start at any offset.
    const BINDINGS: &[u64] = &[64 << 10, 56 << 10, 48 << 10, 36 << 10];
    let (m, n, k) = (67, 201, 129);
    let of = |name, transpose_a: bool, transpose_b: bool, bias: bool| {
        let a = if transpose_a { vec![k, m] } else { vec![m, k] };
        let b = if transpose_b { vec![n, k] } else { vec![k, n] };
        let op = Matmul { transpose_a, transpose_b };
        // The gradient of a bias binds the whole upstream gradient.
        let bindings = if bias { &BINDINGS[..2] } else { &BINDINGS[1..] };
        Row { name, op, shapes: [vec![a, b], vec![vec![n]; bias as usize]].concat(), bindings }
    };
    let batch = |name, transpose_b, shapes: [[usize; 3]; 2], bindings| Row {
        name,
        op: Matmul { transpose_b, ..Default::default() },
        shapes: shapes.map(Vec::from).into(),
        bindings,
    };
    vec![
        of("plain", false, false, false),
        of("a_transposed", true, false, false),
        of("b_transposed", false, true, false),
        of("both_transposed", true, true, false),
        of("linear_layer", false, true, true),
        of("bias", false, false, true),
        batch("batches", false, [[5, 30, 40], [5, 40, 50]], &[16 << 10, 4 << 10]),
        batch("batches_transposed", true, [[3, 30, 40], [3, 150, 40]], &[32 << 10, 12 << 10]),
    ]
}

/// Targets with bindings of at most `max_binding` bytes, for each matrix-product kernel of a device.
fn targets(device: &Device, max_binding: u64) -> Vec<Target> {
    let own = device.target();
    let families = match own.family {
        Family::Cpu => vec![(Family::Cpu, 0)],
        _ => vec![(Family::Gpu, 0), (Family::Software, 0), (Family::Software, own.subgroup)],
    };
    let target = |(family, subgroup)| Target { family, subgroup, max_binding, ..own.clone() };
    families.into_iter().map(target).collect()
}

fn product(row: &Row, device: &Device) -> Outcome {
    let mut rng = Random::new(1);
    let inputs: Vec<Tensor> = row.shapes.iter().map(|shape| rng.normal(shape)).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let both = |device: &Device| -> striate::Result<Vec<Tensor>> {
        let mut all = eager::apply(device, row.op, &inputs)?;
        let upstream = Random::new(2).normal(all[0].shape());
        all.extend(eager::gradients(device, row.op, &inputs, &upstream)?.into_iter().flatten());
        Ok(all)
    };
    let want = both(&REFERENCE)?;
    for binding in row.bindings {
        for target in targets(device, *binding) {
            let what = format!(
                "{}, seeds 1 and 2, in bindings of {binding} bytes on {}, {:?} of {} lanes",
                row.name,
                device.name(),
                target.family,
                target.subgroup
            );
            let got = both(&device.clone().with_target(target)).map_err(|e| format!("{what}: {e}"))?;
            compare_all(&what, &got, &want, tolerance(201), 0.0)?;
        }
    }
    Ok(())
}

/// Element-wise operations in pieces give the same bits.
fn elementwise(device: &Device) -> Outcome {
    const LEN: usize = 10_007;
    let rows: Vec<(Op, Vec<usize>)> = vec![
        (Add.into(), vec![LEN; 2]),
        (Relu.into(), vec![LEN]),
        (ReluGrad.into(), vec![LEN; 2]),
        (Scale.into(), vec![LEN, 1]),
        (WeightedSum { alpha: 0.9, beta: 0.1 }.into(), vec![LEN; 2]),
        (WeightedSum { alpha: 0.9, beta: 0.1 }.into(), vec![LEN, LEN, 1]),
        (NonFinite.into(), vec![LEN, 7, LEN]),
        (Sgd { momentum: 0.9, weight_decay: 0.1, ..Default::default() }.into(), vec![LEN, LEN, LEN, 3]),
        (Adam::default().into(), vec![LEN, LEN, LEN, LEN, 3]),
    ];
    let small = Target { max_binding: 5000, ..device.target().clone() };
    for (op, lengths) in rows {
        let mut rng = Random::new(3);
        let inputs: Vec<Tensor> = lengths.iter().map(|len| rng.uniform(&[*len], 0.1, 1.0)).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let want = eager::apply(device, op.clone(), &inputs)?;
        let got = eager::apply(&device.clone().with_target(small.clone()), op.clone(), &inputs)
            .map_err(|e| format!("{}: {e}", op.name()))?;
        compare_all(&format!("{} in pieces, seed 3", op.name()), &got, &want, 0.0, 0.0)?;
    }
    let x = Random::new(4).normal(&[LEN]);
    let clip = ClipCoefficient { max_norm: 1.0 };
    let want = eager::apply(device, clip, &[&x])?;
    let got = eager::apply(&device.clone().with_target(small), clip, &[&x])?;
    compare_all("gradient norm in pieces, seed 4", &got, &want, tolerance(LEN), 0.0)
}

/// A network whose only value of more than 16 KiB is the weight of its hidden layer.
fn wide() -> impl Model {
    let forward = |b: &mut Builder, images: ValueId| {
        let x = b.flatten(images)?;
        let x = b.linear("fc1", x, Linear { in_features: 100, out_features: 333, bias: true })?;
        let x = b.relu(x)?;
        b.linear("fc2", x, Linear { in_features: 333, out_features: 10, bias: true })
    };
    Network { name: "wide", input: [4, 5, 5], classes: 10, forward }
}

/// Two training steps of two micro-batches each. Returns outputs, persistent values and plans.
fn train(
    device: &Device,
    target: &Target,
    optimizer: Optimizer,
) -> striate::Result<(Vec<Tensor>, Vec<Plan>)> {
    // Biases are updated together, including those that products bind in pieces.
    let rules = Rules { no_decay_1d: true, ..Default::default() };
    let recipe = Recipe { optimizer, rules, clip_norm: Some(0.5), ema: Some(0.9), ..Default::default() };
    let shape = [8, 4, 5, 5];
    let plans =
        Part::of(2).iter().map(|part| Plan::new(&partial_graph(&wide(), shape, &recipe, *part)?, target));
    let plans = plans.collect::<striate::Result<Vec<_>>>()?;
    let mut session = Session::new(device, plans.clone())?;
    session.initialize(7)?;
    let mut rng = Random::new(8);
    let mut results = Vec::new();
    for step in 0..2 {
        for (program, plan) in plans.iter().enumerate() {
            let (images, labels) = (rng.normal(&shape), rng.labels(8, 10));
            let (schedule, loss_weight) = (optimizer.schedule(0.05, step), [0.5f32]);
            let all: [(&str, striate::Input); 4] = [
                ("images", (&images).into()),
                ("labels", (&labels).into()),
                (Optimizer::SCHEDULE, (&schedule).into()),
                (Recipe::LOSS_WEIGHT, (&loss_weight).into()),
            ];
            let feed: Vec<_> = all.into_iter().filter(|(name, _)| plan.has_input(name)).collect();
            results.extend(session.run(program, &feed)?.into_tensors());
        }
    }
    results.extend(everything(&mut session)?.into_iter().map(|(_, tensor)| tensor));
    Ok((results, plans))
}

fn network(device: &Device) -> Outcome {
    // Adam divides by the size of a gradient, even where the gradient is only rounding error.
    let optimizers = [
        (Optimizer::Sgd(SgdConfig { momentum: 0.9, weight_decay: 1e-3, ..Default::default() }), 2e-5),
        (Optimizer::Adam(AdamConfig::default()), 2e-3),
    ];
    for (optimizer, tolerance) in optimizers {
        let (want, _) = train(&REFERENCE, REFERENCE.target(), optimizer)?;
        for target in targets(device, 40 << 10) {
            let what = format!("{optimizer:?} on {}, {:?}, seeds 7 and 8", device.name(), target.family);
            let (got, plans) = train(device, &target, optimizer).map_err(|e| format!("{what}: {e}"))?;
            compare_all(&what, &got, &want, tolerance, 0.0)?;
            let updates = plans[1].launches.iter().filter(|l| ["sgd", "adam"].contains(&l.kernel.name));
            assert!(updates.count() >= 4, "{what}: the weight was not updated in pieces");
        }
    }
    Ok(())
}

/// A value must fit into a buffer; one that cannot be split, and a row of a product, must fit into a binding.
fn refusals() -> Outcome {
    let plan = |target: Target| {
        let graph = partial_graph(&wide(), [8, 4, 5, 5], &Recipe::default(), Part::Whole)?;
        Plan::new(&graph, &target)
    };
    let base = Target::baseline(Family::Gpu);
    let cases = [
        (Target { max_buffer: 100 << 10, ..base.clone() }, "fc1.weight takes 0.1 MiB, but a buffer"),
        (Target { max_binding: 8 << 10, ..base.clone() }, "exceed a binding"),
    ];
    for (target, expected) in cases {
        match plan(target) {
            Err(Error::TooLarge(problem)) if problem.contains(expected) => {}
            other => return Err(format!("expected {expected:?}, found {:?}", other.map(|_| "a plan")).into()),
        }
    }
    plan(Target { max_binding: 40 << 10, ..base })?;
    Ok(())
}

/// AlexNet under WebGPU's default limits; the weight of its first linear layer exceeds a binding.
fn alexnet() -> Outcome {
    let model = striate::models::by_name("alexnet", 3, 1000)?;
    for family in [Family::Gpu, Family::Software] {
        for lanes in [0, 8] {
            let target = Target { subgroup: lanes, ..Target::baseline(family) };
            for optimizer in [Optimizer::default(), Optimizer::Adam(AdamConfig::default())] {
                let recipe = Recipe { optimizer, clip_norm: Some(1.0), ema: Some(0.9), ..Default::default() };
                let parts = [Part::Whole, Part::First, Part::Middle, Part::Last];
                for part in parts {
                    let graph = partial_graph(&*model, [2, 3, 224, 224], &recipe, part)?;
                    let plan = Plan::new(&graph, &target)?;
                    let largest = plan.storages.iter().map(|s| s.span()).max();
                    assert!(largest > Some(target.max_binding), "AlexNet should exceed a binding");
                }
            }
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for row in rows().into_iter().map(std::sync::Arc::new) {
        let name = format!("pieces::matmul_{}", row.name);
        suite.add_on(CPU_AND_GPU, name, move |device| product(&row, device));
    }
    suite.add_on(CPU_AND_GPU, "pieces::elementwise", elementwise);
    suite.add_on(CPU_AND_GPU, "pieces::network", network);
    suite.add("pieces::values_that_exceed_a_buffer_or_binding_are_refused", refusals);
    suite.add("pieces::alexnet_fits_the_default_limits", alexnet);
}
