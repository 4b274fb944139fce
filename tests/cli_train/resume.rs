//! Runs that are broken off and go on.

use crate::place::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use striate::train::{Checkpoint, Position};

/// Everything that has state: an optimiser, averages, gradients of two batches, mixed images, random crops, a last
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
fn resuming_with_other_settings_names_the_difference() {
    let place = Place::new();
    place.trained(&["--epochs", "2"]);
    let model = std::fs::read(place.path("run/model.safetensors")).unwrap();
    for (args, words) in [
        (&["--lr", "0.3"][..], &["--lr was", "0.3"][..]),
        (&["--model", "lenet"], &["model was \"resnet8\", now \"lenet\""]),
        (&["--model", "resnet14"], &["model was \"resnet8\", now \"resnet14\""]),
        (&["--epochs", "1"], &["--epochs: is 1, but the run was begun with 2; give that many or more"]),
        (&["--epochs", "0"], &["--epochs: is 0, but the run was begun with 2; give that many or more"]),
        (&["--epochs", "3", "--seed", "2"], &["--seed was 1, now 2"]),
        (&["--seed", "2"], &["--seed was 1, now 2"]),
    ] {
        let mut words = words.to_vec();
        if args[1] == "lenet" {
            // LeNet does not take images of 8 x 8, but the difference is reported first.
            words.push("a different run");
        }
        assert_refused(&resume(&place, args).output().unwrap(), &format!("{args:?}"), &words);
    }
    // Other images under the same name.
    let other = Place::of(21, 10, 8);
    let data = other.path("data");
    let output = resume(&place, &["--data", data.to_str().unwrap()]).output().unwrap();
    assert_refused(&output, "other data", &["training images was \"20 of sum", "\"21 of sum"]);
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
    assert_refused(&resume(&place, &[]).output().unwrap(), "none", &["holds no checkpoint", "begin anew"]);
    std::fs::remove_file(place.path("run/config.json")).unwrap();
    assert_refused(&resume(&place, &[]).output().unwrap(), "no run", &["is not the folder of a run"]);
}

/// Nothing but `config.json`: as a run that is killed before its first checkpoint leaves it.
#[test]
fn a_run_without_a_checkpoint_goes_on_from_its_beginning() {
    let place = Place::of(90, 10, 8);
    let want = whole(&place, &FLAGS);
    let resumed = |args: &[&str]| {
        place.trained(&[&FLAGS[..], &["--force"]].concat());
        for name in FILES.iter().filter(|name| **name != "config.json") {
            let path = place.out().join(name);
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
        resume(&place, args).output().unwrap()
    };
    let output = resumed(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("has no checkpoint yet"), "{}", text(&output.stdout));
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == want, "the weights differ");
    assert_refused(&resumed(&["--seed", "2"]), "another seed", &["--seed was 1, now 2"]);
}

#[test]
fn a_finished_run_can_be_prolonged() {
    let place = Place::of(90, 10, 8);
    let flags =
        |epochs| [&["--epochs", epochs, "--schedule", "constant", "--ema", "0.9"][..], &FLAGS[2..4]].concat();
    let want = whole(&place, &flags("4"));
    place.trained(&flags("2"));
    let goes_on = |args: &[&str]| {
        let output = resume(&place, args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let told = goes_on(&["--epochs", "4"]);
    assert!(told.contains("\nchanged  --epochs 4 instead of 2\n"), "{told}");
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == want, "the weights differ");
    assert_eq!(metrics(&place.out()).len(), 4);
    // The run remembers that.
    let told = goes_on(&[]);
    assert!(told.contains("at its end after 4 epochs") && !told.contains("changed"), "{told}");
    let config = std::fs::read_to_string(place.path("run/config.json")).unwrap();
    assert!(config.contains("\"epochs\": 4"), "{config}");

    // A schedule that ends with the run ends later.
    place.trained(&["--epochs", "2", "--batch", "45", "--warmup", "0", "--force"]);
    let told = goes_on(&["--epochs", "4"]);
    let words = "--epochs 4 instead of 2; the next step has the rate 5.000e-2, and would have had 0.000e0";
    assert!(told.contains(words), "{told}");
}

/// The weights are broken by a step whose own loss is fine: the last one of the run, the only one of its epoch.
#[test]
fn a_step_that_breaks_the_weights_is_an_error() {
    let place = Place::new();
    let flags = ["--batch", "20", "--warmup", "0", "--schedule", "constant"];
    place.trained(&[&flags[..], &["--epochs", "2", "--lr", "0.01"]].concat());
    let before = contents(&place.out());
    let broken = |output: &std::process::Output| {
        assert_refused(output, "broken weights", &["error: --lr: ", "finite", "learning rate below 1e30"]);
        let go_on = text(&output.stdout);
        assert!(go_on.ends_with(&format!("--resume {} --lr 1e-1\n", place.out().display())), "{go_on}");
    };
    broken(
        &place.train(&[&flags[..], &["--lr", "1e30", "--epochs", "1", "--force"]].concat()).output().unwrap(),
    );
    assert!(contents(&place.out()).keys().eq([".striate.json", "config.json"]), "{:?}", list(&place.out()));
    // With a smaller rate it goes on, and remembers that.
    for args in [&["--lr", "0.01"][..], &[]] {
        let output = resume(&place, args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }
    let config = std::fs::read_to_string(place.path("run/config.json")).unwrap();
    assert!(config.contains("\"learning_rate\": 0.01") && config.contains("\"lr\": 0.01"), "{config}");
    // What was kept before is still there when it happens later.
    let kept = contents(&place.out());
    assert!(kept["model.safetensors"] != before["model.safetensors"]);
    assert_refused(
        &resume(&place, &["--lr", "0.1"]).output().unwrap(),
        "larger",
        &["--lr was 0.01, now 0.1"],
    );
    assert!(contents(&place.out()) == kept);
}

#[test]
fn anomalies_are_named_within_the_epoch() {
    let place = Place::of(400, 10, 8);
    let flags = ["--batch", "4", "--warmup", "0", "--schedule", "constant", "--epochs", "1", "--force"];
    let checked = |lr| place.train(&[&flags[..], &["--anomaly", "--lr", lr]].concat()).output().unwrap();
    // On the CPU, which never takes Winograd, looking changes nothing.
    place.trained(&[&flags[..], &["--lr", "0.01"]].concat());
    let want = std::fs::read(place.path("run/model.safetensors")).unwrap();
    assert!(checked("0.01").status.success());
    assert!(std::fs::read(place.path("run/model.safetensors")).unwrap() == want);
    assert_eq!(checkpoints(&place.out()).len(), 1);
    // Weight decay breaks the weights in the first step, whose own loss is fine.
    let breaks = ["--lr", "3e38", "--weight-decay", "10"];
    for (anomaly, found) in [
        (&[][..], "the loss is no longer finite at step 2"),
        (&["--anomaly"], "is no longer finite after step 1;"),
    ] {
        let output = place.train(&[&flags[..], &breaks, anomaly].concat()).output().unwrap();
        assert_refused(&output, found, &[found]);
    }
}

/// Right checksums, but places where no training ever stands.
#[test]
fn checkpoints_of_impossible_places_are_refused() {
    let place = Place::new();
    place.trained(&["--epochs", "3", "--keep", "1"]);
    let [path] = checkpoints(&place.out()).try_into().expect("one is kept");
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
    for (i, change) in wrong.iter().enumerate() {
        let mut checkpoint = good.clone();
        change(&mut checkpoint.position);
        checkpoint.write(&path).unwrap();
        let output = resume(&place, &[]).output().unwrap();
        assert_refused(&output, &format!("position {i}"), &[path.to_str().unwrap(), "is damaged"]);
    }
}

#[test]
fn what_is_no_table_of_epochs_is_left_out() {
    let place = Place::new();
    place.trained(&["--epochs", "3"]);
    let path = place.path("run/metrics.csv");
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
        let output = resume(&place, &["--epochs", &epochs.to_string()]).output().unwrap();
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(errors.contains("metrics.csv: line "), "{errors}");
        assert_eq!(metrics(&place.out()).len(), epochs);
    }
}

/// Reading one that nobody writes to would wait for ever.
#[test]
fn pipes_and_devices_are_no_files_of_a_run() {
    let place = Place::new();
    place.trained(&[]);
    for name in ["config.json", "metrics.csv"] {
        let path = place.out().join(name);
        let good = std::fs::read(&path).unwrap();
        for pipe in [true, false] {
            std::fs::remove_file(&path).unwrap();
            match pipe {
                true => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                false => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
            }
            let child = resume(&place, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let mut child = child.unwrap();
            wait(&mut child);
            assert_refused(&child.wait_with_output().unwrap(), name, &[name, "is a device or a pipe"]);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, good).unwrap();
    }
}

/// Folders whose names are no text, in flags, in what a run remembers and in what it says.
#[test]
fn paths_need_not_be_text() {
    let place = Place::new();
    let folder = |name: &[u8]| place.dir.path().join(OsStr::from_bytes(name));
    let (data, out, moved) = (folder(b"s\xe9t"), folder(b"r\xe9"), folder(b"moved \xff"));
    std::fs::rename(place.path("data"), &data).unwrap();
    let run = |arguments: &[&OsStr]| {
        let mut command = Command::new(PROGRAM);
        command
            .args(["train", "--epochs", "2", "--device", "cpu"])
            .args(arguments)
            .current_dir(place.dir.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let flags = ["--dataset", "mnist", "--batch", "4", "--data"].map(OsStr::new);
    run(&[&flags[..], &[data.as_os_str(), OsStr::new("--out"), out.as_os_str()]].concat());
    std::fs::rename(&out, &moved).unwrap();
    run(&[OsStr::new("--resume"), moved.as_os_str()]);
    assert_eq!(metrics(&moved).len(), 2);
    let flags = ["--dataset", "mnist", "--device", "cpu", "--json", "--data"].map(OsStr::new);
    let mut eval = Command::new(PROGRAM);
    let output = eval.arg("eval").arg(&moved).args(flags).arg(&data).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["weights"].as_str().unwrap().contains("moved \u{fffd}"), "{answer}");
}

fn text_replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("it is there");
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}
