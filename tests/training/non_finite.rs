//! Steps whose loss or gradients are NaN or infinite: they change nothing, are skipped or end training, and their origin is found.

use crate::common::network::Network;
use crate::common::*;
use crate::support::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use striate::data::{Dataset, Normalization, Split};
use striate::graph::ValueId;
use striate::models::Model;
use striate::nn::{AdamConfig, Builder, Conv2d, Decay, Linear, Optimizer};
use striate::op::Add;
use striate::plan::Plan;
use striate::train::{Checkpoint, Part, Recipe, TrainConfig, Trainer, partial_graph};
use striate::{Device, Error, Result, Session};

const BAD: usize = 5;

fn config() -> TrainConfig {
    TrainConfig { epochs: 2, batch: 6, lr: 0.05, decay: Decay::Constant, ..Default::default() }
}

fn skipping() -> TrainConfig {
    TrainConfig { skip_non_finite: true, ..config() }
}

/// Two channels: noise, and zeros that are infinite after normalization where they are not 0, in the images for which `is_bad`.
fn poisoned(is_bad: fn(usize) -> bool) -> Split {
    let clean = split(24, 3);
    let set = |of: &Dataset, is_bad: fn(usize) -> bool| {
        let mut rng = Random::new(7);
        let images = (0..of.len()).flat_map(|i| {
            let noise: Vec<u8> = (0..64).map(|_| rng.below(256) as u8).collect();
            [noise, vec![if is_bad(i) { 255 } else { 0 }; 64]].concat()
        });
        let labels = (0..of.len() as u32).map(|i| i % 3).collect();
        Arc::new(Dataset::new("noise", [2, 8, 8], images.collect(), labels, of.classes().to_vec()).unwrap())
    };
    let (train, test) = (set(&clean.train, is_bad), set(&clean.test, |_| false));
    let normalization = Normalization { mean: vec![0.5, 0.0], std: vec![0.25, 3e-39] };
    Split { train, test, normalization, ..clean }
}

/// A convolution and a linear layer for two channels.
fn network() -> impl Model {
    let forward = |b: &mut Builder, x: ValueId| {
        // Overflows where a pixel of the second channel is white.
        let x = b.scoped("double", |b| b.apply(Add, &[x, x]))?;
        let conv = Conv2d { in_channels: 2, out_channels: 4, kernel_size: [3, 3], ..Default::default() };
        let x = b.conv2d("conv", x, conv)?;
        let x = b.relu(x)?;
        let x = b.global_avg_pool2d(x)?;
        let x = b.flatten(x)?;
        b.linear("fc", x, Linear { in_features: 4, out_features: 3, bias: true })
    };
    Network { name: "two channels", input: [2, 8, 8], classes: 3, forward }
}

fn poisoned_trainer(device: &Device, is_bad: fn(usize) -> bool, config: TrainConfig) -> Result<Trainer> {
    Trainer::new(device, &network(), poisoned(is_bad), config)
}

/// The message of an error about this setting.
fn complaint<T: std::fmt::Debug>(result: Result<T>, name: &str) -> Result<String, Failed> {
    match result {
        Err(Error::Argument { name: found, problem }) if found == name => Ok(problem),
        other => Err(format!("expected an error about {name}, found {other:?}").into()),
    }
}

/// Steps of two micro-batches of three images, one of which may have an infinite pixel.
struct Steps {
    session: Session,
    optimizer: Optimizer,
    parts: usize,
    count: usize,
}

impl Steps {
    fn new(device: &Device, recipe: &Recipe, parts: usize) -> Result<Self> {
        let plan = |part: &Part| {
            Plan::new(&partial_graph(&small(true, 3), [3, 1, 8, 8], recipe, *part)?, device.target())
        };
        let plans = Part::of(parts).iter().map(plan).collect::<Result<Vec<_>>>()?;
        let mut session = Session::new(device, plans)?;
        session.initialize(1)?;
        Ok(Self { session, optimizer: recipe.optimizer, parts, count: 0 })
    }

    /// Runs a step, with an infinite pixel in micro-batch `bad`. Returns whether it is reported, and the state afterwards,
    /// except for sums over micro-batches.
    fn step(&mut self, bad: Option<usize>) -> Result<(bool, State)> {
        let schedule = self.optimizer.schedule(0.05, self.count);
        let (loss_weight, mut reported) = ([1.0 / self.parts as f32], false);
        for part in 0..self.parts {
            let mut images = fill(self.count as u64, 3 * 64, 1.0);
            images[70] = if bad == Some(part) { f32::NEG_INFINITY } else { 1.0 };
            let inputs = [
                (Builder::IMAGES, (&images).into()),
                (Recipe::LABELS, (&[0u32, 1, 2]).into()),
                (Recipe::LOSS_WEIGHT, (&loss_weight).into()),
                (Optimizer::SCHEDULE, (&schedule).into()),
            ];
            let plan = &self.session.plans()[part];
            let inputs: Vec<_> = inputs.into_iter().filter(|(name, _)| plan.has_input(name)).collect();
            let outputs = self.session.run(part, &inputs)?;
            reported = outputs.scalar(Recipe::NON_FINITE).is_some_and(|found| found != 0.0);
        }
        self.count += 1;
        let mut state = everything(&mut self.session)?;
        state.retain(|(name, _)| !name.starts_with("accumulate."));
        Ok((reported, state))
    }
}

pub fn a_bad_step_changes_nothing(device: &Device) -> Outcome {
    let sgd = config().recipe;
    let adam = Recipe { optimizer: Optimizer::Adam(AdamConfig::ADAMW), ..Default::default() };
    let clipped = Recipe { clip_norm: Some(0.5), ema: Some(0.9), ..sgd.clone() };
    for recipe in [sgd, adam, clipped] {
        for (parts, bad) in [(1, 0), (2, 0)] {
            let mut steps = Steps::new(device, &recipe, parts)?;
            let (reported, before) = steps.step(None)?;
            let (reported_bad, after) = steps.step(Some(bad))?;
            let (reported_later, later) = steps.step(None)?;
            let reports = [reported, reported_bad, reported_later];
            if reports != [false, true, false] || before != after || after == later {
                let changed: Vec<_> =
                    before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| &a.0).collect();
                return Err(
                    format!("{recipe:?} in {parts}: reports {reports:?}, changes of {changed:?}").into()
                );
            }
        }
    }
    // In a later micro-batch, only running statistics include the one before.
    let mut steps = Steps::new(device, &config().recipe, 2)?;
    let (_, before) = steps.step(None)?;
    let (reported, after) = steps.step(Some(1))?;
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        if !reported
            || (before != after) != name.contains("running")
            || after.as_f32().iter().any(|v| !v.is_finite())
        {
            return Err(format!("{name} in the step whose second micro-batch is bad").into());
        }
    }
    Ok(())
}

pub fn a_bad_batch_is_skipped_or_ends_training(device: &Device) -> Outcome {
    let bad: fn(usize) -> bool = |i| i == BAD;
    for accumulate in [1, 2] {
        let mut trainer = poisoned_trainer(device, bad, TrainConfig { accumulate, ..skipping() })?;
        for _ in 0..2 {
            let report = epoch(&mut trainer)?;
            if (report.skipped, report.train.images) != (1, 18) || !report.train.loss.is_finite() {
                return Err(format!("with {accumulate} micro-batches: {report:?}").into());
            }
        }
        let mut stopped = poisoned_trainer(device, bad, TrainConfig { accumulate, ..config() })?;
        let problem = complaint(epoch(&mut stopped), "lr")?;
        let weights = stopped.session().state_dict()?;
        let finite = weights.iter().all(|(_, tensor)| tensor.as_f32().iter().all(|v| v.is_finite()));
        if !finite || !problem.starts_with("the loss is no longer finite at step ") {
            return Err(format!("finite: {finite}, {problem}").into());
        }
    }
    // Without bad batches, skipping them changes nothing.
    let mut weights = Vec::new();
    for config in [config(), skipping()] {
        weights.push(trained(&mut poisoned_trainer(device, |_| false, config)?)?);
    }
    assert!(weights[0] == weights[1], "the setting changes the weights");
    Ok(())
}

pub fn too_many_skipped_steps_end_training(device: &Device) -> Outcome {
    let config = TrainConfig { epochs: 9, ..skipping() };
    let mut trainer = poisoned_trainer(device, |_| true, config)?;
    let before = trainer.session().state_dict()?;
    // Four steps per epoch.
    for _ in 0..2 {
        assert_eq!(epoch(&mut trainer)?.skipped, 4);
    }
    let problem = complaint(epoch(&mut trainer), "lr")?;
    if !problem.contains("at step 2 of epoch 3, the last of 10 skipped steps in a row") {
        return Err(problem.into());
    }
    assert!(trainer.session().state_dict()? == before, "a skipped step changes weights");
    Ok(())
}

/// A run that is resumed from a checkpoint after each step skips the same ones.
pub fn skipped_steps_survive_checkpoints(device: &Device) -> Outcome {
    let bad: fn(usize) -> bool = |i| i == BAD;
    let config =
        TrainConfig { recipe: Recipe { ema: Some(0.9), ..config().recipe }, accumulate: 2, ..skipping() };
    let mut whole = poisoned_trainer(device, bad, config.clone())?;
    let reports = [epoch(&mut whole)?, epoch(&mut whole)?];
    let dir = tempfile::tempdir().expect("a folder for a file");
    let path = dir.path().join("checkpoint");
    let mut pieces = poisoned_trainer(device, bad, config.clone())?;
    let mut done = Vec::new();
    while pieces.epochs_left() > 0 {
        let report = pieces.epoch(&mut |_| ControlFlow::Break(()))?;
        done.extend(report.test.is_some().then_some(report));
        Checkpoint::of(&mut pieces, &Default::default())?.write(&path)?;
        pieces = poisoned_trainer(device, bad, config.clone())?;
        Checkpoint::read(&path)?.restore(&path, &mut pieces)?;
    }
    for (want, got) in reports.iter().zip(&done) {
        if (got.skipped, got.train, got.test) != (want.skipped, want.train, want.test) {
            return Err(format!("expected {want:?}, found {got:?}").into());
        }
    }
    assert!(pieces.session().state_dict()? == whole.session().state_dict()?, "resuming changes the weights");
    Ok(())
}

pub fn the_origin_of_an_anomaly_is_named(device: &Device) -> Outcome {
    let anomaly = |accumulate: usize| TrainConfig { anomaly: true, accumulate, ..skipping() };
    for accumulate in [1, 2] {
        let mut trainer = poisoned_trainer(device, |i| i == BAD, anomaly(accumulate))?;
        let problem = complaint(epoch(&mut trainer), "lr")?;
        if !problem.contains("double forward wrote infinity") || !problem.contains("(kernel add)") {
            return Err(problem.into());
        }
        // An overflow in the middle: finite images, finite weights.
        let mut trainer = poisoned_trainer(device, |_| false, anomaly(accumulate))?;
        let weight = get(&trainer.session().state_dict()?, "conv.weight").clone();
        let mut huge = weight.clone().into_f32();
        huge.fill(3e38);
        let huge = striate::Tensor::f32(weight.shape(), huge)?;
        trainer.session().write("conv.weight", &huge)?;
        let problem = complaint(epoch(&mut trainer), "lr")?;
        let words = ["at step 1 of epoch 1, conv forward wrote ", "(kernel ", "), from finite operands"];
        if !words.iter().all(|word| problem.contains(word)) {
            return Err(problem.into());
        }
        // The state is that before the step.
        assert!(*get(&trainer.session().state_dict()?, "conv.weight") == huge);
        let mut broken = weight.into_f32();
        broken[3] = f32::NAN;
        let broken = striate::Tensor::f32(huge.shape(), broken)?;
        trainer.session().write("conv.weight", &broken)?;
        let problem = complaint(epoch(&mut trainer), "conv.weight")?;
        if !problem.contains("has NaN as element 3 of 72 before step") {
            return Err(problem.into());
        }
    }
    Ok(())
}
