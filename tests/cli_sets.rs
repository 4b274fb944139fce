//! Which images and classes `eval`, `see`, `report` and `predict` use, and how they print untrusted names.

#![cfg(feature = "cli")]

#[path = "cli_train/place.rs"]
#[allow(dead_code, reason = "shared with the tests of `striate train`")]
mod place;

use image::{Rgb, RgbImage};
use place::{PROGRAM, Place, assert_refused, assert_well_formed, text};
use serde_json::Value;
use std::process::{Command, Output};

fn striate(place: &Place, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(place.dir.path())
        .args(args)
        .args(["--device", "cpu"])
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn answer(place: &Place, args: &[&str]) -> Value {
    let output = striate(place, args);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Writes images of one color that differ slightly.
fn put(place: &Place, folder: &str, count: u8, color: [u8; 3]) {
    std::fs::create_dir_all(place.path(folder)).unwrap();
    for i in 0..count {
        let path = place.path(&format!("{folder}/{i}.png"));
        RgbImage::from_pixel(8, 8, Rgb(color.map(|c| c.saturating_add(i)))).save(path).unwrap();
    }
}

const RED: [u8; 3] = [200, 60, 60];
const GREEN: [u8; 3] = [60, 200, 60];

/// A network trained to tell red cats from green dogs, in `run`.
fn pets() -> Place {
    let place = Place::new();
    for (part, count) in [("train", 20), ("test", 6)] {
        put(&place, &format!("set/{part}/cat"), count, RED);
        put(&place, &format!("set/{part}/dog"), count, GREEN);
    }
    place.trained(&[&SET[..], &["--data", "set", "--epochs", "4", "--lr", "0.05"]].concat());
    place
}

const SET: [&str; 4] = ["--dataset", "folder", "--image-size", "8x8"];

fn images(answer: &Value) -> [u64; 2] {
    [0, 1].map(|class| answer["classes"][class]["pictures"].as_u64().unwrap())
}

#[test]
fn a_run_is_evaluated_on_its_own_test_images() {
    let place = pets();
    let own = answer(&place, &["eval", "run", "--json"]);
    assert_eq!((&own["pictures_from"], images(&own)), (&"the run's own, set".into(), [6, 6]));
    let named = answer(&place, &["eval", "run", "--dataset", "folder", "--data", "set", "--json"]);
    assert_eq!(own, named);
    let otherwise = answer(&place, &["eval", "run", "--data", "./set", "--json"]);
    assert_eq!(
        (&otherwise["pictures_from"], &otherwise["loss"]),
        (&"the run's own, ./set".into(), &own["loss"])
    );
    // So do the weights inside the run folder.
    assert_eq!(images(&answer(&place, &["eval", "run/best.safetensors", "--json"])), [6, 6]);
    let table = text(&striate(&place, &["eval", "run"]).stdout);
    assert!(table.contains("set: 12 test images (the run's own, set)"), "{table}");
    // From another working directory.
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.current_dir(place.path("elsewhere")).args(["eval", "../run", "--device", "cpu"]);
    assert!(text(&command.output().unwrap().stdout).contains("12 test images (the run's own, /"));
    // A view of `see` uses them as well.
    let seen = striate(&place, &["see", "neighbours", "run", "--neighbours", "2", "--out", "seen"]);
    assert!(text(&seen.stdout).contains("12 images of set's test images (the run's own, set)"), "{seen:?}");
    // Weights alone do not name any images.
    std::fs::copy(place.path("run/model.safetensors"), place.path("alone.safetensors")).unwrap();
    for command in ["eval", "see"] {
        assert_refused(&striate(&place, &[command, "alone.safetensors"]), command, &["is missing", "folder"]);
    }
}

#[test]
fn held_out_images_are_used_for_the_run_and_all_images_of_other_folders() {
    let place = Place::new();
    for folder in ["flat", "other"] {
        put(&place, &format!("{folder}/cat"), 10, RED);
        put(&place, &format!("{folder}/dog"), 10, GREEN);
    }
    place.trained(&[&SET[..], &["--data", "flat"]].concat());
    assert_eq!(images(&answer(&place, &["eval", "run", "--json"])), [1, 1]);
    assert_eq!(
        images(&answer(&place, &["eval", "run", "--dataset", "folder", "--data", "flat", "--json"])),
        [1, 1]
    );
    assert_eq!(images(&answer(&place, &["eval", "run", "--data", "other", "--json"])), [10, 10]);
}

#[test]
fn classes_are_matched_by_name() {
    let place = pets();
    // With a class missing, the others would have different indices.
    put(&place, "dogs/dog", 3, GREEN);
    let dogs = answer(&place, &["eval", "run", "--data", "dogs", "--json"]);
    assert_eq!((images(&dogs), &dogs["top1"]), ([0, 3], &1.0.into()));
    // Names from a file, in a different order from the folders.
    place.write("swapped.txt", b"dog\ncat\n");
    let swapped = answer(&place, &["eval", "run", "--classes", "swapped.txt", "--json"]);
    assert_eq!((&swapped["classes"][0]["name"], &swapped["top1"]), (&"dog".into(), &0.0.into()));
    // Weights for different classes of the same number give a note.
    for (folder, color) in [("pots/a", RED), ("pots/b", GREEN)] {
        put(&place, folder, 4, color);
    }
    let args = [&SET[..], &["--data", "pots", "--weights", "run", "--out", "tuned"]].concat();
    let output = place.train(&args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output.stderr).contains("its last layer tells other classes apart (cat, dog)"),
        "{output:?}"
    );
    std::fs::rename(place.path("set/test/dog"), place.path("set/test/Dog")).unwrap();
    std::fs::rename(place.path("set/train/dog"), place.path("set/train/Dog")).unwrap();
    for command in ["eval", "see", "report"] {
        let words = ["class Dog", "which the network does not have (cat, dog)", "did you mean dog?"];
        assert_refused(&striate(&place, &[command, "run"]), command, &words);
    }
}

#[test]
fn broken_images_are_refused_or_skipped_and_reported() {
    let place = pets();
    place.write("set/test/cat/broken.png", b"no image");
    place.write("set/train/dog/photo.heic", b"not read");
    assert_refused(
        &striate(&place, &["eval", "run", "--data", "set/test"]),
        "eval",
        &["broken.png", "--skip-broken"],
    );
    let output = striate(&place, &["eval", "run", "--skip-broken", "--json"]);
    let notes = text(&output.stderr);
    assert!(output.status.success() && notes.contains("note: 1 image could not be read"), "{notes}");
    assert!(
        notes.contains("skipped: set/test/cat/broken.png: ")
            && notes.contains("1 .heic (set/train/dog/photo.heic)")
    );
    let args = [&SET[..], &["--data", "set", "--out", "again"]].concat();
    assert_refused(&place.train(&args).output().unwrap(), "train", &["broken.png", "--skip-broken"]);
    let output = place.train(&[&args[..], &["--skip-broken"]].concat()).output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("broken.png"), "{output:?}");
    assert!(text(&output.stdout).contains("40 training and 12 test images"), "{output:?}");
}

/// Names that would color a terminal, set its title, or reverse text.
#[cfg(unix)]
#[test]
fn control_characters_in_names_are_escaped() {
    let place = Place::new();
    let (cat, file) = ("c\u{1b}[31mat\n", "\u{9b}2J\u{202e}\u{7}.png");
    for part in ["train", "test"] {
        put(&place, &format!("s\u{1b}et/{part}/{cat}"), 6, RED);
        put(&place, &format!("s\u{1b}et/{part}/dog"), 6, GREEN);
    }
    std::fs::copy(place.path(&format!("s\u{1b}et/test/{cat}/0.png")), place.path(file)).unwrap();
    place.write("br\u{1b}oken.png", b"no image");
    place.write("s\u{1b}et/train/dog/x\u{1b}.heic", b"no image");
    let harmless = |what: &str, text: &str| {
        let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(acts), "{what}: {text:?}");
    };
    let output = place.train(&[&SET[..], &["--data", "s\u{1b}et"]].concat()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut outputs = vec![("train", output)];
    for args in [
        &["eval", "run", "--confusion", "confusion.svg"][..],
        &["eval", "run", "--json"],
        &["predict", "run", file, "br\u{1b}oken.png"],
        &["predict", "run", file, "--json"],
        &["predict", "run", "br\u{1b}oken.png"],
        &["see", "map", "run", "--perplexity", "2", "--steps", "20", "--out", "seen"],
        &["report", "run"],
    ] {
        outputs.push((args[0], striate(&place, args)));
    }
    for (what, output) in &outputs {
        harmless(what, &text(&output.stdout));
        harmless(what, &text(&output.stderr));
    }
    let [eval, predict] = [1, 3].map(|i| text(&outputs[i].1.stdout));
    assert!(eval.contains("\nc\\u{1b}[31mat\\n "), "{eval}");
    assert!(predict.contains("\n\\u{9b}2J\\u{202e}\\u{7}.png\n"), "{predict}");
    for file in ["confusion.svg", "seen/map.svg", "run/report.html", "run/curves.svg"] {
        let written =
            std::fs::read_to_string(place.path(file)).unwrap_or_else(|e| panic!("{file}: {e}, {outputs:?}"));
        harmless(file, &written);
        if file.ends_with("svg") {
            assert_well_formed(&written);
        }
    }
    // JSON keeps the names as they are.
    let json: Value = serde_json::from_slice(&outputs[4].1.stdout).unwrap();
    assert_eq!(json["pictures"][0]["picture"], file);
}

/// At 32 x 32 pixels the last feature maps of resnet18 are 1 x 1, too small for batch norm to train on a single image.
#[test]
fn one_small_image_is_enough_for_inference() {
    let device = striate::Device::select("cpu").unwrap();
    for (name, size) in [("resnet18", [32, 32]), ("googlenet", [32, 32]), ("googlenet-original", [64, 64])] {
        let model = striate::models::by_name(name, 3, 10).unwrap();
        striate::infer::Predictor::new(&device, &*model, size, 1).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
