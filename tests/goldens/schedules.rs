//! Learning rates and the defaults of optimizers against `schedules.json`.

use crate::common::*;
use serde_json::{Value, json};
use striate::nn::{AdamConfig, Anneal, Decay, Milestone, OneCycle, Schedule, SgdConfig};

/// Relative to the base rate. Rates are computed in f64 and rounded to f32, but settings such as 0.3 are f32.
const TOLERANCE: f64 = 1e-6;

pub fn add(suite: &mut Suite) {
    let golden: Value =
        serde_json::from_str(include_str!("schedules.json")).expect("the goldens' schedules are JSON");
    for row in golden["schedules"].as_array().expect("a list").clone() {
        let lr = number(&golden["lr"]);
        let name = row["name"].as_str().expect("a name").to_owned();
        suite.add(format!("schedule::{name}"), move || check(lr, &row));
    }
    suite.add("defaults_are_pytorchs", move || defaults(&golden["defaults"]));
}

fn check(lr: f32, row: &Value) -> Outcome {
    let size = |key: &str| row[key].as_u64().expect("a size") as usize;
    let schedule = Schedule {
        lr,
        steps: size("steps"),
        warmup: size("warmup"),
        start_factor: row["start_factor"].as_f64().map(|factor| factor as f32),
        decay: decay(&row["decay"]),
        ..Default::default()
    };
    for (step, want) in row["rates"].as_array().expect("a list").iter().enumerate() {
        let (got, want) = (f64::from(schedule.at(step)), want.as_f64().expect("a rate"));
        if (got - want).abs() > TOLERANCE * f64::from(lr) {
            return Err(format!("step {step} of {schedule:?} has {got}, PyTorch has {want}").into());
        }
    }
    Ok(schedule.check()?)
}

fn decay(row: &Value) -> Decay {
    let get = |key: &str| number(&row[key]);
    match row["kind"].as_str().expect("a kind") {
        "constant" => Decay::Constant,
        "cosine" => Decay::Cosine { eta_min: get("eta_min") },
        "polynomial" => Decay::Polynomial { power: get("power") },
        "steps" => {
            let at = row["at"].as_array().expect("a list").iter();
            let at = at.map(|step| Milestone::Step(step.as_u64().expect("a step") as usize)).collect();
            Decay::Steps { at, factor: get("factor") }
        }
        "one_cycle" => Decay::OneCycle(OneCycle {
            pct_start: get("pct_start"),
            div_factor: get("div_factor"),
            final_div_factor: get("final_div_factor"),
            anneal: if row["anneal_strategy"] == "cos" { Anneal::Cosine } else { Anneal::Linear },
            three_phase: row["three_phase"].as_bool().expect("a flag"),
        }),
        other => {
            panic!("schedules.json has the schedule {other}, which this test does not support; add an arm")
        }
    }
}

fn defaults(golden: &Value) -> Outcome {
    let sgd = SgdConfig::default();
    let ours =
        json!({ "momentum": sgd.momentum, "weight_decay": sgd.weight_decay, "nesterov": sgd.nesterov });
    same("sgd", &ours, &golden["sgd"])?;
    for (name, adam, decoupled) in
        [("adam", AdamConfig::default(), false), ("adamw", AdamConfig::ADAMW, true)]
    {
        let betas = [adam.beta1, adam.beta2];
        let ours = json!({ "weight_decay": adam.weight_decay, "betas": betas, "eps": adam.eps });
        same(name, &ours, &golden[name])?;
        if adam.decoupled != decoupled {
            return Err(format!("{name}: decoupled is {}", adam.decoupled).into());
        }
    }
    Ok(())
}

/// Fails unless two objects have the same keys and, as f32, the same numbers.
fn same(what: &str, ours: &Value, theirs: &Value) -> Outcome {
    let narrow = |value: &Value| -> Vec<(String, Vec<String>)> {
        let list = |value: &Value| match value {
            Value::Array(list) => list.iter().map(|v| number(v).to_string()).collect(),
            Value::Number(_) => vec![number(value).to_string()],
            other => vec![other.to_string()],
        };
        let mut pairs: Vec<_> =
            value.as_object().expect("an object").iter().map(|(k, v)| (k.clone(), list(v))).collect();
        pairs.sort();
        pairs
    };
    let (ours, theirs) = (narrow(ours), narrow(theirs));
    assert!(ours == theirs, "{what}: {ours:?}, PyTorch has {theirs:?}");
    Ok(())
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}")) as f32
}
