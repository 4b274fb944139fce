//! Resuming runs.

use crate::workspace::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use striate::train::{Checkpoint, Position};

/// Everything that has state: optimizer, weight averages, accumulated gradients, mixup, random crops, and a smaller last batch.
const FLAGS: [&str; 17] = [
    "--epochs",
    "3",
    "--batch",
    "8",
    "--checkpoint-every",
    "2",
    "--keep",
    "3",
    "--accumulate",
    "2",
    "--ema",
    "0.9",
    "--mixup",
    "0.3",
    "--augment",
    "crop-flip",
    "--no-decay-1d",
];

fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let names = list(&run.join("checkpoints")).into_iter().filter(|name| name.ends_with(".safetensors"));
    names.map(|name| run.join("checkpoints").join(name)).collect()
}

/// The weights of an uninterrupted run.
fn uninterrupted(dir: &Workspace, flags: &[&str]) -> Vec<u8> {
    dir.trained(&[flags, &["--out", "uninterrupted"]].concat());
    dir.read("uninterrupted/model.safetensors")
}

/// The weights of the run.
fn weights(dir: &Workspace) -> Vec<u8> {
    dir.read("run/model.safetensors")
}

#[test]
fn a_run_killed_five_times_ends_with_the_same_weights() {
    let dir = Workspace::with_images(90, 10, 8);
    let want = uninterrupted(&dir, &FLAGS);
    // Killed after its next checkpoint, a little later each time.
    let mut command = dir.train(&FLAGS);
    for round in 0..5u64 {
        let before = checkpoints(&dir.run());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while checkpoints(&dir.run()) == before && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(7 * round));
        let _ = child.kill();
        child.wait().unwrap();
        command = dir.resume(&[]);
    }
    printed(&mut command);
    assert!(weights(&dir) == want, "the weights differ");
    assert_eq!(metrics(&dir.run()).len(), 3, "an epoch is missing or duplicated");
    assert!(checkpoints(&dir.run()).len() <= 3);
}

#[test]
fn an_interrupted_run_can_be_resumed() {
    let dir = Workspace::with_images(90, 10, 8);
    let want = uninterrupted(&dir, &FLAGS);
    let mut child = dir.train(&FLAGS).stdout(Stdio::null()).spawn().unwrap();
    while checkpoints(&dir.run()).is_empty() {
        std::thread::yield_now();
    }
    signal(&child, "INT");
    wait(&mut child);
    printed(&mut dir.resume(&["--threads", "1", "--keep", "1"]));
    assert!(weights(&dir) == want, "the weights differ");
    assert_eq!(checkpoints(&dir.run()).len(), 1);
    // Resuming a finished run changes nothing.
    printed(&mut dir.resume(&[]));
    assert!(weights(&dir) == want);
}

#[test]
fn resuming_with_different_settings_names_the_difference() {
    let dir = Workspace::new();
    dir.trained(&["--epochs", "2"]);
    let before = weights(&dir);
    for (args, words) in [
        (&["--lr", "0.3"][..], &["--lr was", "0.3"][..]),
        (&["--model", "lenet"], &["model was \"resnet8\", now \"lenet\""]),
        (&["--model", "resnet14"], &["model was \"resnet8\", now \"resnet14\""]),
        (&["--epochs", "1"], &["--epochs: expected at least 2, as in the original run, found 1"]),
        (&["--epochs", "0"], &["--epochs: expected at least 2, as in the original run, found 0"]),
        (&["--epochs", "3", "--seed", "2"], &["--seed was 1, now 2"]),
        (&["--seed", "2"], &["--seed was 1, now 2"]),
    ] {
        let mut words = words.to_vec();
        if args[1] == "lenet" {
            // LeNet does not take images of 8 x 8, but the difference is reported first.
            words.push("a different run");
        }
        assert_refused(&mut dir.resume(args), &words);
    }
    // Different images under the same name.
    let other = Workspace::with_images(21, 10, 8);
    let data = other.path("data");
    let mut command = dir.resume(&["--data", data.to_str().unwrap()]);
    assert_refused(&mut command, &["training images was \"20 of sum", "\"21 of sum"]);
    assert!(weights(&dir) == before);
}

#[test]
fn unusable_checkpoints_are_reported_and_skipped() {
    let dir = Workspace::new();
    dir.trained(&["--epochs", "3"]);
    let [older, newest] = checkpoints(&dir.run()).try_into().expect("two are kept");
    let bytes = std::fs::read(&newest).unwrap();
    // A flipped bit, a truncated file, another format, an empty file: each time the older checkpoint is used.
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let format = text_replaced(&bytes, "\"checkpoint\":\"1\"", "\"checkpoint\":\"7\"");
    for (damaged, word) in [
        (&flipped[..], "checksum"),
        (&bytes[..bytes.len() - 9], "damaged"),
        (&format, "format 7"),
        (b"", "empty"),
    ] {
        std::fs::write(&newest, damaged).unwrap();
        let output = dir.resume(&[]).output().unwrap();
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains(word) && text(&output.stdout).contains(older.to_str().unwrap()), "{errors}");
    }
    std::fs::write(&older, b"nonsense").unwrap();
    std::fs::write(&newest, b"nonsense").unwrap();
    let output = dir.resume(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    std::fs::remove_dir_all(dir.path("run/checkpoints")).unwrap();
    assert_refused(&mut dir.resume(&[]), &["no checkpoint to resume from", "start a new run"]);
    std::fs::remove_file(dir.path("run/config.json")).unwrap();
    assert_refused(&mut dir.resume(&[]), &["is not a run folder"]);
}

/// Only `config.json` is there, as when a run is killed before its first checkpoint.
#[test]
fn a_run_without_a_checkpoint_starts_over() {
    let dir = Workspace::with_images(90, 10, 8);
    let want = uninterrupted(&dir, &FLAGS);
    let resumed = |args: &[&str]| {
        dir.trained(&[&FLAGS[..], &["--force"]].concat());
        for name in FILES.iter().filter(|name| **name != "config.json") {
            let path = dir.run().join(name);
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
        dir.resume(args)
    };
    let output = printed(&mut resumed(&[]));
    assert!(output.contains("has no checkpoint yet"), "{output}");
    assert!(weights(&dir) == want, "the weights differ");
    assert_refused(&mut resumed(&["--seed", "2"]), &["--seed was 1, now 2"]);
}

#[test]
fn a_finished_run_can_be_extended() {
    let dir = Workspace::with_images(90, 10, 8);
    let flags =
        |epochs| [&["--epochs", epochs, "--schedule", "constant", "--ema", "0.9"][..], &FLAGS[2..4]].concat();
    let want = uninterrupted(&dir, &flags("4"));
    dir.trained(&flags("2"));
    let output = printed(&mut dir.resume(&["--epochs", "4"]));
    assert!(output.contains("\nchanged  --epochs 4 instead of 2\n"), "{output}");
    assert!(weights(&dir) == want, "the weights differ");
    assert_eq!(metrics(&dir.run()).len(), 4);
    // The run remembers that.
    let output = printed(&mut dir.resume(&[]));
    assert!(output.contains("already trained for all 4 epochs") && !output.contains("changed"), "{output}");
    let config = dir.read_text("run/config.json");
    assert!(config.contains("\"epochs\": 4"), "{config}");

    // A schedule that ends with the run ends later.
    dir.trained(&["--epochs", "2", "--batch", "45", "--warmup", "0", "--force"]);
    let output = printed(&mut dir.resume(&["--epochs", "4"]));
    let words = "--epochs 4 instead of 2; the learning rate of the next step is 5.000e-2 instead of 0.000e0";
    assert!(output.contains(words), "{output}");
}

/// The last step of the run has a finite loss but leaves weights that are not.
#[test]
fn weights_that_are_not_finite_are_an_error() {
    let dir = Workspace::new();
    let flags = ["--batch", "20", "--warmup", "0", "--schedule", "constant"];
    dir.trained(&[&flags[..], &["--epochs", "2", "--lr", "0.01"]].concat());
    let before = contents(&dir.run());
    let mut command = dir.train(&[&flags[..], &["--lr", "1e30", "--epochs", "1", "--force"]].concat());
    let output = assert_refused(&mut command, &["error: --lr: ", "finite", "learning rate below 1e30"]);
    let advice = text(&output.stdout);
    assert!(advice.ends_with(&format!("--resume {} --lr 1e-1\n", dir.run().display())), "{advice}");
    let left = [".striate.json", "config.json", "steps.csv"];
    assert!(contents(&dir.run()).keys().eq(left), "{:?}", list(&dir.run()));
    // The run can be resumed with a smaller learning rate, and remembers it.
    for args in [&["--lr", "0.01"][..], &[]] {
        printed(&mut dir.resume(args));
    }
    let config = dir.read_text("run/config.json");
    assert!(config.contains("\"learning_rate\": 0.01") && config.contains("\"lr\": 0.01"), "{config}");
    // A refused resume changes nothing.
    let kept = contents(&dir.run());
    assert!(kept["model.safetensors"] != before["model.safetensors"]);
    assert_refused(&mut dir.resume(&["--lr", "0.1"]), &["--lr was 0.01, now 0.1"]);
    assert!(contents(&dir.run()) == kept);
}

#[test]
fn anomalies_are_named_within_the_epoch() {
    let dir = Workspace::with_images(400, 10, 8);
    let flags = ["--batch", "4", "--warmup", "0", "--schedule", "constant", "--epochs", "1", "--force"];
    // On the CPU, which never uses Winograd, the checks change nothing.
    dir.trained(&[&flags[..], &["--lr", "0.01"]].concat());
    let want = weights(&dir);
    printed(&mut dir.train(&[&flags[..], &["--lr", "0.01", "--anomaly"]].concat()));
    assert!(weights(&dir) == want);
    assert_eq!(checkpoints(&dir.run()).len(), 1);
    // Weight decay makes the weights infinite in the first step, whose loss is finite.
    let breaks = ["--lr", "3e38", "--weight-decay", "10"];
    for (anomaly, found) in [
        (&[][..], "the loss is no longer finite at step 2"),
        (&["--anomaly"], "at step 1 of epoch 1, optimizer update wrote infinity"),
    ] {
        assert_refused(&mut dir.train(&[&flags[..], &breaks, anomaly].concat()), &[found]);
    }
}

/// Their checksums are correct.
#[test]
fn checkpoints_at_impossible_positions_are_refused() {
    let dir = Workspace::new();
    dir.trained(&["--epochs", "3", "--keep", "1"]);
    let [path] = checkpoints(&dir.run()).try_into().expect("one is kept");
    let good = Checkpoint::read(&path).unwrap();
    let wrong: [fn(&mut Position); 8] = [
        |p| p.epoch = 100,
        |p| p.epoch = usize::MAX,
        |p| p.batch = 1,
        |p| p.batch = usize::MAX,
        |p| p.step += 1,
        |p| p.seconds = -1.0,
        |p| p.seconds = 1e300,
        |p| p.score.images = usize::MAX,
    ];
    for change in wrong {
        let mut checkpoint = good.clone();
        change(&mut checkpoint.position);
        checkpoint.write(&path).unwrap();
        assert_refused(&mut dir.resume(&[]), &[path.to_str().unwrap(), "is damaged"]);
    }
}

#[test]
fn invalid_rows_of_metrics_are_dropped() {
    let dir = Workspace::new();
    dir.trained(&["--epochs", "3"]);
    let path = dir.path("run/metrics.csv");
    let garbage: [&[u8]; 6] = [
        b"garbage\n",
        b"\xff\xfe\x00\x00",
        b"4,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN\n",
        b"4,0.1,inf,0.1,2.3,0.1,0.1,0.1,1\n",
        b"2,0.1,2.3,0.1,2.3,0.1,0.1,0.1,1\n",
        b"18446744073709551615,1e38,1e308,1e308,-1e308,1e308,1e308,1e308,1e308\n99999999999999999999,",
    ];
    for (epochs, bytes) in (4..).zip(garbage) {
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&good[..], bytes].concat()).unwrap();
        let output = dir.resume(&["--epochs", &epochs.to_string()]).output().unwrap();
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains("metrics.csv: line "), "{errors}");
        assert_eq!(metrics(&dir.run()).len(), epochs);
    }
}

/// Opening a pipe that nobody writes to would block forever.
#[test]
fn pipes_and_devices_in_a_run_are_refused() {
    let dir = Workspace::new();
    dir.trained(&[]);
    for name in ["config.json", "metrics.csv"] {
        let path = dir.run().join(name);
        let good = std::fs::read(&path).unwrap();
        for pipe in [true, false] {
            std::fs::remove_file(&path).unwrap();
            match pipe {
                true => make_pipe(&path),
                false => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
            }
            let child = dir.resume(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let mut child = child.unwrap();
            wait(&mut child);
            assert_error(&child.wait_with_output().unwrap(), name, &[name, "is a device or a pipe"]);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, good).unwrap();
    }
}

/// In flags, in the settings of a run, and in messages.
#[test]
fn paths_need_not_be_utf8() {
    let dir = Workspace::new();
    let folder = |name: &[u8]| dir.root().join(OsStr::from_bytes(name));
    let (data, out, moved) = (folder(b"s\xe9t"), folder(b"r\xe9"), folder(b"moved \xff"));
    std::fs::rename(dir.path("data"), &data).unwrap();
    let run = |arguments: &[&OsStr]| {
        printed(dir.striate(&["train", "--epochs", "2", "--device", "cpu"]).args(arguments))
    };
    let flags = ["--dataset", "mnist", "--batch", "4", "--data"].map(OsStr::new);
    run(&[&flags[..], &[data.as_os_str(), OsStr::new("--out"), out.as_os_str()]].concat());
    std::fs::rename(&out, &moved).unwrap();
    run(&[OsStr::new("--resume"), moved.as_os_str()]);
    assert_eq!(metrics(&moved).len(), 2);
    let flags = ["--dataset", "mnist", "--device", "cpu", "--json", "--data"].map(OsStr::new);
    let answer = json(dir.striate(&["eval"]).arg(&moved).args(flags).arg(&data));
    assert!(answer["weights"].as_str().unwrap().contains("moved \u{fffd}"), "{answer}");
}

fn text_replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("it is there");
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}
