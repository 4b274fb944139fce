//! `--freeze` with `--unfreeze-after`: the head first, then everything.

use crate::workspace::*;
use std::process::Stdio;
use striate::Tensor;
use striate::weights::Weights;

/// Two epochs of the last layer alone, then two of all layers.
const STAGES: [&str; 8] =
    ["--epochs", "4", "--freeze", "[!f]*", "--unfreeze-after", "2", "--checkpoint-every", "3"];

fn tensor(dir: &Workspace, file: &str, name: &str) -> Tensor {
    Weights::read(&dir.path(file)).unwrap().get(name).unwrap().clone()
}

#[test]
fn frozen_parameters_are_trained_in_the_second_stage() {
    let dir = Workspace::with_images(90, 10, 8);
    dir.trained(&["--out", "initial", "--lr", "1e-30"]);
    dir.trained(&["--out", "head", "--epochs", "4", "--freeze", "[!f]*"]);
    let output = dir.trained(&STAGES);
    assert!(output.contains("\nstage    all "), "{output}");
    let initial = tensor(&dir, "initial/model.safetensors", "conv1.weight");
    assert!(tensor(&dir, "head/model.safetensors", "conv1.weight") == initial);
    assert!(tensor(&dir, "run/model.safetensors", "conv1.weight") != initial);
    // The first stage is that of the run in which the parameters stay frozen.
    let (stages, head) = (metrics(&dir.run()), metrics(&dir.path("head")));
    let loss = |rows: &[std::collections::BTreeMap<String, String>]| {
        rows.iter().map(|row| row["train_loss"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(loss(&stages)[..2], loss(&head)[..2]);
    assert_ne!(loss(&stages)[2..], loss(&head)[2..]);
}

#[test]
fn a_run_killed_in_any_stage_ends_with_the_same_weights() {
    let dir = Workspace::with_images(90, 10, 8);
    dir.trained(&[&STAGES[..], &["--out", "uninterrupted"]].concat());
    let checkpoints = || list(&dir.path("run/checkpoints"));
    let mut command = dir.train(&STAGES);
    for _ in 0..4 {
        let before = checkpoints();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while checkpoints() == before && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        command = dir.resume(&[]);
    }
    printed(&mut command);
    assert!(
        dir.read("run/model.safetensors") == dir.read("uninterrupted/model.safetensors"),
        "the weights differ"
    );
    assert_eq!(metrics(&dir.run()).len(), 4);
}

#[test]
fn patience_begins_again_with_the_second_stage() {
    let dir = Workspace::with_images(90, 10, 8);
    // At this rate, nothing improves.
    let flags =
        ["--epochs", "8", "--freeze", "[!f]*", "--unfreeze-after", "4", "--patience", "2", "--lr", "1e-30"];
    let output = dir.trained(&[&flags[..], &["--no-precise-bn", "--momentum", "0"]].concat());
    let epochs = metrics(&dir.run()).len();
    assert!((6..8).contains(&epochs) && output.contains("stopped: no better than"), "{epochs}: {output}");
}

#[test]
fn stages_need_frozen_parameters_and_epochs() {
    let dir = Workspace::new();
    dir.refused(&["--unfreeze-after", "1", "--epochs", "2"], &["error: --unfreeze-after: requires --freeze"]);
    dir.refused(
        &["--unfreeze-after", "2", "--epochs", "2", "--freeze", "conv1.*"],
        &["error: --unfreeze-after: must be below --epochs (2), got 2"],
    );
}
