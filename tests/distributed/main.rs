//! Training on several ranks, as threads of one process, against training on one device.

#[path = "../common/mod.rs"]
mod common;
mod threads;

use common::*;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use striate::data::{Dataset, Mix, Split, open};
use striate::distributed::Ranks;
use striate::models::by_name;
use striate::nn::{BatchNorm2d, BatchOfRanks, Builder, Decay, Mode};
use striate::plan::{Exchange, Family, Plan, Target};
use striate::train::{Recipe, Score, TrainConfig, Trainer, training_graph};
use striate::{Device, Result, Session, Tensor, TensorType};
use threads::on_ranks;

/// What a run gives.
struct Run {
    losses: Vec<f64>,
    accuracies: Vec<f64>,
    test: Score,
    weights: Vec<(String, Tensor)>,
}

fn data(images: usize) -> Split {
    let split = open("fashion-mnist", None, None).unwrap();
    let part = |data: &Dataset, images: usize| {
        let (pixels, labels) = (data.images()[..images * 784].to_vec(), data.labels()[..images].to_vec());
        Arc::new(Dataset::new("part", [1, 28, 28], pixels, labels, data.classes().to_vec()).unwrap())
    };
    Split { train: part(&split.train, images), test: part(&split.test, 50), ..split }
}

/// Trains on `images` images.
fn train(device: &Device, model: &str, images: usize, config: &TrainConfig) -> Result<Run> {
    let model = by_name(model, 1, 10)?;
    let mut trainer = Trainer::new(device, &*model, data(images), config.clone())?;
    let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
    let mut test = Score::default();
    while trainer.epochs_left() > 0 {
        let report = trainer.epoch(&mut |progress| {
            losses.push(progress.batch.loss);
            accuracies.push(progress.batch.accuracy);
            ControlFlow::Continue(())
        })?;
        test = report.test.unwrap();
    }
    Ok(Run { losses, accuracies, test, weights: everything(trainer.session())? })
}

fn config(batch: usize) -> TrainConfig {
    TrainConfig { epochs: 1, batch, lr: 0.02, decay: Decay::Constant, threads: 1, ..Default::default() }
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

/// Checks that ranks train as one device does, with losses within 1e-5, and that their weights are the same bits, twice.
fn compare_training(
    device: &Device,
    model: &str,
    images: usize,
    ranks: usize,
    config: &TrainConfig,
) -> Outcome {
    let alone = train(device, model, images, config)?;
    let train_on = |ranks: Ranks| train(&device.clone().with_ranks(ranks), model, images, config);
    let runs = on_ranks(ranks, train_on).into_iter().collect::<Result<Vec<_>>>()?;
    let again = on_ranks(ranks, train_on).into_iter().collect::<Result<Vec<_>>>()?;
    for run in runs.iter().chain(&again) {
        assert_eq!((&run.losses, &run.accuracies), (&runs[0].losses, &runs[0].accuracies));
        assert_eq!(run.test, runs[0].test);
        for ((name, own), (_, first)) in run.weights.iter().zip(&runs[0].weights) {
            // Sums over micro-batches belong to each rank.
            assert!(own == first || name.starts_with("accumulate."), "{name} differs between ranks");
        }
    }
    assert_eq!(alone.losses.len(), runs[0].losses.len());
    for (step, (a, b)) in alone.losses.iter().zip(&runs[0].losses).enumerate() {
        assert!(close(*a, *b, 1e-5), "{model}, {ranks} ranks, step {step}: loss {a} alone, {b} on ranks");
    }
    assert_eq!(alone.accuracies, runs[0].accuracies);
    let names = |run: &Run| run.weights.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&alone), names(&runs[0]));
    assert!(close(alone.test.loss, runs[0].test.loss, 1e-3), "{:?} {:?}", alone.test, runs[0].test);
    Ok(())
}

/// 50 steps; the last one has 7 images.
fn a_network_without_batch_norm_trains_as_on_one_device(device: &Device) -> Outcome {
    compare_training(device, "lenet", 49 * 16 + 7, 4, &config(16))?;
    compare_training(device, "lenet", 49 * 16 + 7, 2, &config(16))
}

/// At higher rates, rounding alone soon changes which ReLUs are active.
fn with_synchronized_batch_norm_a_resnet_trains_as_on_one_device(device: &Device) -> Outcome {
    let config = TrainConfig { sync_batch_norm: true, lr: 3e-4, ..config(16) };
    compare_training(device, "resnet8", 50 * 16, 3, &config)
}

fn ranks_without_images_in_the_last_batch_take_part_in_its_step(device: &Device) -> Outcome {
    compare_training(device, "lenet", 4 * 8 + 1, 3, &config(8))?;
    let config = TrainConfig { sync_batch_norm: true, lr: 3e-4, ..config(8) };
    compare_training(device, "resnet8", 2 * 8 + 2, 3, &config)
}

fn micro_batches_mixing_and_class_weights_are_divided_too(device: &Device) -> Outcome {
    let recipe = Recipe {
        class_weights: Some((1..11).map(|weight| weight as f32).collect()),
        clip_norm: Some(1.0),
        ema: Some(0.9),
        label_smoothing: 0.1,
        ..config(12).recipe
    };
    let mix = Some(Mix { mixup: 0.4, cutmix: 1.0 });
    // The last micro-batch has a single image, so that two ranks only add the gradients of the one before.
    let config = TrainConfig { epochs: 2, accumulate: 2, mix, recipe, ..config(12) };
    compare_training(device, "lenet", 5 * 12 + 7, 3, &config)
}

/// With batch norms of their own, ranks still have the same running statistics: means over all of them.
fn ranks_with_their_own_batch_norms_stay_equal(device: &Device) -> Outcome {
    let train_on = |ranks: Ranks| train(&device.clone().with_ranks(ranks), "resnet8", 70, &config(16));
    // Of unequal parts.
    let runs = on_ranks(3, train_on).into_iter().collect::<Result<Vec<_>>>()?;
    assert!(runs[0].losses.iter().all(|loss| loss.is_finite()));
    assert!(runs.iter().all(|run| run.weights == runs[0].weights));
    Ok(())
}

/// Output and gradients of a batch norm of 6 images, or of a rank's part of them. The mean is 1000 times the deviation.
fn batch_norm(
    device: &Device,
    images: std::ops::Range<usize>,
    ranks: Option<Ranks>,
) -> Result<Vec<Vec<f32>>> {
    let shape = [images.len(), 3, 4, 4];
    let in_ranks = ranks.as_ref().map(|_| BatchOfRanks { images: 6, sync_batch_norm: true });
    let mut b = Builder::new(Mode::Train).with_ranks(in_ranks);
    let x = b.graph.input("x", TensorType::f32(shape))?;
    let upstream = b.graph.input("upstream", TensorType::f32(shape))?;
    let y = b.batch_norm2d("bn", x, BatchNorm2d { num_features: 3, ..Default::default() })?;
    let gradient = b.graph.gradients(&[(y, upstream)], &[x])?[0].unwrap();
    b.graph.output("y", y);
    b.graph.output("gradient", gradient);
    let device = ranks.map_or(device.clone(), |ranks| device.clone().with_ranks(ranks));
    let mut session = Session::new(&device, vec![Plan::new(&b.graph, device.target())?])?;
    session.initialize(1)?;
    session.write("bn.weight", &Tensor::f32([3], vec![1.0, 2.0, -0.5])?)?;
    let part = |seed| fill(seed, 6 * 48, 1.0)[images.start * 48..images.end * 48].to_vec();
    let x: Vec<f32> = part(1).into_iter().map(|x| 1000.0 + x).collect();
    let (upstream, share) = (part(2), [images.len() as f32 / 6.0]);
    let mut inputs =
        vec![("x", (&x).into()), ("upstream", (&upstream).into()), (Builder::SHARE, (&share).into())];
    inputs.retain(|(name, _)| session.plans()[0].has_input(name));
    let outputs = session.run(0, &inputs)?.into_tensors();
    let mut values: Vec<Vec<f32>> = outputs.iter().map(|tensor| tensor.as_f32().to_vec()).collect();
    for name in ["bn.running_mean", "bn.running_var"] {
        values.push(session.read(name)?.as_f32().to_vec());
    }
    Ok(values)
}

fn synchronized_batch_norm_is_that_of_the_whole_batch(device: &Device) -> Outcome {
    let whole = batch_norm(device, 0..6, None)?;
    let part = |ranks: Ranks| {
        let images = [0..1, 1..4, 4..6][ranks.rank()].clone();
        batch_norm(device, images, Some(ranks))
    };
    let parts = on_ranks(3, part).into_iter().collect::<Result<Vec<_>>>()?;
    for (i, tolerance) in [(0, 1e-3), (1, 1e-3)] {
        let joined: Vec<f32> = parts.iter().flat_map(|part| part[i].clone()).collect();
        let pairs = joined.iter().zip(&whole[i]);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(joined.len() == whole[i].len() && worst < tolerance, "output {i}: off by {worst}");
    }
    for part in &parts {
        for i in [2, 3] {
            for (a, b) in part[i].iter().zip(&whole[i]) {
                assert!(close((*a).into(), (*b).into(), 1e-4), "statistic {i}: {a}, not {b}");
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::sequential();
    suite.add_all_on(ALL_EXECUTORS, named![synchronized_batch_norm_is_that_of_the_whole_batch]);
    suite.add_all_on(
        CPU_AND_GPU,
        named![
            a_network_without_batch_norm_trains_as_on_one_device,
            with_synchronized_batch_norm_a_resnet_trains_as_on_one_device,
            ranks_without_images_in_the_last_batch_take_part_in_its_step,
            micro_batches_mixing_and_class_weights_are_divided_too,
            ranks_with_their_own_batch_norms_stay_equal,
        ],
    );
    suite.add_all(named![
        gradients_are_exchanged_during_the_backward_pass,
        sums_have_a_fixed_order,
        ranks_that_differ_are_named,
    ]);
    suite.run()
}

/// Sums are exchanged while the device computes others, on every family of devices, and the same ones on all.
fn gradients_are_exchanged_during_the_backward_pass() -> Outcome {
    let recipe =
        Recipe { ranks: Some(BatchOfRanks { images: 64, sync_batch_norm: false }), ..Default::default() };
    let graph = training_graph(&*by_name("resnet20", 3, 10)?, [32, 3, 32, 32], &recipe)?;
    let mut sizes = Vec::new();
    for family in [Family::Cpu, Family::Software, Family::Gpu] {
        let plan = Plan::new(&graph, &Target::baseline(family))?;
        let bytes = |exchange: &Exchange| -> u64 {
            exchange.storages.iter().map(|storage| plan.storages[storage.index()].bytes).sum()
        };
        sizes.push(plan.exchanges.iter().map(bytes).collect::<Vec<_>>());
        let ends: Vec<[usize; 2]> = plan.exchanges.iter().map(|e| [e.start, e.end]).collect();
        assert!(ends.len() >= 5 && ends.is_sorted() && ends.iter().all(|[start, end]| start <= end));
        // Losses, statistics and most gradients well before the end of the backward pass.
        let last = ends[ends.len() - 1][0];
        assert!(ends[ends.len() - 2][0] + 10 < last, "{family:?}: {ends:?}");
    }
    assert!(sizes.iter().all(|sizes_of_family| *sizes_of_family == sizes[0]), "{sizes:?}");
    Ok(())
}

/// In f64 and in the order of the ranks, whatever the number of elements.
fn sums_have_a_fixed_order() -> Outcome {
    for len in [1, 2, 7, 100] {
        let values = |rank: usize| fill(rank as u64, len, 1e4);
        let sums = on_ranks(3, |ranks| {
            let rank = ranks.rank();
            sum(&Device::select("cpu").unwrap().with_ranks(ranks), &values(rank))
        });
        let expected: Vec<f32> =
            (0..len).map(|i| (0..3).map(|rank| f64::from(values(rank)[i])).sum::<f64>() as f32).collect();
        for sum in sums {
            assert_eq!(sum?, expected);
        }
    }
    Ok(())
}

/// The sum over ranks by a plan of nothing else.
fn sum(device: &Device, values: &[f32]) -> Result<Vec<f32>> {
    let mut graph = striate::graph::Graph::new();
    let x = graph.input("x", TensorType::f32([values.len()]))?;
    let sum = graph.apply(striate::op::AllReduce, &[x])?[0];
    graph.output("sum", sum);
    let mut session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
    let outputs = session.run(0, &[("x", (&values.to_vec()).into())])?;
    Ok(outputs.get("sum").unwrap().as_f32().to_vec())
}

fn ranks_that_differ_are_named() -> Outcome {
    let errors = on_ranks(3, |ranks| {
        let len = if ranks.rank() == 2 { 3 } else { 4 };
        let error = sum(&Device::select("cpu").unwrap().with_ranks(ranks), &vec![1.0; len]).unwrap_err();
        error.to_string()
    });
    for error in errors {
        assert!(error.contains("rank 2 differ from those of rank 0"), "{error}");
    }
    let error = sum(&Device::select("cpu")?, &[1.0]).unwrap_err().to_string();
    assert!(error.contains("with_ranks"), "{error}");
    Ok(())
}
