//! `striate train PATH`.

use crate::workspace::*;
use image::{Rgb, RgbImage};
use serde_json::Value;

/// A folder of noise images of `side` pixels: so many per class.
fn images(dir: &Workspace, side: u32, classes: &[(&str, u32)]) {
    for (class, count) in classes {
        for i in 0..*count {
            let pixel = |x: u32, y: u32| Rgb([(x * 37 + y * 11 + i * 29) as u8, class.len() as u8 * 40, 90]);
            dir.save(&format!("pets/{class}/{i}.png"), &RgbImage::from_fn(side, side, pixel));
        }
    }
}

const SHORT: [&str; 8] = ["--device", "cpu", "--epochs", "1", "--batch", "4", "--out", "run"];

fn train(dir: &Workspace, args: &[&str]) -> String {
    printed(&mut dir.striate(&[&["train"], args, &SHORT].concat()))
}

fn settings(dir: &Workspace) -> Value {
    dir.read_json("run/config.json")["settings"].clone()
}

#[test]
fn a_folder_of_images_is_recognized() {
    let dir = Workspace::new();
    images(&dir, 40, &[("cat", 6), ("mouse", 12)]);
    let output = train(&dir, &["pets"]);
    assert!(output.contains("found    pets: images of 2 classes: cat 6, mouse 12\n"), "{output}");
    let chosen = settings(&dir);
    for (name, value) in [
        ("dataset", "folder"),
        ("model", "resnet20"),
        ("augment", "crop-flip"),
        ("class_weights", "balanced"),
    ] {
        assert_eq!(chosen[name], value, "{name}");
    }
    assert_eq!((&chosen["image_size"], &chosen["epochs"]), (&serde_json::json!([32, 32]), &1.into()));

    // The equivalent command does the same.
    let line = output.lines().find_map(|line| line.strip_prefix("same as  striate ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    assert!(!line.contains("--epochs 60") && words.contains(&"--label-smoothing"), "{line}");
    let weights = dir.read("run/model.safetensors");
    printed(&mut dir.striate(&[&words[..], &["--force"]].concat()));
    assert!(
        dir.read("run/model.safetensors") == weights
            && settings(&dir) == {
                let mut forced = chosen;
                forced["force"] = true.into();
                forced
            }
    );

    // So does resuming, for longer.
    let resumed = printed(&mut dir.resume(&["--epochs", "2"]));
    assert!(resumed.contains("epoch 2/2"), "{resumed}");
}

#[test]
fn given_flags_take_precedence() {
    let dir = Workspace::new();
    images(&dir, 80, &[("cat", 5), ("mouse", 6)]);
    let output = train(&dir, &["pets", "--model", "resnet8", "--image-size=16x16", "--augment", "none"]);
    let chosen = settings(&dir);
    assert_eq!((&chosen["model"], &chosen["augment"]), (&"resnet8".into(), &"none".into()));
    assert_eq!(chosen["image_size"], serde_json::json!([16, 16]));
    assert!(chosen.get("class_weights").is_none(), "{chosen}");
    assert!(!output.contains("resnet20"), "{output}");
}

#[test]
fn files_of_known_data_sets_are_recognized() {
    let dir = Workspace::new();
    let output = train(&dir, &["data"]);
    assert!(output.contains("found    data: the files of mnist\n"), "{output}");
    assert!(output.contains("mnist: 20 training and 10 test images"), "{output}");
    std::fs::rename(dir.path("data"), dir.path("fashion")).unwrap();
    assert!(train(&dir, &["fashion", "--force"]).contains("fashion-mnist: 20 training and 10 test images"));
    // With --dataset, PATH is only its folder.
    let output = train(&dir, &["fashion", "--dataset", "mnist", "--force"]);
    assert!(output.contains("data     mnist: 20") && !output.contains("found"), "{output}");
}

#[test]
fn other_paths_are_refused() {
    let dir = Workspace::new();
    dir.write("empty/readme.txt", b"");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["nowhere"], &["nowhere: does not exist", "a folder of images per class"]),
        (&["empty"], &["empty: expected a folder of images per class", "MNIST"]),
        (&["empty/readme.txt"], &["empty/readme.txt: is a file"]),
        (&["cifar10"], &["--data", "cifar10 needs a folder"]),
        (&["data", "--resume", "run"], &["--resume", "omit PATH"]),
    ];
    for (args, words) in cases {
        assert_refused(&mut dir.striate(&[&["train"], args].concat()), words);
    }
}
