//! Options of training: accumulation, rules, averages, mixed labels, pausing, and loading a backbone.

use crate::common::*;
use crate::support::*;
use std::ops::ControlFlow;
use striate::data::Mix;
use striate::nn::{Decay, Optimizer, Rules, SgdConfig};
use striate::plan::Plan;
use striate::train::{Recipe, TrainConfig, training_graph};
use striate::weights::{Fit, Weights, write};
use striate::{Device, Error, Input, Result, Session, Tensor};

fn config() -> TrainConfig {
    TrainConfig { epochs: 2, batch: 12, lr: 0.1, decay: Decay::Constant, ..Default::default() }
}

/// Accumulated gradients equal those of one batch. The 40 images make steps of 12, 12, 12 and 4 in micro-batches of 4 and
/// of 3; the latter split the last step into 3 + 1.
pub fn accumulated_gradients_match_a_full_batch(device: &Device) -> Outcome {
    let recipe = Recipe { clip_norm: Some(0.5), ema: Some(0.8), ..config().recipe };
    gradients_add_up(device, &recipe)?;
    // With class weights, micro-batches of equal size have different weights.
    gradients_add_up(device, &Recipe { class_weights: Some(vec![1.0, 3.0, 0.5]), ..recipe })
}

fn gradients_add_up(device: &Device, recipe: &Recipe) -> Outcome {
    let run = |accumulate: usize, batch: usize| -> Result<(State, State)> {
        let config = TrainConfig { accumulate, batch, recipe: recipe.clone(), ..config() };
        let mut trainer = trainer(device, false, 40, &config)?;
        Ok((trained(&mut trainer)?, trainer.weights()?))
    };
    let (want, want_average) = run(1, 12)?;
    for accumulate in [3, 4] {
        let (got, average) = run(accumulate, 12)?;
        for (got, want) in [(got, &want), (average, &want_average)] {
            for ((name, got), (_, want)) in got.iter().zip(want) {
                compare(&format!("{name}, {accumulate} micro-batches"), got, want, 1e-5, 1e-3)?;
            }
        }
    }
    // Control: a different batch size gives different weights.
    let (other, _) = run(1, 4)?;
    match compare("", get(&other, "fc.weight"), get(&want, "fc.weight"), 1e-5, 1e-3) {
        Err(_) => Ok(()),
        Ok(()) => Err("steps of 4 and of 12 images give the same weights".into()),
    }
}

pub fn frozen_parameters_do_not_change(device: &Device) -> Outcome {
    let rules = Rules { freeze: Rules::patterns(&["conv0.*", "bn0.*"])?, ..Default::default() };
    let config = TrainConfig { recipe: Recipe { rules, ..config().recipe }, ..config() };
    let mut trainer = trainer(device, true, 24, &config)?;
    let before = trainer.session().state_dict()?;
    let after = trained(&mut trainer)?;
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        let frozen = name.starts_with("conv0.") || name.starts_with("bn0.");
        // The gradient of a bias before a batch norm is only rounding error.
        if name != "conv1.bias" && frozen != (before == after) {
            return Err(format!("{name}: frozen {frozen}, changed {}", before != after).into());
        }
    }
    // The backward pass ends at the first trained parameter.
    let backward = |scope: &str| {
        let groups = &trainer.plan().groups;
        groups.iter().any(|g| &*g.scope == scope && g.phase == striate::graph::Phase::Backward)
    };
    match (backward("conv0"), backward("conv1")) {
        (false, true) => Ok(()),
        found => Err(format!("backward launches of conv0 and conv1: {found:?}").into()),
    }
}

pub fn rules_scale_rate_and_disable_decay(device: &Device) -> Outcome {
    let run = |rules: Rules, weight_decay: f32| -> Result<(State, State)> {
        let optimizer = Optimizer::Sgd(SgdConfig { weight_decay, ..SgdConfig::HE_2015 });
        let recipe = Recipe { optimizer, rules, clip_norm: Some(1e6), ..Default::default() };
        let mut trainer = trainer(device, false, 12, &TrainConfig { epochs: 1, recipe, ..config() })?;
        let before = trainer.session().state_dict()?;
        Ok((before, trained(&mut trainer)?))
    };
    let (before, plain) = run(Rules::default(), 0.0)?;
    let (_, decayed) = run(Rules::default(), 0.5)?;
    let rules = Rules {
        lr_scale: vec![(Rules::pattern("fc.bias")?, 0.0), (Rules::pattern("fc.*")?, 2.0)],
        no_decay: Rules::patterns(&["conv0.w*"])?,
        no_decay_1d: true,
        ..Default::default()
    };
    let (_, ruled) = run(rules, 0.5)?;
    let same = |name: &str, a: &State, b: &State| get(a, name) == get(b, name);
    let expectations = [
        ("decay changes conv0.weight", !same("conv0.weight", &plain, &decayed)),
        ("conv0.weight has no decay", same("conv0.weight", &plain, &ruled)),
        ("conv1.weight has decay", same("conv1.weight", &decayed, &ruled)),
        ("biases have no decay", same("conv1.bias", &plain, &ruled)),
        ("fc.bias has a rate of 0", same("fc.bias", &before, &ruled)),
    ];
    if let Some((what, _)) = expectations.iter().find(|(_, holds)| !holds) {
        return Err(format!("does not hold: {what}").into());
    }
    let moved = |to: &State| {
        let [from, to] = [&before, to].map(|s| get(s, "fc.weight").as_f32());
        Tensor::f32([from.len()], from.iter().zip(to).map(|(a, b)| b - a).collect())
    };
    let twice: Vec<f32> = moved(&decayed)?.as_f32().iter().map(|v| 2.0 * v).collect();
    compare("fc.weight at twice the rate", &moved(&ruled)?, &Tensor::f32([twice.len()], twice)?, 1e-5, 1e-4)
}

/// Each epoch has one step, so that the weights after each step are known.
pub fn ema_tracks_the_weights(device: &Device) -> Outcome {
    let recipe = Recipe { ema: Some(0.75), ..config().recipe };
    let config = || TrainConfig { precise_bn: false, ..config() };
    let mut trainer = trainer(device, true, 12, &TrainConfig { epochs: 4, recipe, ..config() })?;
    let mut average: Vec<Vec<f64>> = Vec::new();
    let values = |t: &Tensor| t.as_f32().iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    for (_, tensor) in trainer.session().state_dict()? {
        average.push(values(&tensor));
    }
    let mut last = None;
    for _ in 0..4 {
        last = epoch(&mut trainer)?.test;
        for (average, (_, tensor)) in average.iter_mut().zip(trainer.session().state_dict()?) {
            for (a, new) in average.iter_mut().zip(values(&tensor)) {
                *a = 0.75 * *a + 0.25 * new;
            }
        }
    }
    for ((name, got), want) in trainer.weights()?.iter().zip(average) {
        let want = Tensor::f32(got.shape().to_vec(), want.iter().map(|v| *v as f32).collect())?;
        compare(name, got, &want, 1e-5, 1e-3)?;
    }
    // The test score is that of the average.
    let averaged = trainer.weights()?;
    let mut plain = crate::support::trainer(device, true, 12, &config())?;
    averaged.iter().try_for_each(|(name, tensor)| plain.session().write(name, tensor))?;
    let (tested, want) = (last.map(|score| score.loss), plain.test()?.loss);
    match tested {
        Some(loss) if (loss - want).abs() < 1e-6 => Ok(()),
        other => Err(format!("test loss {other:?}, expected the average's, {want}").into()),
    }
}

/// With weight 1 a step uses the images' own labels, with weight 0 their partners'; in between it is linear.
pub fn mixed_labels_are_weighted(device: &Device) -> Outcome {
    let step = |mixed: bool, labels: [&[u32]; 2], weight: f32| -> Result<State> {
        let optimizer = Optimizer::Sgd(SgdConfig { momentum: 0.0, weight_decay: 0.0, nesterov: false });
        let recipe = Recipe { optimizer, mixed, ..Default::default() };
        let graph = training_graph(&small(false, 3), [3, 1, 8, 8], &recipe)?;
        let mut session = Session::new(device, vec![Plan::new(&graph, device.target())?])?;
        session.initialize(1)?;
        let images = fill(4, 3 * 64, 1.0);
        let weights = [[weight], [1.0 - weight]];
        let schedule = [0.5f32, 1.0, 1.0];
        let mut inputs: Vec<(&str, Input)> = vec![
            ("images", (&images).into()),
            ("labels", labels[0].into()),
            (Optimizer::SCHEDULE, (&schedule).into()),
        ];
        if mixed {
            inputs.extend([
                ("partners", labels[1].into()),
                (Recipe::LOSS_WEIGHT, (&weights[0]).into()),
                (Recipe::PARTNER_LOSS_WEIGHT, (&weights[1]).into()),
            ]);
        }
        session.run(0, &inputs)?;
        session.state_dict()
    };
    let (own, partners): (&[u32], &[u32]) = (&[0, 1, 2], &[2, 2, 0]);
    let [a, b] = [own, partners].map(|labels| step(false, [labels, labels], 1.0));
    let (a, b) = (a?, b?);
    for weight in [1.0, 0.0, 0.3] {
        let got = step(true, [own, partners], weight)?;
        for (((name, got), (_, a)), (_, b)) in got.iter().zip(&a).zip(&b) {
            let mix = |(a, b): (&f32, &f32)| weight * a + (1.0 - weight) * b;
            let want = a.as_f32().iter().zip(b.as_f32()).map(mix).collect();
            let want = Tensor::f32(a.shape().to_vec(), want)?;
            compare(&format!("{name} at {weight}"), got, &want, 1e-5, 1e-3)?;
        }
    }
    Ok(())
}

/// Pausing after each step, and reading the weights meanwhile, changes neither weights nor report.
pub fn a_paused_epoch_continues(device: &Device) -> Outcome {
    let mix = Some(Mix { mixup: 0.4, cutmix: 0.4 });
    let config = TrainConfig { mix, accumulate: 2, ..config() };
    let mut whole = trainer(device, true, 40, &config)?;
    let mut paused = trainer(device, true, 40, &config)?;
    for _ in 0..2 {
        let want = epoch(&mut whole)?;
        let mut pauses = 0;
        let got = loop {
            let report = paused.epoch(&mut |_| ControlFlow::Break(()))?;
            if report.test.is_some() {
                break report;
            }
            pauses += 1;
            paused.session().state_dict()?;
        };
        if (got.train, got.test, got.lr) != (want.train, want.test, want.lr) || pauses == 0 {
            return Err(format!("after {pauses} pauses {got:?}, expected {want:?}").into());
        }
    }
    assert!(whole.session().state_dict()? == paused.session().state_dict()?, "pausing changes the weights");
    Ok(())
}

pub fn a_backbone_loads_without_its_head(device: &Device) -> Outcome {
    let dir = tempfile::tempdir().expect("a folder for a file");
    let path = dir.path().join("four.safetensors");
    let model = small(true, 4);
    let mut four =
        striate::train::Trainer::new(device, &model, split(24, 4), TrainConfig { seed: 9, ..config() })?;
    let theirs = four.session().state_dict()?;
    write(&path, &theirs, &Default::default())?;
    let weights = Weights::read(&path)?;

    let mut three = trainer(device, true, 24, &config())?;
    let fresh = three.session().state_dict()?;
    if three.load(&weights, Fit::Strict).is_ok() {
        return Err("strict loading accepted a head for other classes".into());
    }
    let loaded = three.load(&weights, Fit::Backbone { classes: 3 })?;
    let now = three.session().state_dict()?;
    for (name, tensor) in &now {
        let want = if name.starts_with("fc.") { get(&fresh, name) } else { get(&theirs, name) };
        if tensor != want {
            return Err(format!("{name} has the wrong value").into());
        }
    }
    assert!(loaded.kept == ["fc.weight", "fc.bias"], "{loaded:?}");
    Ok(())
}

pub fn invalid_settings_are_rejected(device: &Device) -> Outcome {
    let rules = |rules: Rules| TrainConfig { recipe: Recipe { rules, ..config().recipe }, ..config() };
    let pattern = |p: &str| Rules::pattern(p).expect("it is a valid glob");
    let weights = |weights: &[f32]| {
        let recipe = Recipe { class_weights: Some(weights.to_vec()), ..config().recipe };
        TrainConfig { recipe, ..config() }
    };
    let decay = |decay: Decay| TrainConfig { decay, ..config() };
    let wrong = [
        ("class_weights", weights(&[1.0, 2.0])),
        ("class_weights", weights(&[1.0, 0.0, 2.0])),
        ("eta_min", decay(Decay::Cosine { eta_min: 0.2 })),
        ("power", decay(Decay::Polynomial { power: f32::NAN })),
        ("start_factor", TrainConfig { start_factor: Some(-1.0), ..config() }),
        ("accumulate", TrainConfig { accumulate: 5, ..config() }),
        ("accumulate", TrainConfig { accumulate: 0, ..config() }),
        ("ema", TrainConfig { recipe: Recipe { ema: Some(1.0), ..Default::default() }, ..config() }),
        ("mixup", TrainConfig { mix: Some(Mix { mixup: -1.0, cutmix: 0.0 }), ..config() }),
        ("cutmix", TrainConfig { mix: Some(Mix { mixup: 0.1, cutmix: f32::NAN }), ..config() }),
        ("freeze", rules(Rules { freeze: vec![pattern("layer9.*")], ..Default::default() })),
        ("freeze", rules(Rules { freeze: vec![pattern("*")], ..Default::default() })),
        ("no_decay", rules(Rules { no_decay: vec![pattern("bn7")], ..Default::default() })),
        ("lr_scale", rules(Rules { lr_scale: vec![(pattern("fc.*"), f32::INFINITY)], ..Default::default() })),
    ];
    for (name, config) in wrong {
        match trainer(device, true, 24, &config).map(|_| ()) {
            Err(Error::Argument { name: found, .. }) if found == name => {}
            other => return Err(format!("expected an error about {name}, found {other:?}").into()),
        }
    }
    match Rules::pattern("[a") {
        Err(Error::Argument { .. }) => Ok(()),
        other => Err(format!("[a is accepted as a pattern: {other:?}").into()),
    }
}
