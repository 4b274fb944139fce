//! Strict and partial loading.

use crate::{assert_fails, golden, small};
use std::collections::BTreeMap;
use std::path::Path;
use striate::Tensor;
use striate::weights::{self, Fit, Weights};

/// Weights after a round trip through a file.
pub fn stored(tensors: &[(String, Tensor)]) -> Weights {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.safetensors");
    weights::write(&path, tensors, &BTreeMap::new()).unwrap();
    Weights::parse(Path::new("file.safetensors"), &std::fs::read(&path).unwrap()).unwrap()
}

/// The network's weights with one missing, one of the wrong shape, and forty additional ones.
fn mismatched() -> Weights {
    let mut tensors = small::tensors();
    tensors.retain(|(name, _)| name != "bn1.bias");
    let wrong = tensors.iter_mut().find(|(name, _)| name == "fc.weight").unwrap();
    wrong.1 = Tensor::zeros([4, 3]);
    tensors.extend((0..40).map(|i| (format!("head.{i:02}"), Tensor::zeros([1]))));
    stored(&tensors)
}

#[test]
fn strict_loading_names_every_mismatch_and_changes_nothing() {
    let mut predictor = small::predictor();
    let words = [
        "file.safetensors: does not match the model",
        "5 tensors match",
        "1 missing from the file (bn1.bias)",
        "40 not in the model (head.00, ",
        "head.11, and 28 more)",
        "1 mismatched (fc.weight is [4, 3], expected [3, 4])",
        "--partial",
    ];
    assert_fails(predictor.load(&mismatched(), Fit::Strict), &words);
    let session = predictor.session();
    assert!(
        session.read("conv1.weight").unwrap().as_f32().iter().all(|w| *w == 0.0),
        "a failed load must not change the session"
    );
}

#[test]
fn partial_loading_takes_what_matches_and_reports_the_rest() {
    let mut predictor = small::predictor();
    let loaded = predictor.load(&mismatched(), Fit::Partial).unwrap();
    assert_eq!(
        loaded.loaded,
        ["conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var", "fc.bias"]
    );
    assert_eq!(
        (loaded.missing.as_slice(), loaded.unexpected.len()),
        (["bn1.bias".to_owned()].as_slice(), 40)
    );
    assert_eq!(loaded.mismatched.len(), 1);
    let conv = predictor.session().read("conv1.weight").unwrap();
    assert_eq!(conv, small::tensors()[0].1);
    assert!(predictor.session().read("fc.weight").unwrap().as_f32().iter().all(|w| *w == 0.0));

    let nothing = stored(&[("other".to_owned(), Tensor::zeros([1]))]);
    assert_fails(predictor.load(&nothing, Fit::Partial), &["no tensor that matches", "other"]);
}

#[test]
fn nan_and_infinity_are_rejected_by_tensor_and_index() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut tensors = small::tensors();
        tensors[5].1 =
            Tensor::f32([3, 4], (0..12).map(|i| if i == 7 { bad } else { 0.0 }).collect()).unwrap();
        let words = ["fc.weight", &bad.to_string(), "at index 7"];
        assert_fails(small::predictor().load(&stored(&tensors), Fit::Strict), &words);
    }
    let wide = [("x".to_owned(), 1e300f64.to_le_bytes())].map(|(name, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![1], &bytes).unwrap();
        safetensors::serialize([(name, view)], None).unwrap()
    });
    let weights = Weights::parse(Path::new("wide"), &wide[0]).unwrap();
    assert_eq!(weights.get("x").unwrap().as_f32(), [f32::INFINITY], "out of range for f32");
}

#[test]
fn integer_tensors_are_reported_by_type() {
    let mut tensors: Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)> = small::tensors()
        .iter()
        .map(|(name, t)| (name.clone(), safetensors::Dtype::F32, t.shape().to_vec(), t.as_bytes().to_vec()))
        .collect();
    tensors[6].1 = safetensors::Dtype::I32;
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name.as_str(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let bytes = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    let weights = Weights::parse(Path::new("file"), &bytes).unwrap();
    assert_fails(small::predictor().load(&weights, Fit::Strict), &["fc.bias is I32", "floating-point"]);
}

#[test]
fn partial_loading_of_a_matching_file_is_complete() {
    let loaded =
        small::predictor().load(&Weights::read(&golden("plain.pth")).unwrap(), Fit::Partial).unwrap();
    assert!(loaded.is_complete());
    assert_eq!(loaded.to_string(), "7 tensors match");
}
