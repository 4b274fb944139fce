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

    // It ends with a page, the most frequent mistakes if there are any, and what to do next.
    assert!(dir.run().join("report.html").is_file(), "{output}");
    let (_, end) = output.split_once("\nwritten  run\n").unwrap();
    assert!(end.contains("written  run/report.html, "), "{end}");
    assert!(end.ends_with("next     striate predict run IMAGE\nnext     striate see run\n"), "{end}");
    assert_eq!(end.contains("mistakes "), !output.contains("\ntest accuracy 100.00 %"), "{output}");

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

    // So does resuming, for longer, and from elsewhere.
    std::fs::create_dir(dir.path("elsewhere")).unwrap();
    let mut resume = dir.resume(&["--epochs", "2"]);
    let resumed = printed(resume.current_dir(dir.path("elsewhere")));
    assert!(resumed.contains("epoch 2/2"), "{resumed}");
}

#[test]
fn some_images_are_for_validation_if_there_are_enough() {
    let dir = Workspace::new();
    images(&dir, 40, &[("cat", 10), ("mouse", 20)]);
    let output = train(&dir, &["pets", "--model", "resnet8"]);
    assert!(output.contains("--validation 0.1"), "{output}");
    assert!(output.contains("24 training, 3 validation and 3 test images"), "{output}");
    assert!(output.contains("\nvalidation accuracy ") && output.contains("\ntest accuracy "), "{output}");
}

#[test]
fn classes_of_different_size_are_balanced_once() {
    let dir = Workspace::new();
    images(&dir, 40, &[("cat", 6), ("mouse", 12)]);
    let output = train(&dir, &["pets", "--model", "resnet8", "--balanced-sampling"]);
    assert!(output.contains("--balanced-sampling") && !output.contains("--class-weights"), "{output}");
}

#[test]
fn any_name_of_a_folder_is_accepted() {
    let dir = Workspace::new();
    images(&dir, 40, &[("cat", 6), ("mouse", 6)]);
    for name in ["-pets", "train", "folder", "cifar10", "my pets"] {
        std::fs::rename(dir.path("pets"), dir.path(name)).unwrap();
        let flags = ["--device", "cpu", "--epochs=1", "--model", "resnet8", "--out", "run", "--force"];
        let output = printed(&mut dir.striate(&[&["train"], &flags[..], &["--", name]].concat()));
        assert!(output.contains(&format!("found    {name}: images of 2 classes")), "{output}");
        assert!(output.contains("--batch 4"), "{output}");
        assert!(printed(&mut dir.resume(&["--epochs", "2"])).contains("epoch 2/2"), "{name}");
        std::fs::rename(dir.path(name), dir.path("pets")).unwrap();
    }
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
    assert!(output.contains("found    data: the images of mnist\n"), "{output}");
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
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--tensorboard", "logs"], &["logs: does not exist", "--tensorboard=DIR"]),
        (&["nowhere"], &["nowhere: does not exist", "a folder of images per class"]),
        (&["empty"], &["empty: expected a folder of images per class", "MNIST"]),
        (&["empty/readme.txt"], &["empty/readme.txt: is a file"]),
        (&["cifar10"], &["cifar10: does not exist; give the folder of cifar10's files"]),
        (&["data", "--data", "data"], &["--data", "PATH"]),
        (
            &["data", "--class-weights", "balanced", "--dataset", "fashion-mnist", "--batch", "99"],
            &["--batch"],
        ),
        (&["data", "--resume", "run"], &["--resume", "omit PATH"]),
    ];
    for (args, words) in cases {
        assert_refused(&mut dir.striate(&[&["train"], args].concat()), words);
    }
}
