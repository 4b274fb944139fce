//! Names of a file that differ from a model's in a known way.

use crate::{assert_fails, golden, small};
use std::collections::BTreeMap;
use std::path::Path;
use striate::Tensor;
use striate::weights::{self, Fit, Loaded, Weights};

/// The network's weights under names that `rename` makes of its own, through a file.
fn renamed(rename: impl Fn(&str) -> String) -> Vec<(String, Tensor)> {
    small::tensors().into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn load(tensors: &[(String, Tensor)], fit: Fit) -> striate::Result<Loaded> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.safetensors");
    weights::write(&path, tensors, &BTreeMap::new()).unwrap();
    let weights = Weights::parse(Path::new("file"), &std::fs::read(&path).unwrap()).unwrap();
    let mut predictor = small::predictor();
    let loaded = predictor.load(&weights, fit)?;
    // What was taken is where it belongs.
    for (name, tensor) in small::tensors().into_iter().filter(|(name, _)| loaded.taken.contains(name)) {
        assert_eq!(predictor.session().read(&name).unwrap(), tensor, "{name}");
    }
    Ok(loaded)
}

#[track_caller]
fn assert_loads(rename: impl Fn(&str) -> String, told: &str) {
    let loaded = load(&renamed(rename), Fit::Strict).unwrap();
    assert!(loaded.is_whole() && loaded.taken.len() == 7, "{loaded}");
    assert_eq!(loaded.renamed.as_deref().unwrap_or_default(), told);
    assert!(loaded.to_string().ends_with(told), "{loaded}");
}

#[test]
fn wrappers_and_prefixes_are_taken_off_and_told() {
    assert_loads(str::to_owned, "");
    assert_loads(|name| format!("module.{name}"), "without \"module.\"");
    assert_loads(|name| format!("_orig_mod.{name}"), "without \"_orig_mod.\"");
    let both = "without \"_orig_mod.\", without \"module.\"";
    assert_loads(|name| format!("module._orig_mod.{name}"), both);
    assert_loads(|name| format!("_orig_mod.module.{name}"), both);
    assert_loads(|name| format!("model.{name}"), "without \"model.\"");
    assert_loads(|name| format!("net.{name}"), "without \"net.\"");
    assert_loads(|name| format!("model._orig_mod.{name}"), "without \"_orig_mod.\", without \"model.\"");
    assert_loads(|name| format!("task.encoder.{name}"), "without \"task.encoder.\"");
    // A layer alone was compiled.
    assert_loads(|name| name.replace("bn1.", "bn1._orig_mod."), "without \"_orig_mod.\"");
}

#[test]
fn layers_may_have_the_names_of_usual_repositories() {
    for head in ["linear", "last_linear", "classifier", "head"] {
        assert_loads(|name| name.replace("fc.", &format!("{head}.")), &format!("with fc for {head}"));
    }
    assert_loads(
        |name| format!("module.{}", name.replace("fc.", "linear.")),
        "without \"module.\", with fc for linear",
    );
}

#[test]
fn what_is_beside_the_network_is_unexpected_and_can_be_left() {
    let mut tensors = renamed(|name| format!("model.{name}"));
    tensors.push(("criterion.weight".to_owned(), Tensor::zeros([3])));
    assert_fails(load(&tensors, Fit::Strict), &["7 tensors fit", "1 is not in the model (criterion.weight)"]);
    assert_eq!(load(&tensors, Fit::Partial).unwrap().taken.len(), 7);
}

#[test]
fn a_prefix_of_less_than_half_the_network_is_none() {
    let mut tensors = renamed(|name| format!("layer1.0.{name}"));
    tensors.truncate(3);
    tensors.push(small::tensors().pop().unwrap());
    let loaded = load(&tensors, Fit::Partial).unwrap();
    assert_eq!((loaded.taken.as_slice(), loaded.renamed), (["fc.bias".to_owned()].as_slice(), None));
}

#[test]
fn exact_names_come_first() {
    let mut tensors = small::tensors();
    tensors.push(("module.fc.bias".to_owned(), Tensor::zeros([3])));
    assert_fails(load(&tensors, Fit::Strict), &["7 tensors fit", "module.fc.bias"]);
}

/// A checkpoint of `DataParallel`, in half precision, under `state_dict`.
#[test]
fn a_checkpoint_of_pytorch_says_what_was_done_to_its_names() {
    let weights = Weights::read(&golden("checkpoint_f16.pth")).unwrap();
    assert!(weights.names().all(|name| name.starts_with("module.")));
    let loaded = small::predictor().load(&weights, Fit::Strict).unwrap();
    assert_eq!(loaded.to_string(), "7 tensors fit; names were read without \"module.\"");
}
