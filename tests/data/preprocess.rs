//! Preprocessing, against torchvision, and settings in the formats of timm and torchvision.

use crate::{assert_fails, rotated_png};
use image::{Rgb, RgbImage};
use serde_json::Value;
use std::path::Path;
use striate::data::{Interpolation, Normalization, Preprocessing};
use tempfile::tempdir;

/// Reads an image as bytes, with a normalization that does nothing.
fn bytes(preprocessing: Preprocessing, path: &Path) -> Vec<u8> {
    let normalization = Normalization { mean: vec![0.0; 3], std: vec![1.0 / 255.0; 3] };
    let read = Preprocessing { normalization, ..preprocessing }.read(path).unwrap();
    read.iter().map(|pixel| pixel.round() as u8).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The expected pixels are from `tests/goldens/images.py`.
#[test]
fn scaling_and_cropping_match_torchvision_exactly() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/images.json");
    let goldens: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let dir = tempdir().unwrap();
    for case in goldens["cases"].as_array().unwrap() {
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let path = dir.path().join("image.png");
        let [width, height] = [0, 1].map(|at| number(&case["image"][at]) as u32);
        let pixel = |x: u32, y: u32| [x * 37 + y * 11, x * y * 13, (x ^ y) * 29].map(|value| value as u8);
        RgbImage::from_fn(width, height, |x, y| Rgb(pixel(x, y))).save(&path).unwrap();
        let crop = number(&case["crop"]);
        let preprocessing = Preprocessing {
            size: [crop, crop],
            resize: Some(number(&case["resize"])),
            interpolation: Interpolation::named(case["interpolation"].as_str().unwrap()).unwrap(),
            ..Preprocessing::named("imagenet").unwrap()
        };
        // Our layout is planar, Pillow's is interleaved.
        let want = unhex(case["pixels"].as_str().unwrap());
        let planes: Vec<u8> = (0..3).flat_map(|c| want[c..].iter().copied().step_by(3)).collect();
        let name = preprocessing.to_string();
        assert_eq!(bytes(preprocessing, &path), planes, "{width} x {height}: {name}");
    }
}

#[test]
fn googlenet_statistics_are_imagenets_after_transform_input() {
    let transformed = Preprocessing::named("googlenet").unwrap().normalization;
    let close = |found: &[f32]| found.iter().all(|value| (value - 0.5).abs() < 1e-6);
    assert!(close(&transformed.mean) && close(&transformed.std), "{transformed:?}");
    // Other statistics, by torchvision's formula.
    let own = Normalization { mean: vec![0.1, 0.2, 0.3], std: vec![0.4, 0.5, 0.6] };
    let made = Preprocessing::new([8, 8], own.clone()).transform_input().unwrap().normalization;
    let imagenet = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
    for (c, (mean, std)) in imagenet.into_iter().enumerate() {
        let x = 0.7f32;
        let want = (x - own.mean[c]) / own.std[c] * (std / 0.5) + (mean - 0.5) / 0.5;
        let found = (x - made.mean[c]) / made.std[c];
        assert!((found - want).abs() < 1e-5, "{c}: {found}, torchvision has {want}");
    }
    let gray = Preprocessing::named("mnist").unwrap().transform_input();
    assert_fails("gray", gray, &["transform_input", "3 channels"]);
}

#[test]
fn timm_and_torchvision_fields_are_read() {
    let timm = r#"{"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": {"tag": "a1_in1k",
        "custom_load": false, "input_size": [3, 224, 224], "test_input_size": [3, 288, 288], "fixed_input_size": false,
        "interpolation": "bicubic", "crop_pct": 0.95, "test_crop_pct": 1.0, "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 1000, "pool_size": [7, 7]}}"#;
    let timm = Preprocessing::from_json(timm).unwrap();
    assert_eq!(timm, Preprocessing::named("timm:resnet50.a1_in1k").unwrap());
    assert_eq!((timm.size, timm.resize, timm.interpolation), ([224, 224], Some(235), Interpolation::Bicubic));
    let v2 = r#"{"crop_size": [224], "resize_size": [232], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        "interpolation": "InterpolationMode.BILINEAR"}"#;
    let v2 = Preprocessing::from_json(v2).unwrap();
    assert_eq!(v2, Preprocessing { resize: Some(232), ..Preprocessing::named("imagenet").unwrap() });
    let googlenet = r#"{"crop_size": 224, "resize_size": 256, "transform_input": true}"#;
    assert_eq!(Preprocessing::from_json(googlenet).unwrap(), Preprocessing::named("googlenet").unwrap());
    let own = serde_json::to_string(&timm).unwrap();
    assert_eq!(Preprocessing::from_json(&own).unwrap(), timm);
    // As written by versions without a choice of interpolation.
    let earlier = r#"{"size":[8,8],"resize":null,"normalization":{"mean":[0.5],"std":[0.5]}}"#;
    assert_eq!(Preprocessing::from_json(earlier).unwrap().interpolation, Interpolation::Bilinear);
    for name in ["resnet18.tv_in1k", "resnet34.bt_in1k", "resnet152.tv2_in1k"] {
        Preprocessing::named(&format!("timm:{name}")).unwrap().check().unwrap();
    }
}

#[test]
fn unsupported_fields_are_named() {
    let fails = |json: &str, words: &[&str]| assert_fails(json, Preprocessing::from_json(json), words);
    fails("[]", &["not a JSON preprocessing configuration"]);
    fails("{}", &["input_size", "resize_size"]);
    fails(r#"{"crop_pct": 0.9}"#, &["lacks input_size"]);
    fails(r#"{"input_size": [3, 224]}"#, &["input_size"]);
    fails(r#"{"input_size": [3, 224, 192]}"#, &["square"]);
    fails(r#"{"input_size": [3, 224, 224], "crop_pct": 0}"#, &["crop_pct"]);
    fails(r#"{"input_size": [3, 224, 224], "crop_pct": 1e-300}"#, &["4096"]);
    fails(r#"{"input_size": [3, 224, 224], "crop_mode": "squash"}"#, &["crop_mode", "squash"]);
    fails(
        r#"{"input_size": [3, 224, 224], "interpolation": "lanczos"}"#,
        &["lanczos", "bilinear and bicubic"],
    );
    fails(r#"{"crop_size": 256, "resize_size": 224}"#, &["224 is smaller than"]);
    fails(r#"{"crop_size": 224, "resize_size": [256, 256]}"#, &["resize_size of two sides"]);
    fails(r#"{"crop_size": 224, "resize_size": 256, "std": [1, 1]}"#, &["3 means and 2 standard deviations"]);
    let named = |name| Preprocessing::named(name);
    assert_fails("tag", named("timm:resnet50.a9_in1k"), &["a9_in1k", "the tags of resnet50", "a1_in1k, "]);
    assert_fails("network", named("timm:resnext50.a1_in1k"), &["resnext50", "is unknown"]);
    assert_fails("name", named("imagnet"), &["imagenet, googlenet", "JSON file"]);
}

#[test]
fn exif_rotation_can_be_disabled() {
    let dir = tempdir().unwrap();
    let path = rotated_png(dir.path());
    let rotated = Preprocessing { size: [2, 2], resize: None, ..Preprocessing::named("imagenet").unwrap() };
    let unrotated = Preprocessing { exif_rotation: false, ..rotated.clone() };
    assert_eq!(bytes(rotated, &path)[..4], [3, 1, 4, 2]);
    assert_eq!(bytes(unrotated, &path)[..4], [1, 2, 3, 4]);
}
