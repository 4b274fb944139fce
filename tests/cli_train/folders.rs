//! Where a run may write.

use crate::place::*;
use std::path::Path;

#[test]
fn an_earlier_run_stays_until_it_is_replaced() {
    let place = Place::new();
    place.trained(&[]);
    let earlier = contents(&place.out());
    assert_eq!(earlier.len(), 5);
    place.write("short/data_batch_1.bin", b"short");
    let same = |args: &[&str], words: &[&str]| {
        assert_refused(&place.train(args).output().unwrap(), &format!("{args:?}"), words);
        assert!(contents(&place.out()) == earlier, "{args:?} changed the earlier run");
    };
    same(&[], &["run", "holds an earlier run", "--force", "--out"]);
    let failures: [(&[&str], &str); 14] = [
        (&["--model", "alexnot"], "--model"),
        (&["--dataset", "imagenet"], "--dataset"),
        (&["--data", "nowhere"], "nowhere"),
        (&["--dataset", "cifar10", "--data", "short"], "short"),
        (&["--device", "gpu"], "device"),
        (&["--batch", "0"], "--batch"),
        (&["--batch", "21"], "--batch"),
        (&["--lr", "NaN"], "--lr"),
        (&["--epochs", "0"], "--epochs"),
        (&["--threads", "0"], "--threads"),
        (&["--momentum", "-1"], "--momentum"),
        (&["--label-smoothing", "2"], "--label-smoothing"),
        (&["--clip-norm", "0"], "--clip-norm"),
        (&["--image-size", "9x9"], "--image-size"),
    ];
    for (args, word) in failures {
        same(&[args, &["--force"]].concat(), &[word]);
    }
    // Not even room for the settings of the new run.
    std::os::unix::fs::symlink("/dev/full", place.path("run/config.json.part")).unwrap();
    let output = place.train(&["--force"]).output().unwrap();
    assert_refused(&output, "full disk", &["run/config.json: cannot write: No space left"]);
    assert!(contents(&place.out()) == earlier, "a full disk changed the earlier run");

    let mut usage = place.train(&["--force", "--optimizer", "magic"]);
    assert_eq!(usage.output().unwrap().status.code(), Some(2));
    assert!(contents(&place.out()) == earlier);

    place.trained(&["--force", "--seed", "2"]);
    assert_eq!(list(&place.out()), sorted(&FILES));
    assert!(contents(&place.out())["model.safetensors"] != earlier["model.safetensors"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.write("file", b"kept");
    for out in ["file", "file/run", "file/runs/1"] {
        place.refused(&["--out", out], &["file: is a file", "--out"]);
    }
    assert_eq!(std::fs::read(place.path("file")).unwrap(), b"kept");
    if Path::new("/proc/self").exists() {
        let words = ["/proc/striate/run: the folder cannot be created", "give another --out"];
        place.refused(&["--out", "/proc/striate/run"], &words);
    }
    std::fs::create_dir_all(place.path("run/model.safetensors.part")).unwrap();
    let output = place.train(&[]).output().unwrap();
    assert_refused(&output, "a folder", &["model.safetensors.part: is a folder", "--out"]);
    assert_eq!(list(&place.out()), ["model.safetensors.part"]);
}

#[test]
fn a_full_disk_is_told_with_the_file() {
    // What is missing afterwards: the file itself, and what comes later; the weights are always tried.
    let cases: [(&str, &[&str]); 3] = [
        ("metrics.csv", &["config.json", "curves.svg", "model.safetensors"]),
        (
            "model.safetensors",
            &["best.safetensors", "checkpoints", "config.json", "curves.svg", "metrics.csv"],
        ),
        (
            "curves.svg",
            &["best.safetensors", "checkpoints", "config.json", "metrics.csv", "model.safetensors"],
        ),
    ];
    for (file, left) in cases {
        let place = Place::new();
        std::fs::create_dir(place.out()).unwrap();
        std::os::unix::fs::symlink("/dev/full", place.out().join(format!("{file}.part"))).unwrap();
        let output = place.train(&[]).output().unwrap();
        assert_refused(&output, file, &[&format!("run/{file}: cannot write: No space left")]);
        assert_eq!(list(&place.out()), left, "{file}");
    }
}
