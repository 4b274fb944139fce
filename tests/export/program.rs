//! `striate export` on the command line.

use crate::common::{Outcome, Suite, named};
use crate::workspace::*;
use std::collections::BTreeMap;
use striate::export::proto::{Message, ModelProto};
use striate::weights::Weights;

pub fn add(suite: &mut Suite) {
    suite.add_all(named![
        a_run_is_exported_with_its_metadata,
        half_precision_weights_can_be_read_again,
        export_refuses_wrong_arguments,
    ]);
}

fn trained() -> Workspace {
    let dir = Workspace::new();
    dir.trained(&[]);
    dir.save(
        "one.png",
        &image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([(x * 30) as u8, (y * 30) as u8, 9])),
    );
    dir
}

fn model(dir: &Workspace, name: &str) -> ModelProto {
    ModelProto::decode(&dir.read(name)[..]).unwrap()
}

fn a_run_is_exported_with_its_metadata() -> Outcome {
    let dir = trained();
    dir.write("model.onnx", b"an earlier file is replaced");
    let flags = ["export", "run", "--onnx", "model.onnx", "--safetensors", "model.safetensors"];
    let printed = printed(&mut dir.striate(&flags));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("model    resnet8: "), "{printed}");
    assert!(lines[1].starts_with("images   center 8x8"), "{printed}");
    assert!(lines[2].starts_with("written  model.safetensors: safetensors, "), "{printed}");
    assert!(lines[3].starts_with("written  model.onnx: ONNX, opset 17, "), "{printed}");
    assert_eq!(dir.read("model.safetensors"), dir.read("run/model.safetensors"));

    let file = model(&dir, "model.onnx");
    let metadata: BTreeMap<&str, &str> =
        file.metadata_props.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
    assert_eq!((metadata["model"], metadata["input"]), ("resnet8", "normalized"));
    assert_eq!(serde_json::from_str::<Vec<String>>(metadata["classes"])?.len(), 10);
    assert_eq!(serde_json::from_str::<Value>(metadata["preprocessing"])?["size"][0], 8);
    assert_eq!(metadata.len(), 4);

    let flags = ["export", "run", "--onnx", "other.onnx", "--preprocessing", "--fold-batch-norm"];
    crate::workspace::printed(&mut dir.striate(&flags));
    let other = model(&dir, "other.onnx");
    assert!(other.metadata_props.iter().any(|entry| entry.value == "pixels from 0 to 255"));
    let nodes = |file: &ModelProto, op: &str| {
        file.graph.as_ref().unwrap().node.iter().filter(|node| node.op_type == op).count()
    };
    assert!(nodes(&file, "BatchNormalization") > 0 && nodes(&other, "BatchNormalization") == 0);
    Ok(())
}

fn half_precision_weights_can_be_read_again() -> Outcome {
    let dir = trained();
    printed(&mut dir.striate(&["export", "run", "--safetensors", "half.safetensors", "--half"]));
    let [half, full] = ["half.safetensors", "run/model.safetensors"].map(|name| dir.read(name).len());
    assert!(half > full / 2 && half < full * 6 / 10, "{half} and {full}");
    let [half, full] =
        ["half.safetensors", "run/model.safetensors"].map(|name| Weights::read(&dir.path(name)).unwrap());
    for name in full.names() {
        let (half, full) = (half.get(name).unwrap(), full.get(name).unwrap());
        let exact = full.shape().len() < 2;
        for (half, full) in half.as_f32().iter().zip(full.as_f32()) {
            assert!((half - full).abs() <= if exact { 0.0 } else { full.abs() / 2048.0 + 1e-7 }, "{name}");
        }
    }
    let answer = json(&mut dir.striate(&["predict", "half.safetensors", "one.png", "--json"]));
    assert_eq!(answer["model"], "resnet8");
    Ok(())
}

fn export_refuses_wrong_arguments() -> Outcome {
    let dir = trained();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["run", "one.png", "--onnx", "model.onnx"], &["one.png: is unexpected"]),
        (&["nowhere", "--onnx", "model.onnx"], &["nowhere"]),
        (&["run", "--onnx", "data"], &["data: is a folder"]),
        (&["run", "--onnx", "gone/model.onnx"], &["gone/model.onnx: cannot write"]),
    ];
    for (args, words) in cases {
        assert_refused(&mut dir.striate(&[&["export"], args].concat()), words);
    }
    assert!(!dir.path("model.onnx").exists());
    for args in [&["export", "run"][..], &["export", "run", "--safetensors", "x", "--fold-batch-norm"]] {
        assert_eq!(dir.striate(args).output()?.status.code(), Some(2), "{args:?}");
    }
    Ok(())
}
