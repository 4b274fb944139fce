//! A batch whose loss is not finite ends a run, is skipped, or is traced to a layer.

use crate::workspace::*;
use std::path::PathBuf;
use striate::Tensor;
use striate::weights::{Weights, write};

const SIDE: u32 = 28;
const FLAGS: [&str; 8] = ["--model", "lenet", "--lr", "0.01", "--epochs", "2", "--batch", "8"];

/// A workspace of dark images, one of which is bright if `bright`.
fn images(dir: &Workspace, bright: bool) {
    for (part, count) in [("train", 40), ("t10k", 10)] {
        let pixel = |i: u32| (i * 37 % 20) as u8;
        let mut pixels: Vec<u8> = (0..count * SIDE * SIDE).map(pixel).collect();
        if bright && part == "train" {
            let len = (SIDE * SIDE) as usize;
            pixels[17 * len..18 * len].fill(255);
        }
        dir.write(&format!("data/{part}-images-idx3-ubyte"), &idx(0x803, &[count, SIDE, SIDE], &pixels));
    }
}

/// A workspace with one bright image, and weights for which its first convolution overflows. Dark images are below the mean, so
/// their results are negative, and ReLU makes them 0.
fn workspace() -> (Workspace, PathBuf) {
    let dir = Workspace::with_images(40, 10, SIDE);
    images(&dir, false);
    dir.trained(&FLAGS);
    let weights = Weights::read(&dir.path("run/model.safetensors")).unwrap();
    let huge = |(name, tensor): (&str, &Tensor)| {
        let mut values = tensor.as_f32().to_vec();
        if name == "conv1.weight" {
            values[..25].fill(1e37);
        }
        (name.to_owned(), Tensor::f32(tensor.shape(), values).unwrap())
    };
    let tensors: Vec<(String, Tensor)> =
        weights.names().map(|name| huge((name, weights.get(name).unwrap()))).collect();
    let path = dir.path("huge.safetensors");
    write(&path, &tensors, &Default::default()).unwrap();
    images(&dir, true);
    (dir, path)
}

#[test]
fn a_bad_batch_ends_the_run_is_skipped_or_is_traced() {
    let (dir, weights) = workspace();
    let weights = ["--weights", weights.to_str().unwrap(), "--force"];
    let flags = [&FLAGS[..], &weights].concat();
    let traced = ["of epoch 1, conv1 forward wrote infinity", "(kernel conv_direct), from finite operands"];
    assert_refused(&mut dir.train(&[&flags[..], &["--anomaly"]].concat()), &traced);

    let stopped = "error: --lr: the loss is no longer finite at step ";
    assert_refused(&mut dir.train(&flags), &[stopped, " of epoch 1; use a learning rate below 0.01"]);

    // A run that stopped may go on like one that skips from the start.
    let resumed = printed(&mut dir.resume(&["--skip-non-finite"]));
    let finished = dir.read("run/model.safetensors");
    let shown = dir.trained(&[&flags[..], &["--skip-non-finite"]].concat());
    assert!(dir.read("run/model.safetensors") == finished, "{resumed}{shown}");
    assert_eq!(shown.matches("  1 of 5 steps skipped  ").count(), 2, "{shown}");
    let rows = metrics(&dir.run());
    assert!(rows.iter().all(|row| row["skipped_steps"] == "1"), "{rows:?}");
}

#[test]
fn a_run_of_bad_steps_ends() {
    let dir = Workspace::with_images(400, 10, 8);
    let flags = ["--batch", "4", "--warmup", "0", "--schedule", "constant", "--skip-non-finite"];
    // The first step makes the weights infinite, from a finite loss.
    let breaks = ["--lr", "3e38", "--weight-decay", "10"];
    let ends = "at step 11 of epoch 1, the last of 10 skipped steps in a row";
    assert_refused(&mut dir.train(&[&flags[..], &breaks].concat()), &["error: --", ends]);
}
