//! Which images and classes `eval`, `see`, `report` and `predict` use, and how they print untrusted names.

#[path = "common/workspace.rs"]
mod workspace;

use image::{Rgb, RgbImage};
use std::process::Command;
use workspace::*;

fn striate(dir: &Workspace, args: &[&str]) -> Command {
    dir.striate(&[args, &["--device", "cpu"]].concat())
}

fn answer(dir: &Workspace, args: &[&str]) -> Value {
    json(&mut striate(dir, args))
}

/// Writes images of a single color, each a little brighter than the one before.
fn put(dir: &Workspace, folder: &str, count: u8, color: [u8; 3]) {
    for i in 0..count {
        let image = RgbImage::from_pixel(8, 8, Rgb(color.map(|c| c.saturating_add(i))));
        dir.save(&format!("{folder}/{i}.png"), &image);
    }
}

const RED: [u8; 3] = [200, 60, 60];
const GREEN: [u8; 3] = [60, 200, 60];

/// A network in `run`, trained to distinguish red cats from green dogs.
fn pets() -> Workspace {
    let dir = Workspace::new();
    for (part, count) in [("train", 20), ("test", 6)] {
        put(&dir, &format!("set/{part}/cat"), count, RED);
        put(&dir, &format!("set/{part}/dog"), count, GREEN);
    }
    dir.trained(&[&SET[..], &["--data", "set", "--epochs", "4", "--lr", "0.05"]].concat());
    dir
}

const SET: [&str; 4] = ["--dataset", "folder", "--image-size", "8x8"];

fn images(answer: &Value) -> [u64; 2] {
    [0, 1].map(|class| answer["classes"][class]["pictures"].as_u64().unwrap())
}

#[test]
fn runs_are_evaluated_on_their_own_test_images() {
    let dir = pets();
    let own = answer(&dir, &["eval", "run", "--json"]);
    assert_eq!((&own["pictures_from"], images(&own)), (&"the run's own, set".into(), [6, 6]));
    let named = answer(&dir, &["eval", "run", "--dataset", "folder", "--data", "set", "--json"]);
    assert_eq!(own, named);
    let otherwise = answer(&dir, &["eval", "run", "--data", "./set", "--json"]);
    assert_eq!(
        (&otherwise["pictures_from"], &otherwise["loss"]),
        (&"the run's own, ./set".into(), &own["loss"])
    );
    // The same for weights inside the run folder.
    assert_eq!(images(&answer(&dir, &["eval", "run/best.safetensors", "--json"])), [6, 6]);
    let table = printed(&mut striate(&dir, &["eval", "run"]));
    assert!(table.contains("set: 12 test images (the run's own, set)"), "{table}");
    // From another working directory.
    std::fs::create_dir(dir.path("elsewhere")).unwrap();
    let mut command = striate(&dir, &["eval", "../run"]);
    assert!(printed(command.current_dir(dir.path("elsewhere"))).contains("12 test images (the run's own, /"));
    // A view of `see` uses them as well.
    let flags = ["see", "neighbours", "run", "--neighbours", "2", "--out", "seen"];
    let seen = printed(&mut striate(&dir, &flags));
    assert!(seen.contains("12 images of set's test images (the run's own, set)"), "{seen}");
    // Weights alone do not name any images.
    dir.write("alone.safetensors", &dir.read("run/model.safetensors"));
    for command in ["eval", "see"] {
        assert_refused(&mut striate(&dir, &[command, "alone.safetensors"]), &["is missing", "folder"]);
    }
    // After the images have moved.
    std::fs::rename(dir.path("set"), dir.path("moved")).unwrap();
    for command in ["eval", "see"] {
        assert_refused(&mut striate(&dir, &[command, "run"]), &["set: does not exist any more", "--data"]);
    }
}

#[test]
fn a_run_is_evaluated_on_held_out_images_but_on_all_images_of_another_folder() {
    let dir = Workspace::new();
    for folder in ["flat", "other"] {
        put(&dir, &format!("{folder}/cat"), 10, RED);
        put(&dir, &format!("{folder}/dog"), 10, GREEN);
    }
    dir.trained(&[&SET[..], &["--data", "flat"]].concat());
    assert_eq!(images(&answer(&dir, &["eval", "run", "--json"])), [1, 1]);
    assert_eq!(
        images(&answer(&dir, &["eval", "run", "--dataset", "folder", "--data", "flat", "--json"])),
        [1, 1]
    );
    assert_eq!(images(&answer(&dir, &["eval", "run", "--data", "other", "--json"])), [10, 10]);
}

#[test]
fn classes_are_matched_by_name() {
    let dir = pets();
    // With a class missing, the others would have different indices.
    put(&dir, "dogs/dog", 3, GREEN);
    let dogs = answer(&dir, &["eval", "run", "--data", "dogs", "--json"]);
    assert_eq!((images(&dogs), &dogs["top1"]), ([0, 3], &1.0.into()));
    // Names from a file, in a different order from the folders.
    dir.write("swapped.txt", b"dog\ncat\n");
    let swapped = answer(&dir, &["eval", "run", "--classes", "swapped.txt", "--json"]);
    assert_eq!((&swapped["classes"][0]["name"], &swapped["top1"]), (&"dog".into(), &0.0.into()));
    // Of weights for as many other classes, the last layer is not loaded.
    for (folder, color) in [("pots/a", RED), ("pots/b", GREEN)] {
        put(&dir, folder, 4, color);
    }
    let args = [&SET[..], &["--data", "pots", "--weights", "run", "--out", "tuned"]].concat();
    let output = dir.train(&args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stdout = text(&output.stdout);
    assert!(stdout.contains("2 for other classes, not loaded (fc.weight, fc.bias)"), "{stdout}");
    std::fs::rename(dir.path("set/test/dog"), dir.path("set/test/Dog")).unwrap();
    std::fs::rename(dir.path("set/train/dog"), dir.path("set/train/Dog")).unwrap();
    for command in ["eval", "see", "report"] {
        let words = ["class Dog", "which the network does not have (cat, dog)", "did you mean dog?"];
        assert_refused(&mut striate(&dir, &[command, "run"]), &words);
    }
}

/// The folder of a run's data is relative to where the run began, not to where it is evaluated.
#[test]
fn another_folder_of_the_same_name_is_not_the_runs_data() {
    let dir = pets();
    put(&dir, "elsewhere/set/train/cat", 3, RED);
    put(&dir, "elsewhere/set/train/dog", 3, GREEN);
    put(&dir, "elsewhere/set/test/cat", 1, GREEN);
    put(&dir, "elsewhere/set/test/dog", 1, RED);
    let run = dir.path("run");
    let mut eval = striate(&dir, &["eval", run.to_str().unwrap(), "--json"]);
    let here = json(&mut eval);
    let there = json(eval.current_dir(dir.path("elsewhere")));
    assert_eq!((images(&here), &here["loss"]), (images(&there), &there["loss"]));
}

#[test]
fn broken_images_are_refused_or_skipped_and_reported() {
    let dir = pets();
    dir.write("set/test/cat/broken.png", b"no image");
    dir.write("set/train/dog/photo.heic", b"not read");
    assert_refused(
        &mut striate(&dir, &["eval", "run", "--data", "set/test"]),
        &["broken.png", "--skip-broken"],
    );
    let output = striate(&dir, &["eval", "run", "--skip-broken", "--json"]).output().unwrap();
    let notes = text(&output.stderr);
    assert!(
        output.status.success() && notes.contains("note: skipped 1 image that could not be read"),
        "{notes}"
    );
    assert!(
        notes.contains("skipped: set/test/cat/broken.png: ")
            && notes.contains("1 .heic (set/train/dog/photo.heic)")
    );
    let args = [&SET[..], &["--data", "set", "--out", "again"]].concat();
    assert_refused(&mut dir.train(&args), &["broken.png", "--skip-broken"]);
    let output = dir.train(&[&args[..], &["--skip-broken"]].concat()).output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("broken.png"), "{output:?}");
    assert!(text(&output.stdout).contains("40 training and 12 test images"), "{output:?}");
}

/// Names that would change colors, clear the screen or reverse text.
#[cfg(unix)]
#[test]
fn control_characters_in_names_are_escaped() {
    let dir = Workspace::new();
    let (cat, file) = ("c\u{1b}[31mat\n", "\u{9b}2J\u{202e}\u{7}.png");
    for part in ["train", "test"] {
        put(&dir, &format!("s\u{1b}et/{part}/{cat}"), 6, RED);
        put(&dir, &format!("s\u{1b}et/{part}/dog"), 6, GREEN);
    }
    dir.write(file, &dir.read(&format!("s\u{1b}et/test/{cat}/0.png")));
    dir.write("br\u{1b}oken.png", b"no image");
    dir.write("s\u{1b}et/train/dog/x\u{1b}.heic", b"no image");
    let harmless = |what: &str, text: &str| {
        let active = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(active), "{what}: {text:?}");
    };
    let output = dir.train(&[&SET[..], &["--data", "s\u{1b}et"]].concat()).output().unwrap();
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
        &["predict", "run", file, "--csv"],
    ] {
        outputs.push((args[0], striate(&dir, args).output().unwrap()));
    }
    for (what, output) in &outputs {
        harmless(what, &text(&output.stdout));
        harmless(what, &text(&output.stderr));
    }
    let [eval, predict] = [1, 3].map(|i| text(&outputs[i].1.stdout));
    assert!(eval.contains("\nc\\u{1b}[31mat\\n "), "{eval}");
    assert!(predict.contains("\n\\u{9b}2J\\u{202e}\\u{7}.png  "), "{predict}");
    for file in ["confusion.svg", "seen/map.svg", "run/report.html", "run/curves.svg"] {
        let written = dir.read_text(file);
        harmless(file, &written);
        if file.ends_with("svg") {
            assert_well_formed(&written);
        }
    }
    // JSON keeps the names as they are.
    let json: Value = serde_json::from_slice(&outputs[4].1.stdout).unwrap();
    assert_eq!(json["pictures"][0]["picture"], file);
}

/// At 32 x 32 pixels the last feature maps of resnet18 are 1 x 1, where batch norm could not train on a single image.
#[test]
fn one_small_image_is_enough_for_inference() {
    let device = striate::Device::select("cpu").unwrap();
    for (name, size) in [("resnet18", [32, 32]), ("googlenet", [32, 32]), ("googlenet-original", [64, 64])] {
        let model = striate::models::by_name(name, 3, 10).unwrap();
        striate::infer::Predictor::new(&device, &*model, size, 1).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
