//! The settings that differ between runs.

use super::super::page::text;
use super::run::Run;
use crate::cli::html::list;
use serde_json::{Value, json};

/// Where a run goes, which differs for every run.
const PLACE: [&str; 5] = ["out", "force", "report", "resume", "tensorboard"];

/// Name and values of each flag that is not the same for all runs, in the order of `striate train --help`.
pub fn differing(runs: &[Run]) -> Value {
    let mut names: Vec<&String> = Vec::new();
    for settings in runs.iter().filter_map(|run| run.config["settings"].as_object()) {
        names.extend(settings.keys().filter(|name| !PLACE.contains(&name.as_str())));
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let rows = names.into_iter().map(|name| {
        let values: Vec<String> = runs.iter().map(|run| shown(run, name)).collect();
        (name, values)
    });
    list(
        rows.filter(|(_, values)| values.iter().any(|value| *value != values[0])).map(
            |(name, values)| json!({ "name": format!("--{}", name.replace('_', "-")), "values": values }),
        ),
    )
}

/// A setting as text. Flags that were not given look alike, whether a run lists them or not.
fn shown(run: &Run, name: &str) -> String {
    let value = match (name, &run.config["learning_rate"]) {
        ("lr", effective) if !effective.is_null() => effective,
        _ => run.setting(name),
    };
    match value {
        Value::Null | Value::Bool(false) => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        value => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: Value) -> Run {
        Run { path: Default::default(), name: String::new(), config, metrics: Default::default() }
    }

    #[test]
    fn only_differing_settings_are_listed() {
        let settings =
            json!({ "model": "lenet", "lr": null, "nesterov": false, "freeze": [], "out": "a", "epochs": 4 });
        let a = run(json!({ "settings": settings, "learning_rate": 0.01 }));
        let settings = json!({ "model": "lenet", "lr": 0.1, "epochs": 4, "freeze": ["a", "b"], "out": "b", "no_decay_1d": true });
        let b = run(json!({ "settings": settings, "learning_rate": 0.1 }));
        let expected = json!([
            { "name": "--lr", "values": ["0.01", "0.1"] },
            { "name": "--freeze", "values": ["-", "a, b"] },
            { "name": "--no-decay-1d", "values": ["-", "yes"] },
        ]);
        assert_eq!(differing(&[a, b]), expected);
        assert_eq!(differing(&[run(json!({})), run(json!({ "settings": 1 }))]), json!([]));
    }
}
