//! Parameter and multiply-add counts match published ones, and parameter names match torchvision's.

use crate::common::{Outcome, Suite, seed_of};
use serde_json::Value;
use striate::graph::{Graph, PersistentKind, Role};
use striate::models::{self, Model};
use striate::nn::{Builder, Mode};
use striate::plan::Summary;

/// Name, parameters in evaluation and in training, and billions of multiply-adds, from torchvision's documentation where
/// it has the network.
const PUBLISHED: [(&str, u64, u64, f64); 8] = [
    ("resnet18", 11_689_512, 11_689_512, 1.81),
    ("resnet34", 21_797_672, 21_797_672, 3.66),
    ("resnet50", 25_557_032, 25_557_032, 4.09),
    ("resnet101", 44_549_160, 44_549_160, 7.80),
    ("resnet152", 60_192_808, 60_192_808, 11.51),
    ("googlenet", 6_624_904, 13_004_888, 1.50),
    ("alexnet", 61_100_840, 61_100_840, 0.71),
    ("alexnet-2012", 60_965_224, 60_965_224, 0.72),
];

pub fn add(suite: &mut Suite) {
    for (name, evaluation, training, macs) in PUBLISHED {
        suite.add(format!("counts::{name}"), move || {
            let model = models::by_name(name, 3, 1000)?;
            let summary = Summary::of(&network(&*model, Mode::Eval)?);
            let found = (summary.parameters, Summary::of(&network(&*model, Mode::Train)?).parameters);
            assert_eq!(found, (evaluation, training), "parameters in evaluation and training");
            let billions = summary.macs as f64 / 1e9;
            assert!((billions - macs).abs() <= 0.01 * macs, "expected {macs} billion MACs, found {billions}");
            Ok(())
        });
    }
    let names: Value =
        serde_json::from_str(include_str!("../goldens/network_names.json")).expect("the golden file is JSON");
    for name in ["alexnet", "googlenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] {
        let row = names[name].clone();
        suite.add(format!("names::{name}"), move || matches_torchvision(name, &row));
    }
    suite.add("shortcuts::option_a_has_no_parameters", || {
        let count = |name| -> striate::Result<u64> {
            Ok(Summary::of(&network(&*models::by_name(name, 3, 10)?, Mode::Eval)?).parameters)
        };
        let found = (count("resnet20")?, count("resnet20-a")?, count("plain20")?);
        assert_eq!(found, (272_474, 269_722, 269_722));
        Ok(())
    });
}

/// The network's graph at its default image size.
pub fn network(model: &dyn Model, mode: Mode) -> striate::Result<Graph> {
    let [height, width] = model.input_size();
    let mut b = Builder::new(mode);
    let images = b.images([2, model.in_channels(), height, width])?;
    let logits = model.forward(&mut b, images)?;
    b.graph.output("logits", logits);
    Ok(b.graph)
}

/// Names and shapes of the tensors in a weight file.
pub fn state(graph: &Graph) -> Vec<(String, Vec<usize>)> {
    let kept = graph
        .values()
        .filter(|(_, v)| matches!(&v.role, Role::Persistent(p) if p.kind != PersistentKind::Optimizer));
    kept.map(|(_, v)| (v.name.clone(), v.ty.shape.clone())).collect()
}

fn matches_torchvision(name: &str, golden: &Value) -> Outcome {
    let model = models::by_name(name, 3, 1000)?;
    let mut lines: Vec<String> = state(&network(&*model, Mode::Train)?)
        .iter()
        .map(|(name, shape)| format!("{name} {shape:?}\n"))
        .collect();
    lines.sort();
    let found = (lines.len() as u64, format!("{:016x}", seed_of(&lines.concat())));
    let want = (golden["tensors"].as_u64().unwrap_or(0), golden["fnv1a"].as_str().unwrap_or("").to_owned());
    if found == want {
        Ok(())
    } else {
        Err(format!("torchvision has {want:?}, found {found:?}: {lines:?}").into())
    }
}
