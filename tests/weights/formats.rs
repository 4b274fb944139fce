//! Exchange of weights with PyTorch, in both directions.

use crate::{golden, small};
use serde_json::Value;
use std::collections::BTreeMap;
use striate::weights::{self, Fit, Weights};

#[test]
fn all_pytorch_formats_hold_the_same_weights() {
    let files = [
        "written.safetensors",
        "f16.safetensors",
        "bf16.safetensors",
        "plain.pth",
        "protocol4.pth",
        "strided.pth",
        "f64.pth",
        "checkpoint_f16.pth",
        "a_name_of_21_letters_.pth",
        "legacy.pth",
        "legacy_checkpoint.pth",
        "legacy_2017.pth",
    ];
    for file in files {
        let weights = Weights::read(&golden(file)).unwrap();
        let tensors = small::tensors();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(weights.names().count(), names.len(), "{file}: {:?}", weights.names().collect::<Vec<_>>());
        for (name, tensor) in &tensors {
            assert_eq!(weights.get_as(name, names.iter().copied()), Some(tensor), "{file}: {name}");
        }
    }
}

/// `weights.py` loads this exact file into PyTorch, strictly, to compute the logits below.
#[test]
fn the_written_file_is_the_one_pytorch_loaded() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("written.safetensors");
    weights::write(&path, &small::tensors(), &BTreeMap::from([("format".into(), "pt".into())])).unwrap();
    let written = std::fs::read(&path).unwrap();
    assert!(
        std::fs::read(golden("written.safetensors")).is_ok_and(|golden| golden == written),
        "{} differs from the file that PyTorch loaded: copy it to tests/goldens/weights and run tests/goldens/weights.py",
        path.display()
    );
}

#[test]
fn logits_match_pytorch() {
    let golden_logits: Value =
        serde_json::from_slice(&std::fs::read(golden("logits.json")).unwrap()).unwrap();
    let want: Vec<f64> =
        golden_logits["logits"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    for file in ["written.safetensors", "checkpoint_f16.pth"] {
        let mut predictor = small::predictor();
        let loaded = predictor.load(&Weights::read(&golden(file)).unwrap(), Fit::Strict).unwrap();
        assert!(loaded.is_complete() && loaded.loaded.len() == 7);
        let got = predictor.logits(&small::images()).unwrap().concat();
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < 1e-6, "{file}: {got}, PyTorch has {want}");
        }
    }
}

#[test]
fn batch_norms_get_num_batches_tracked() {
    let bytes = std::fs::read(golden("written.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let counter = file.tensor("bn1.num_batches_tracked").unwrap();
    assert_eq!((counter.dtype(), counter.shape().len()), (safetensors::Dtype::I64, 0));
    assert_eq!(counter.data(), [0; 8]);
    assert_eq!(file.len(), 8);
}
