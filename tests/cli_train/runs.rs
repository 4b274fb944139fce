//! The files of a run.

use crate::workspace::*;
use std::collections::BTreeMap;
use std::process::Command;
use striate::train::Trainer;
use striate::weights::{self, Fit, Weights};
use striate::{Device, Tensor, data};

#[test]
fn a_run_writes_all_its_files() {
    let dir = Workspace::new();
    let stdout = dir.trained(&["--epochs", "2", "--seed", "7"]);
    assert_eq!(list(&dir.run()), FILES);

    let rows = metrics(&dir.run());
    assert_eq!(
        dir.read_text("run/metrics.csv").lines().next().unwrap(),
        "epoch,lr,train_loss,train_accuracy,validation_loss,validation_accuracy,test_loss,test_accuracy,train_seconds,test_seconds,pictures_per_second,skipped_steps"
    );
    assert_eq!(rows.iter().map(|row| row["epoch"].as_str()).collect::<Vec<_>>(), ["1", "2"]);
    for (column, value) in rows.iter().flatten().filter(|(column, _)| !column.starts_with("validation")) {
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{column} is {value:?}"));
        assert!(value.is_finite() && value >= 0.0, "{column} is {value}");
    }

    let config = dir.read_json("run/config.json");
    assert_eq!(config["settings"]["seed"], 7);
    assert_eq!(config["settings"]["batch"], 4);
    assert_eq!(config["settings"]["model"], "resnet8");
    assert_eq!(config["model"]["name"], "resnet8");
    assert_eq!(config["device"]["adapter"], Value::Null);
    assert!(config["device"]["name"].as_str().unwrap().starts_with("CPU"));
    assert_eq!(config["versions"]["striate"], env!("CARGO_PKG_VERSION"));
    assert!(config["versions"]["wgpu"].is_string() && config["versions"]["naga"].is_string());

    let svg = dir.read_text("run/curves.svg");
    assert_well_formed(&svg);
    for color in ["#1F77B4", "#D6600A"] {
        let lines = svg.matches("<polyline").count();
        assert!(lines >= 4 && svg.contains(color), "{lines} lines, {color}: {svg}");
    }

    let accuracy: f64 = rows[1]["test_accuracy"].parse().unwrap();
    assert!(stdout.contains(&format!("\ntest accuracy {:.2} %\n", 100.0 * accuracy)), "{stdout}");
    assert!(stdout.contains("\nepoch 1/2  train loss "), "{stdout}");
    assert!(!stdout.contains(['\u{1b}', '\r']), "{stdout:?}");
}

#[test]
fn loaded_weights_give_the_same_test_score() {
    let dir = Workspace::new();
    dir.trained(&["--epochs", "2"]);
    let split = data::open("mnist", Some(&dir.path("data")), None).unwrap();
    let mut trainer = Trainer::new(&Device::select("cpu").unwrap(), &*resnet8(), split, config(4)).unwrap();
    let weights = Weights::read(&dir.path("run/model.safetensors")).unwrap();
    weights.load(trainer.session(), Fit::Strict).unwrap();
    let score = trainer.test().unwrap();
    let row = &metrics(&dir.run())[1];
    let number = |column: &str| row[column].parse::<f64>().unwrap();
    assert_eq!((score.loss, score.accuracy), (number("test_loss"), number("test_accuracy")));
}

#[test]
fn the_seed_determines_every_weight() {
    let dir = Workspace::new();
    let model = |seed: &str, out: &str| {
        dir.trained(&["--seed", seed, "--out", out]);
        dir.read(&format!("{out}/model.safetensors"))
    };
    let first = model("3", "a");
    for again in ["b", "c", "d", "e"] {
        assert!(first == model("3", again), "the same seed gives other weights");
    }
    assert!(first != model("4", "f"), "another seed gives the same weights");
}

#[test]
fn metadata_of_weights_is_preserved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    let pairs = [("model", "resnet8"), ("a \"quoted\"\nname\t\\", "\u{1}\u{e9}\u{1f600}/"), ("", "")];
    let metadata: BTreeMap<String, String> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let tensors = [("w".to_owned(), Tensor::f32([2], vec![1.0, -2.0]).unwrap())];
    for count in [0, 1] {
        weights::write(&path, &tensors[..count], &metadata).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (header, found) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let found = found.metadata().clone().map(BTreeMap::from_iter);
        assert_eq!((header % 8, found.as_ref()), (0, Some(&metadata)));
        assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), count);
        assert!(bytes.ends_with(tensors[0].1.as_bytes()) || count == 0);
    }
}

#[test]
fn without_out_each_run_gets_a_folder() {
    let dir = Workspace::new();
    for name in ["runs/resnet8-mnist", "runs/resnet8-mnist-2"] {
        let flags = ["train", "--dataset", "mnist", "--data", "data", "--device", "cpu", "--epochs", "1"];
        printed(dir.striate(&flags).args(["--batch", "4"]));
        assert_eq!(list(&dir.path(name)), FILES);
    }
}

#[test]
fn a_closed_pipe_does_not_stop_a_run() {
    let dir = Workspace::new();
    let mut command = dir.train(&["--epochs", "3"]);
    let line = format!("{{ \"$0\" \"$@\"; echo $? > {}; }} | head -1", dir.path("code").display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).arg(PROGRAM).args(command.get_args()).current_dir(dir.root());
    let output = shell.output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert_eq!(dir.read_text("code"), "0\n");
    assert_eq!(list(&dir.run()), FILES);

    // Nor does a full disk behind standard output, which is reported.
    command.stdout(std::fs::File::create("/dev/full").unwrap()).arg("--force");
    let output = command.output().unwrap();
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("standard output") && message.lines().count() == 1, "{message}");
}

/// Trains into a new folder. Returns the weights, the estimated memory in bytes, and standard error.
fn run(dir: &Workspace, out: &str, flags: &[&str]) -> (Vec<u8>, u64, String) {
    let output = dir.train(&[&["--out", out], flags].concat()).output().unwrap();
    let note = text(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {note}");
    let bytes = dir.read_json(&format!("{out}/config.json"))["device"]["memory_bytes"].as_u64().unwrap();
    (dir.read(&format!("{out}/model.safetensors")), bytes, note)
}

#[test]
fn recomputation_saves_memory_and_changes_no_weight() {
    let dir = Workspace::new();
    let (kept, all, note) = run(&dir, "a", &["--batch", "8"]);
    assert_eq!(note, "");
    let (computed, less, _) = run(&dir, "b", &["--batch", "8", "--recompute"]);
    assert!(computed == kept && less < all, "{less} of {all} bytes, or other weights");

    let (model, taken, note) = run(&dir, "c", &["--batch", "8", "--memory", &all.to_string()]);
    assert!(model == kept && taken == all && note.ends_with("without recomputation\n"), "{note}");
    let (model, taken, note) = run(&dir, "d", &["--batch", "8", "--memory", &(all - 1).to_string()]);
    assert!(model == kept && taken == less && note.ends_with("with recomputation\n"), "{note}");
    dir.refused(&["--memory", "10k"], &["--memory: a step does not fit in 10.0 KiB: it needs at least "]);
}

#[test]
fn micro_batches_are_used_where_recomputation_is_not_enough() {
    let dir = Workspace::with_images(32, 10, 16);
    let (_, less, _) = run(&dir, "a", &["--batch", "32", "--recompute"]);
    let (parts, least, _) = run(&dir, "b", &["--batch", "32", "--recompute", "--accumulate", "2"]);
    assert!(least < less, "{least} of {less} bytes");
    let (model, taken, note) = run(&dir, "c", &["--batch", "32", "--memory", &least.to_string()]);
    assert!(model == parts && taken == least, "{taken} of {least} bytes: {note}");
    assert!(note.ends_with("with recomputation and 2 micro-batches\n"), "{note}");
}

/// Commands on a run report the file, not a missing flag.
#[test]
fn unreadable_files_of_a_run_are_named() {
    let dir = Workspace::new();
    dir.trained(&[]);
    let refused = |commands: &[&[&str]], words: &[&str]| {
        for command in commands {
            assert_refused(dir.striate(command).args(["--device", "cpu"]), words);
        }
    };
    let all = [&["eval", "run"][..], &["see", "run", "--out", "seen"], &["report", "run"]];
    dir.write("run/config.json", b"{\"a\"");
    refused(&all, &["run/config.json: is not the JSON of a run (EOF"]);
    refused(&all[..2], &["--dataset"]);
    make_pipe(&dir.path("run/config.json"));
    refused(&all, &["run/config.json: is a device or a pipe"]);
    make_pipe(&dir.path("run/best.safetensors"));
    refused(
        &[&["eval", "run"], &["predict", "run", "x.png"]],
        &["run/best.safetensors: is a device or a pipe"],
    );
    assert!(!dir.path("seen").exists());
}
