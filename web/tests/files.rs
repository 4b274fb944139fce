//! Plans as files, without a browser.

use crate::common::{Named, Outcome, Suite, named};
use serde_json::{Value, json};
use striate::models;
use striate::nn::{Builder, Optimizer};
use striate::plan::{Family, Plan, PlanFile, Target};
use striate::train::{Recipe, evaluation_graph, training_graph};
use striate::{Device, Error, Session};

pub fn add(suite: &mut Suite) {
    let tests: &Named<fn() -> Outcome> =
        named![plans_survive_a_file, plans_from_a_file_compute_the_same, broken_files_are_refused];
    suite.add_all(tests);
}

/// Plans for training and evaluation, which share weights.
fn plans(model: &str, target: &Target) -> Result<PlanFile, Error> {
    let model = models::by_name(model, 1, 10)?;
    let train = training_graph(&*model, [4, 1, 28, 28], &Recipe::default())?;
    let evaluate = evaluation_graph(&*model, [2, 1, 28, 28])?;
    let plans = vec![
        ("train".to_owned(), Plan::new(&train, target)?),
        ("evaluate".to_owned(), Plan::new(&evaluate, target)?),
    ];
    Ok(PlanFile { plans, subgroup: target.subgroup })
}

fn plans_survive_a_file() -> Outcome {
    for target in [
        Target::browser(Family::Gpu),
        Target::browser(Family::Software),
        Target::baseline(Family::Gpu),
        Target { subgroup: 8, ..Target::baseline(Family::Software) },
        // Ranges of workgroups.
        Target { submission_ms: Some(0.05), ..Target::baseline(Family::Gpu) },
        Target::cpu(None),
    ] {
        let written = plans("resnet8", &target)?;
        if PlanFile::from_json(&written.to_json()?)? != written {
            return Err(format!("differs for {target:?}").into());
        }
    }
    Ok(())
}

fn plans_from_a_file_compute_the_same() -> Outcome {
    let device = Device::select("cpu")?;
    let written = plans("resnet8", device.target())?;
    let read = PlanFile::from_json(&written.to_json()?)?;
    let weights = |file: PlanFile| {
        let mut session = Session::new(&device, file.plans.into_iter().map(|(_, plan)| plan).collect())?;
        session.initialize(1)?;
        let images = vec![0.5f32; 4 * 784];
        session.run(
            0,
            &[
                (Builder::IMAGES, (&images).into()),
                (Recipe::LABELS, (&[1u32, 2, 3, 4]).into()),
                (Optimizer::SCHEDULE, (&[0.1f32, 1.0, 1.0]).into()),
            ],
        )?;
        session.state_dict()
    };
    if weights(written)? == weights(read)? { Ok(()) } else { Err("the weights differ".into()) }
}

/// Each change of a file, with part of the error.
fn broken_files_are_refused() -> Outcome {
    let text = plans("lenet", &Target::baseline(Family::Gpu))?.to_json()?;
    let file: Value = serde_json::from_str(&text)?;
    let changes: &[(&str, Value, &str)] = &[
        ("/format", json!("other"), "found \"other\""),
        ("/version", json!(99), "version 99; write the file again"),
        ("/subgroup", json!(5), "5 is not a subgroup size"),
        ("/programs/0/plan/launches/0/kernel", json!("conv_gemm_9x9"), "there is no kernel conv_gemm_9x9"),
        ("/programs/0/plan/launches/0/params", json!([1, 2]), "has 2 words of parameters"),
        ("/programs/0/plan/launches/0/reads", json!([]), "binds 0 and"),
        ("/programs/0/plan/launches/0/writes/0", json!(9999), "binds a storage that does not exist"),
        ("/programs/0/plan/launches/0/workgroups/0", json!(77), "do not have its workgroups"),
        ("/programs/0/plan/dispatches/0/first_workgroup", json!(3), "leave out workgroups"),
        ("/programs/0/plan/dispatches/0/launch", json!(5), "do not have its workgroups"),
        ("/programs/0/plan/dispatches/0/workgroups/1", json!(0), "no workgroups"),
        ("/programs/0/plan/groups/0/launches/end", json!(9999), "does not start where"),
        ("/programs/0/plan/submissions/0/dispatches/end", json!(1), "does not start where"),
        (
            "/programs/0/plan/inputs/0/ty/shape/0",
            json!(64),
            "images is stored in a storage that does not have its size",
        ),
        ("/programs/0/plan/outputs/0/storage", json!(9999), "stored in a storage"),
        ("/programs/0/plan/slots", json!([16]), "does not fit where it is placed"),
        ("/programs/1/plan/storages/0/bytes", json!(u64::MAX), "does not fit where it is placed"),
        ("/programs/1/plan/storages/0/bytes", json!(u64::MAX - 3), "too large to address"),
        (
            "/programs/1/plan/storages/0/placement",
            json!({ "within": { "whole": 0, "offset": 0 } }),
            "does not fit",
        ),
        ("/programs/1/plan/persistent/0/value/name", json!(3), "expected plans as JSON"),
        ("/kernels/relu/source", json!("fn relu() {}"), "differs from the one of this version"),
    ];
    for (pointer, value, expected) in changes {
        let mut changed = file.clone();
        *changed.pointer_mut(pointer).ok_or_else(|| format!("{pointer} does not exist"))? = value.clone();
        match PlanFile::from_json(&changed.to_string()) {
            Err(Error::Argument { problem, .. }) if problem.contains(expected) => {}
            other => return Err(format!("{pointer}: {other:.200?}").into()),
        }
    }
    for end in [0, 1, text.len() / 2, text.len() - 1] {
        if PlanFile::from_json(&text[..end]).is_ok() {
            return Err(format!("the first {end} bytes are a file").into());
        }
    }
    Ok(())
}
