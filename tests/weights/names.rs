//! Mapping of tensor names.

use crate::fit::stored;
use crate::{assert_fails, golden, small};
use striate::Tensor;
use striate::weights::{Fit, LoadReport, Weights};

/// The network's weights with renamed tensors.
fn renamed(rename: impl Fn(&str) -> String) -> Vec<(String, Tensor)> {
    small::tensors().into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn load(tensors: &[(String, Tensor)], fit: Fit) -> striate::Result<LoadReport> {
    let mut predictor = small::predictor();
    let loaded = predictor.load(&stored(tensors), fit)?;
    for (name, tensor) in small::tensors().into_iter().filter(|(name, _)| loaded.loaded.contains(name)) {
        assert_eq!(predictor.session().read(&name).unwrap(), tensor, "{name}");
    }
    Ok(loaded)
}

#[track_caller]
fn assert_loads(rename: impl Fn(&str) -> String, reported: &str) {
    let loaded = load(&renamed(rename), Fit::Strict).unwrap();
    assert!(loaded.is_complete() && loaded.loaded.len() == 7, "{loaded}");
    assert_eq!(loaded.renamed.as_deref().unwrap_or_default(), reported);
    assert!(loaded.to_string().ends_with(reported), "{loaded}");
}

#[test]
fn wrappers_and_prefixes_are_dropped_and_reported() {
    assert_loads(str::to_owned, "");
    assert_loads(|name| format!("module.{name}"), "dropped \"module.\"");
    assert_loads(|name| format!("_orig_mod.{name}"), "dropped \"_orig_mod.\"");
    let both = "dropped \"_orig_mod.\", dropped \"module.\"";
    assert_loads(|name| format!("module._orig_mod.{name}"), both);
    assert_loads(|name| format!("_orig_mod.module.{name}"), both);
    assert_loads(|name| format!("model.{name}"), "dropped \"model.\"");
    assert_loads(|name| format!("net.{name}"), "dropped \"net.\"");
    assert_loads(|name| format!("model._orig_mod.{name}"), "dropped \"_orig_mod.\", dropped \"model.\"");
    assert_loads(|name| format!("task.encoder.{name}"), "dropped \"task.encoder.\"");
    // Only one layer was compiled.
    assert_loads(|name| name.replace("bn1.", "bn1._orig_mod."), "dropped \"_orig_mod.\"");
}

#[test]
fn common_synonyms_of_layer_names_are_mapped() {
    for head in ["linear", "last_linear", "classifier", "head"] {
        assert_loads(|name| name.replace("fc.", &format!("{head}.")), &format!("{head} -> fc"));
    }
    assert_loads(
        |name| format!("module.{}", name.replace("fc.", "linear.")),
        "dropped \"module.\", linear -> fc",
    );
}

#[test]
fn extra_tensors_fail_strict_loading_but_not_partial() {
    let mut tensors = renamed(|name| format!("model.{name}"));
    tensors.push(("criterion.weight".to_owned(), Tensor::zeros([3])));
    assert_fails(load(&tensors, Fit::Strict), &["7 tensors match", "1 not in the model (criterion.weight)"]);
    assert_eq!(load(&tensors, Fit::Partial).unwrap().loaded.len(), 7);
}

#[test]
fn a_prefix_of_less_than_half_the_network_is_not_dropped() {
    let mut tensors = renamed(|name| format!("layer1.0.{name}"));
    tensors.truncate(3);
    tensors.push(small::tensors().pop().unwrap());
    let loaded = load(&tensors, Fit::Partial).unwrap();
    assert_eq!((loaded.loaded.as_slice(), loaded.renamed), (["fc.bias".to_owned()].as_slice(), None));
}

#[test]
fn exact_names_take_precedence() {
    let mut tensors = small::tensors();
    tensors.push(("module.fc.bias".to_owned(), Tensor::zeros([3])));
    assert_fails(load(&tensors, Fit::Strict), &["7 tensors match", "module.fc.bias"]);
}

/// A half-precision `DataParallel` checkpoint under the key `state_dict`.
#[test]
fn a_data_parallel_checkpoint_loads_and_reports_its_names() {
    let weights = Weights::read(&golden("checkpoint_f16.pth")).unwrap();
    assert!(weights.names().all(|name| name.starts_with("module.")));
    let loaded = small::predictor().load(&weights, Fit::Strict).unwrap();
    assert_eq!(loaded.to_string(), "7 tensors match; names mapped: dropped \"module.\"");
}
