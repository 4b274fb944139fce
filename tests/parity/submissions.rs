//! Launches that are split to shorten submissions give the same bits. The limit is lowered for these tests.

use crate::common::*;
use crate::evaluate;
use std::collections::BTreeSet;
use std::sync::Arc;
use striate::kernel;
use striate::models;
use striate::nn::{Optimizer, SgdConfig};
use striate::plan::{Plan, Target};
use striate::selftest::cases::Case;
use striate::train::{Recipe, training_graph};
use striate::{Device, Session, Tensor};

/// Milliseconds in which no workgroup can be done, so that each is submitted alone.
const NONE: Option<f64> = Some(1e-9);

/// Most submissions of a case.
const MOST: usize = 500;

pub fn add(suite: &mut Suite, cases: &[Arc<Case>]) {
    let cases = cases.to_vec();
    suite.add_gpu("submissions::every_entry_point_can_be_split::gpu", move |gpu| {
        every_entry_point(&cases, gpu)
    });
    suite.add_gpu("submissions::a_training_step_can_be_split::gpu", training);
}

/// The entry points of which a plan splits a launch.
fn split(plan: &Plan) -> BTreeSet<&'static str> {
    let parts = |i: usize| plan.dispatches_of(&(i..i + 1)).len();
    (0..plan.launches.len()).filter(|i| parts(*i) > 1).map(|i| plan.launches[i].kernel.entry).collect()
}

/// Entry points that this device can run and that may have several workgroups.
fn splittable(gpu: &Device) -> BTreeSet<&'static str> {
    let runs = |k: &kernel::Kernel| gpu.target().subgroup > 0 || !k.uses_subgroups();
    let single = [&kernel::CLIP_COEFFICIENT, &kernel::LABEL_TOTAL];
    let own = |k: &kernel::Kernel| !k.file.starts_with("probe") && !single.contains(&k);
    kernel::ALL.iter().filter(|k| runs(k) && own(k)).map(|k| k.entry).collect()
}

fn every_entry_point(cases: &[Arc<Case>], gpu: &Device) -> Outcome {
    let mut missing = splittable(gpu);
    for case in cases {
        for backward in [false, true].into_iter().filter(|b| !b || case.backward) {
            for (variant, target) in case.targets(gpu.target(), backward) {
                let split_target = Target { submission_ms: NONE, ..target.clone() };
                let plan = case.plan(&split_target, backward)?;
                let entries = split(&plan);
                if missing.is_disjoint(&entries) || plan.submissions.len() > MOST {
                    continue;
                }
                let want = evaluate(case, &gpu.clone().with_target(target), backward)?;
                let got = evaluate(case, &gpu.clone().with_target(split_target), backward)?;
                let direction = if backward { "backward" } else { "forward" };
                let what = case.describe(direction, &gpu.name(), &format!("{variant}, split"));
                compare_all(&what, &got, &want, 0.0, 0.0)?;
                missing.retain(|entry| !entries.contains(entry));
            }
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("no case splits {missing:?}; add one with several workgroups").into()),
    }
}

/// Loss and persistent values after two steps, and the plan.
fn train(gpu: &Device, target: &Target) -> striate::Result<(Vec<Tensor>, Plan)> {
    let optimizer = Optimizer::Sgd(SgdConfig { momentum: 0.9, weight_decay: 1e-3, ..Default::default() });
    let model = models::by_name("resnet8", 3, 10)?;
    let recipe = Recipe { optimizer, ..Default::default() };
    let graph = training_graph(&*model, [4, 3, 16, 16], &recipe)?;
    let plan = Plan::new(&graph, target)?;
    let mut session = Session::new(gpu, vec![plan.clone()])?;
    session.initialize(1)?;
    let mut rng = Random::new(2);
    let mut results = Vec::new();
    for step in 0..2 {
        let (images, labels) = (rng.normal(&[4, 3, 16, 16]), rng.labels(4, 10));
        let schedule = optimizer.schedule(0.05, step);
        let feed = [
            ("images", (&images).into()),
            ("labels", (&labels).into()),
            (Optimizer::SCHEDULE, (&schedule).into()),
            (Recipe::LOSS_WEIGHT, (&[1.0f32]).into()),
        ];
        let feed: Vec<_> = feed.into_iter().filter(|(name, _)| plan.has_input(name)).collect();
        results.extend(session.run(0, &feed)?.into_tensors());
        // A split launch counts as one.
        assert_eq!(session.time(0, &feed)?.seconds.len(), plan.groups.len());
        assert_eq!(session.profile(0, &feed)?.spans.len(), plan.launches.len());
    }
    results.extend(everything(&mut session)?.into_iter().map(|(_, tensor)| tensor));
    Ok((results, plan))
}

fn training(gpu: &Device) -> Outcome {
    let (want, _) = train(gpu, gpu.target())?;
    let (got, plan) = train(gpu, &Target { submission_ms: NONE, ..gpu.target().clone() })?;
    let split = split(&plan);
    for entry in ["conv", "batch_norm", "sgd"] {
        assert!(split.iter().any(|split| split.starts_with(entry)), "no {entry} among {split:?}");
    }
    compare_all("two training steps, seeds 1 and 2, split", &got, &want, 0.0, 0.0)
}
