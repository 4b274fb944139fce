//! What a run leaves behind.

use crate::place::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use striate::train::Trainer;
use striate::weights::{self, Fit, Weights};
use striate::{Device, Tensor, data};

#[test]
fn a_run_leaves_what_it_promises() {
    let place = Place::new();
    let stdout = place.trained(&["--epochs", "2", "--seed", "7"]);
    assert_eq!(list(&place.out()), sorted(&FILES));

    let rows = metrics(&place.out());
    let header = std::fs::read_to_string(place.path("run/metrics.csv")).unwrap();
    assert_eq!(
        header.lines().next().unwrap(),
        "epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,train_seconds,test_seconds,pictures_per_second"
    );
    assert_eq!(rows.iter().map(|row| row["epoch"].as_str()).collect::<Vec<_>>(), ["1", "2"]);
    for (column, value) in rows.iter().flatten() {
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{column} is {value:?}"));
        assert!(value.is_finite() && value >= 0.0, "{column} is {value}");
    }

    let config: Value =
        serde_json::from_slice(&std::fs::read(place.path("run/config.json")).unwrap()).unwrap();
    assert_eq!(config["settings"]["seed"], 7);
    assert_eq!(config["settings"]["batch"], 4);
    assert_eq!(config["settings"]["model"], "resnet8");
    assert_eq!(config["model"]["name"], "resnet8");
    assert_eq!(config["device"]["adapter"], Value::Null);
    assert!(config["device"]["name"].as_str().unwrap().starts_with("CPU"));
    assert_eq!(config["versions"]["striate"], env!("CARGO_PKG_VERSION"));
    assert!(config["versions"]["wgpu"].is_string() && config["versions"]["naga"].is_string());

    let svg = std::fs::read_to_string(place.path("run/curves.svg")).unwrap();
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
fn weights_load_back_and_score_the_same() {
    let place = Place::new();
    place.trained(&["--epochs", "2"]);
    let split = data::open("mnist", Some(&place.path("data")), None).unwrap();
    let mut trainer = Trainer::new(&Device::select("cpu").unwrap(), &*resnet8(), split, config(4)).unwrap();
    let weights = Weights::read(&place.path("run/model.safetensors")).unwrap();
    weights.load(trainer.session(), Fit::Strict).unwrap();
    let score = trainer.test().unwrap();
    let row = &metrics(&place.out())[1];
    let number = |column: &str| row[column].parse::<f64>().unwrap();
    assert_eq!((score.loss, score.accuracy), (number("test_loss"), number("test_accuracy")));
}

#[test]
fn the_seed_decides_every_byte() {
    let place = Place::new();
    let model = |seed: &str, out: &str| {
        let out = place.path(out);
        place.trained(&["--seed", seed, "--out", out.to_str().unwrap()]);
        std::fs::read(out.join("model.safetensors")).unwrap()
    };
    let first = model("3", "a");
    for again in ["b", "c", "d", "e"] {
        assert!(first == model("3", again), "the same seed gives other weights");
    }
    assert!(first != model("4", "f"), "another seed gives the same weights");
}

#[test]
fn metadata_of_weights_are_kept_as_they_are() {
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
    let place = Place::new();
    for name in ["runs/resnet8-mnist", "runs/resnet8-mnist-2"] {
        let mut command = Command::new(PROGRAM);
        command.args(["train", "--dataset", "mnist", "--data", "data", "--device", "cpu", "--epochs", "1"]);
        let status = command.args(["--batch", "4"]).current_dir(place.dir.path()).output().unwrap().status;
        assert!(status.success());
        assert_eq!(list(&place.path(name)), sorted(&FILES));
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    let mut command = place.train(&["--epochs", "3"]);
    let line = format!("{{ \"$0\" \"$@\"; echo $? > {}; }} | head -1", place.path("code").display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).arg(PROGRAM).args(command.get_args()).current_dir(place.dir.path());
    let output = shell.output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert_eq!(std::fs::read_to_string(place.path("code")).unwrap(), "0\n");
    assert_eq!(list(&place.out()), sorted(&FILES));

    // A full disk behind standard output is worth a word, but not the run.
    command.stdout(std::fs::File::create("/dev/full").unwrap()).arg("--force");
    let output = command.output().unwrap();
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("standard output") && message.lines().count() == 1, "{message}");
}

/// A run into a folder of its own: the weights, the estimated bytes, and its output.
fn run(place: &Place, out: &str, flags: &[&str]) -> (Vec<u8>, u64, String) {
    let out = place.path(out);
    let output = place.train(&[&["--out", out.to_str().unwrap()], flags].concat()).output().unwrap();
    let note = text(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {note}");
    let config: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    let bytes = config["device"]["memory_bytes"].as_u64().unwrap();
    (std::fs::read(out.join("model.safetensors")).unwrap(), bytes, note)
}

#[test]
fn saving_memory_by_recomputation_changes_no_weight() {
    let place = Place::new();
    let (kept, all, note) = run(&place, "a", &["--batch", "8"]);
    assert_eq!(note, "");
    let (computed, less, _) = run(&place, "b", &["--batch", "8", "--recompute"]);
    assert!(computed == kept && less < all, "{less} of {all} bytes, or other weights");

    let (model, taken, note) = run(&place, "c", &["--batch", "8", "--memory", &all.to_string()]);
    assert!(model == kept && taken == all && note.ends_with("without recomputation\n"), "{note}");
    let (model, taken, note) = run(&place, "d", &["--batch", "8", "--memory", &(all - 1).to_string()]);
    assert!(model == kept && taken == less && note.ends_with("with recomputation\n"), "{note}");
    place.refused(&["--memory", "10k"], &["--memory: a step does not fit in 10.0 KiB: it needs at least "]);
}

#[test]
fn what_recomputation_does_not_save_micro_batches_do() {
    let place = Place::of(32, 10, 16);
    let (_, less, _) = run(&place, "a", &["--batch", "32", "--recompute"]);
    let (parts, least, _) = run(&place, "b", &["--batch", "32", "--recompute", "--accumulate", "2"]);
    assert!(least < less, "{least} of {less} bytes");
    let (model, taken, note) = run(&place, "c", &["--batch", "32", "--memory", &least.to_string()]);
    assert!(model == parts && taken == least, "{taken} of {least} bytes: {note}");
    assert!(note.ends_with("with recomputation and 2 micro-batches\n"), "{note}");
}

/// Commands that look into the folder of a run say why its files cannot be used, and not that a flag is missing.
#[test]
fn files_of_a_run_that_cannot_be_read_are_named() {
    let place = Place::new();
    place.trained(&[]);
    let fifo = |name: &str| {
        std::fs::remove_file(place.path(name)).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(place.path(name)).status().unwrap().success());
    };
    let refused = |commands: &[&[&str]], words: &[&str]| {
        for command in commands {
            let mut striate = std::process::Command::new(PROGRAM);
            let output =
                striate.args(*command).args(["--device", "cpu"]).current_dir(place.dir.path()).output();
            assert_refused(&output.unwrap(), &format!("{command:?}"), words);
        }
    };
    let all = [&["eval", "run"][..], &["see", "run", "--out", "seen"], &["report", "run"]];
    place.write("run/config.json", b"{\"a\"");
    refused(&all, &["run/config.json: is no JSON of a run (EOF"]);
    refused(&all[..2], &["--dataset"]);
    fifo("run/config.json");
    refused(&all, &["run/config.json: is a device or a pipe"]);
    fifo("run/model.safetensors");
    refused(
        &[&["eval", "run"], &["predict", "run", "x.png"]],
        &["run/model.safetensors: is a device or a pipe"],
    );
    assert!(!place.path("seen").exists());
}
