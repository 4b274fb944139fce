//! Matrices larger than a binding, worked on in pieces: the numbers are those of one piece. Bindings are made small on purpose.

use crate::common::{Outcome, Random, Suite, compare_all, text, tolerance};
use crate::{CPU, REFERENCE};
use striate::graph::ValueId;
use striate::models::Model;
use striate::nn::{AdamConfig, Builder, Linear, Optimizer, Rules, SgdConfig};
use striate::op::*;
use striate::plan::{Family, Plan, Target};
use striate::train::{Part, Recipe, partial_graph};
use striate::{Device, Error, Session, Tensor, eager};

/// A product: shapes, and bytes of a binding by which it is cut along each of its axes, alone or together.
struct Row {
    name: &'static str,
    op: Matmul,
    shapes: Vec<Vec<usize>>,
    bindings: &'static [u64],
}

fn rows() -> Vec<Row> {
    // A row of a or of b^T takes 516 bytes, one of b or of the result 804: pieces start anywhere.
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

/// The targets of a device with bindings of so many bytes: for each way of multiplying matrices.
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
    let want = both(&REFERENCE).map_err(text)?;
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

/// Operations on elements, whose pieces are the same numbers to the bit.
fn elementwise(device: &Device) -> Outcome {
    const LEN: usize = 10_007;
    let rows: Vec<(Op, Vec<usize>)> = vec![
        (Add.into(), vec![LEN; 2]),
        (Relu.into(), vec![LEN]),
        (ReluGrad.into(), vec![LEN; 2]),
        (Scale.into(), vec![LEN, 1]),
        (WeightedSum { alpha: 0.9, beta: 0.1 }.into(), vec![LEN; 2]),
        (Sgd { momentum: 0.9, weight_decay: 0.1, ..Default::default() }.into(), vec![LEN, LEN, LEN, 3]),
        (Adam::default().into(), vec![LEN, LEN, LEN, LEN, 3]),
    ];
    let small = Target { max_binding: 5000, ..device.target().clone() };
    for (op, lengths) in rows {
        let mut rng = Random::new(3);
        let inputs: Vec<Tensor> = lengths.iter().map(|len| rng.uniform(&[*len], 0.1, 1.0)).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let want = eager::apply(device, op.clone(), &inputs).map_err(text)?;
        let got = eager::apply(&device.clone().with_target(small.clone()), op.clone(), &inputs)
            .map_err(|e| format!("{}: {e}", op.name()))?;
        compare_all(&format!("{} in pieces, seed 3", op.name()), &got, &want, 0.0, 0.0)?;
    }
    let x = Random::new(4).normal(&[LEN]);
    let want = eager::apply(device, SumSquares, &[&x]).map_err(text)?;
    let got = eager::apply(&device.clone().with_target(small), SumSquares, &[&x]).map_err(text)?;
    compare_all("sum of squares in pieces, seed 4", &got, &want, tolerance(LEN), 0.0)
}

/// A hidden layer whose weight is the only value of more than 16 KiB.
struct Wide;

impl Model for Wide {
    fn name(&self) -> String {
        "wide".into()
    }

    fn in_channels(&self) -> usize {
        4
    }

    fn input_size(&self) -> [usize; 2] {
        [5, 5]
    }

    fn classes(&self) -> usize {
        10
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> striate::Result<ValueId> {
        let x = b.flatten(images)?;
        let x = b.linear("fc1", x, Linear { in_features: 100, out_features: 333, bias: true })?;
        let x = b.relu(x)?;
        b.linear("fc2", x, Linear { in_features: 333, out_features: 10, bias: true })
    }
}

/// Two steps of a network on a target, each of two batches: losses, and all that is kept.
fn train(
    device: &Device,
    target: &Target,
    optimizer: Optimizer,
) -> striate::Result<(Vec<Tensor>, Vec<Plan>)> {
    // Biases are updated together, also those that a product binds parts of.
    let rules = Rules { no_decay_1d: true, ..Default::default() };
    let recipe = Recipe { optimizer, rules, clip_norm: Some(0.5), ema: Some(0.9), ..Default::default() };
    let shape = [8, 4, 5, 5];
    let plans =
        Part::of(2).iter().map(|part| Plan::new(&partial_graph(&Wide, shape, &recipe, *part)?, target));
    let plans = plans.collect::<striate::Result<Vec<_>>>()?;
    let mut session = Session::new(device, plans.clone())?;
    session.initialize(7)?;
    let mut rng = Random::new(8);
    let mut results = Vec::new();
    for step in 0..2 {
        for (program, plan) in plans.iter().enumerate() {
            let (images, labels) = (rng.normal(&shape), rng.labels(8, 10));
            let (schedule, share) = (optimizer.schedule(0.05, step), [0.5f32]);
            let all: [(&str, striate::Input); 4] = [
                ("images", (&images).into()),
                ("labels", (&labels).into()),
                (Optimizer::SCHEDULE, (&schedule).into()),
                (Recipe::LOSS_WEIGHT, (&share).into()),
            ];
            let feed: Vec<_> = all.into_iter().filter(|(name, _)| plan.has_input(name)).collect();
            results.extend(session.run(program, &feed)?.into_tensors());
        }
    }
    let names: Vec<String> = session.persistent().iter().map(|p| p.value.name.clone()).collect();
    for name in names {
        results.push(session.read(&name)?);
    }
    Ok((results, plans))
}

fn network(device: &Device) -> Outcome {
    // Adam divides by the gradient's size, also where that is all rounding.
    let optimizers = [
        (Optimizer::Sgd(SgdConfig { momentum: 0.9, weight_decay: 1e-3, ..Default::default() }), 2e-5),
        (Optimizer::Adam(AdamConfig::default()), 2e-3),
    ];
    for (optimizer, tolerance) in optimizers {
        let (want, _) = train(&REFERENCE, REFERENCE.target(), optimizer).map_err(text)?;
        for target in targets(device, 40 << 10) {
            let what = format!("{optimizer:?} on {}, {:?}, seeds 7 and 8", device.name(), target.family);
            let (got, plans) = train(device, &target, optimizer).map_err(|e| format!("{what}: {e}"))?;
            compare_all(&what, &got, &want, tolerance, 0.0)?;
            let steps = |plan: &Plan| {
                let own = |l: &&striate::plan::Launch| ["sgd", "adam"].contains(&l.kernel.name);
                plan.launches.iter().filter(own).count()
            };
            if steps(&plans[1]) < 4 {
                return Err(format!("{what}: the weight was not updated in pieces"));
            }
        }
    }
    Ok(())
}

/// A value has to fit a buffer, and what no operation takes in pieces a binding; a line of a product as well.
fn refusals() -> Outcome {
    let plan = |target: Target| {
        let graph = partial_graph(&Wide, [8, 4, 5, 5], &Recipe::default(), Part::Whole)?;
        Plan::new(&graph, &target)
    };
    let base = Target::baseline(Family::Gpu);
    let cases = [
        (Target { max_buffer: 100 << 10, ..base.clone() }, "fc1.weight takes 0.1 MiB, but a buffer"),
        (Target { max_binding: 8 << 10, ..base.clone() }, "exceed a binding"),
    ];
    for (target, said) in cases {
        match plan(target) {
            Err(Error::TooLarge(problem)) if problem.contains(said) => {}
            other => return Err(format!("expected {said:?}, found {:?}", other.map(|_| "a plan"))),
        }
    }
    plan(Target { max_binding: 40 << 10, ..base }).map(drop).map_err(text)
}

/// AlexNet under WebGPU's default limits, where its first linear layer's weight does not fit a binding.
fn alexnet() -> Outcome {
    let model = striate::models::by_name("alexnet", 3, 1000).map_err(text)?;
    for family in [Family::Gpu, Family::Software] {
        for lanes in [0, 8] {
            let target = Target { subgroup: lanes, ..Target::baseline(family) };
            for optimizer in [Optimizer::default(), Optimizer::Adam(AdamConfig::default())] {
                let recipe = Recipe { optimizer, clip_norm: Some(1.0), ema: Some(0.9), ..Default::default() };
                let parts = [Part::Whole, Part::First, Part::Middle, Part::Last];
                for part in parts {
                    let graph = partial_graph(&*model, [2, 3, 224, 224], &recipe, part).map_err(text)?;
                    let plan = Plan::new(&graph, &target).map_err(text)?;
                    let largest = plan.storages.iter().map(|s| s.span()).max();
                    if largest <= Some(target.max_binding) {
                        return Err("AlexNet should have a value larger than a binding".into());
                    }
                }
            }
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for row in rows().into_iter().map(std::sync::Arc::new) {
        let own = row.clone();
        suite.add_gpu(format!("pieces::matmul_{}::gpu", row.name), move |gpu| product(&own, gpu));
        suite.add(format!("pieces::matmul_{}::cpu", row.name), move || product(&row, &CPU));
    }
    suite.add_gpu("pieces::elementwise::gpu", elementwise);
    suite.add("pieces::elementwise::cpu", || elementwise(&CPU));
    suite.add_gpu("pieces::network::gpu", network);
    suite.add("pieces::network::cpu", || network(&CPU));
    suite.add("pieces::what_fits_no_binding_or_buffer_is_refused", refusals);
    suite.add("pieces::alexnet_fits_the_default_limits", alexnet);
}
