//! Runs that are broken off and go on.

use crate::place::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything that has state: an optimiser, averages, gradients of two batches, mixed pictures, random crops, a last
/// batch that is smaller.
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

fn resume(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["train", "--resume"]).arg(place.out()).current_dir(place.dir.path());
    command
        .env("VK_ICD_FILENAMES", "/dev/null")
        .env("VK_DRIVER_FILES", "/dev/null")
        .env_remove("RUST_LOG")
        .args(args);
    command
}

/// The weights of an uninterrupted run.
fn whole(place: &Place, flags: &[&str]) -> Vec<u8> {
    let out = place.path("whole");
    place.trained(&[flags, &["--out", out.to_str().unwrap()]].concat());
    std::fs::read(out.join("model.safetensors")).unwrap()
}

#[test]
fn a_run_killed_five_times_ends_with_the_same_bytes() {
    let place = Place::of(90, 10, 8);
    let want = whole(&place, &FLAGS);
    // Killed as soon as so many checkpoints were written, and a little later each time.
    let mut command = place.train(&FLAGS);
    for round in 0..5u64 {
        let before = checkpoints(&place.out());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while checkpoints(&place.out()) == before && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(7 * round));
        let _ = child.kill();
        child.wait().unwrap();
        command = resume(&place, &[]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == want, "the weights differ");
    assert_eq!(metrics(&place.out()).len(), 3, "an epoch is missing, or there twice");
    assert!(checkpoints(&place.out()).len() <= 3);
}

#[test]
fn a_run_that_was_asked_to_stop_goes_on() {
    let place = Place::of(90, 10, 8);
    let want = whole(&place, &FLAGS);
    let mut child = place.train(&FLAGS).stdout(Stdio::null()).spawn().unwrap();
    while checkpoints(&place.out()).is_empty() {
        std::thread::yield_now();
    }
    signal(&child, "INT");
    wait(&mut child);
    let output = resume(&place, &["--threads", "1", "--keep", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == want, "the weights differ");
    assert_eq!(checkpoints(&place.out()).len(), 1);
    // A run at its end stays as it is.
    let again = resume(&place, &[]).output().unwrap();
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == want);
}

#[test]
fn another_training_is_refused_with_the_difference() {
    let place = Place::new();
    place.trained(&["--epochs", "2"]);
    let model = std::fs::read(place.path("run/model.safetensors")).unwrap();
    for (args, words) in [
        (&["--lr", "0.3"][..], &["--lr was", "0.3"][..]),
        (&["--model", "lenet"], &["model was \"resnet8\", and is \"lenet\""]),
        (&["--model", "resnet14"], &["model was \"resnet8\", and is \"resnet14\""]),
        (&["--epochs", "3"], &["--epochs was 2, and is 3"]),
        (&["--seed", "2"], &["--seed was 1, and is 2"]),
    ] {
        let mut words = words.to_vec();
        if args[1] == "lenet" {
            // LeNet does not take pictures of 8 x 8, but the difference is told first.
            words.push("another training");
        }
        assert_refused(&resume(&place, args).output().unwrap(), &format!("{args:?}"), &words);
    }
    // Other pictures under the same name.
    let other = Place::of(21, 10, 8);
    let data = other.path("data");
    let output = resume(&place, &["--data", data.to_str().unwrap()]).output().unwrap();
    assert_refused(&output, "other data", &["training pictures was \"20 of sum", "\"21 of sum"]);
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == model);
}

#[test]
fn unusable_checkpoints_are_told_and_passed_over() {
    let place = Place::new();
    place.trained(&["--epochs", "3"]);
    let [older, newest] = checkpoints(&place.out()).try_into().expect("two are kept");
    let bytes = std::fs::read(&newest).unwrap();
    // One bit of a weight; then the end is missing; then another format. Each time the older one serves.
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
        let output = resume(&place, &[]).output().unwrap();
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains(word) && text(&output.stdout).contains(older.to_str().unwrap()), "{errors}");
    }
    std::fs::write(&older, b"nonsense").unwrap();
    std::fs::write(&newest, b"nonsense").unwrap();
    let output = resume(&place, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    std::fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    assert_refused(&resume(&place, &[]).output().unwrap(), "none", &["holds no checkpoint"]);
    std::fs::remove_file(place.path("run/config.json")).unwrap();
    assert_refused(&resume(&place, &[]).output().unwrap(), "no run", &["is not the folder of a run"]);
}

fn text_replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("it is there");
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

/// A disk that has no room for any of the next checkpoints.
#[test]
fn a_full_disk_loses_nothing_that_was_kept() {
    let place = Place::of(90, 10, 8);
    let want = whole(&place, &FLAGS);
    let mut child = place.train(&FLAGS).stdout(Stdio::null()).spawn().unwrap();
    while checkpoints(&place.out()).is_empty() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = checkpoints(&place.out());
    let bytes = |files: &[PathBuf]| files.iter().map(|f| std::fs::read(f).unwrap()).collect::<Vec<_>>();
    let before = bytes(&kept);
    for step in 0..60 {
        let part = place.path(&format!("run/checkpoints/step-{step:08}.safetensors.part"));
        let _ = std::fs::remove_file(&part);
        std::os::unix::fs::symlink("/dev/full", part).unwrap();
    }
    let output = resume(&place, &["--keep", "100"]).output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("No space left"), "{errors}");
    assert!(errors.contains("training goes on, and earlier checkpoints stay"), "{errors}");
    assert!(bytes(&kept) == before, "a kept checkpoint changed");
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == want, "the weights differ");
}
