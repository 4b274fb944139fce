//! Interrupted and killed runs, and several at once.

use crate::workspace::*;
use std::io::{BufRead, BufReader, Read};
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use striate::train::Trainer;
use striate::weights::{Fit, Weights};
use striate::{Device, data};

/// A process that is killed when the test ends.
struct Run(Child);

impl Deref for Run {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Run {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.kill();
        let _ = self.wait();
    }
}

/// Starts a run that would take hours, and waits for the end of its first epoch.
fn start_long_run(dir: &Workspace) -> (Run, BufReader<impl Read + use<>>) {
    let mut command = dir.train(&["--epochs", "1000000"]);
    let mut child = Run(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("epoch 1/") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the run ended early");
    }
    (child, stdout)
}

fn stops_and_keeps_what_was_learned(signal_name: &str) {
    let dir = Workspace::new();
    let (mut child, mut stdout) = start_long_run(&dir);
    signal(&child, signal_name);
    let status = wait(&mut child);
    assert_eq!(status.code(), Some(130), "{status}");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("interrupted; writing the results so far\n"), "{rest}");
    assert!(!rest.contains("test accuracy"), "{rest}");
    let go_on = format!("resume   striate train --resume {}", dir.run().display());
    assert_eq!(rest.lines().last(), Some(&go_on[..]), "{rest}");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    assert_eq!(list(&dir.run()), FILES);
    assert!(!metrics(&dir.run()).is_empty());
    dir.read_json("run/config.json");
    assert_well_formed(&dir.read_text("run/curves.svg"));
    let split = data::open("mnist", Some(&dir.path("data")), None).unwrap();
    let mut trainer = Trainer::new(&Device::select("cpu").unwrap(), &*resnet8(), split, config(4)).unwrap();
    let weights = Weights::read(&dir.path("run/model.safetensors")).unwrap();
    weights.load(trainer.session(), Fit::Strict).unwrap();
}

#[test]
fn ctrl_c_keeps_what_was_learned() {
    stops_and_keeps_what_was_learned("INT");
}

#[test]
fn sigterm_keeps_what_was_learned() {
    stops_and_keeps_what_was_learned("TERM");
}

#[test]
fn a_killed_run_leaves_no_partial_file() {
    let dir = Workspace::new();
    dir.trained(&[]);
    let model = dir.path("run/model.safetensors");
    let writing = || list(&dir.run()).iter().any(|name| name.ends_with(".part"));
    for round in 0..8 {
        let mut child = dir.train(&["--force"]).stdout(Stdio::null()).spawn().unwrap();
        // Even rounds kill it during a write, odd rounds after a fixed time.
        let start = Instant::now();
        let enough = |time: Duration| match round % 2 {
            0 => writing() || time > Duration::from_secs(60),
            _ => time > Duration::from_millis(20 * round),
        };
        while !enough(start.elapsed()) && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if let Ok(bytes) = std::fs::read(&model) {
            safetensors::SafeTensors::deserialize(&bytes).expect("the file is complete");
        }
    }
    // What a killed run leaves does not block the next one.
    dir.trained(&["--force"]);
    assert_eq!(list(&dir.run()), FILES);
}

/// As set by `nohup`, and by a shell without job control for background commands.
#[test]
fn an_ignored_signal_stays_ignored() {
    let dir = Workspace::new();
    for name in ["HUP", "INT", "TERM"] {
        let command = dir.train(&["--epochs", "40", "--force"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("trap '' {name}; exec \"$0\" \"$@\""), PROGRAM]).args(command.get_args());
        let mut child = shell.stdout(Stdio::piped()).current_dir(dir.root()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = String::new();
        while !lines.contains("epoch 1/") {
            assert!(stdout.read_line(&mut lines).unwrap() > 0, "{lines}");
        }
        signal(&child, name);
        stdout.read_to_string(&mut lines).unwrap();
        assert_eq!(wait(&mut child).code(), Some(0), "{name}: {lines}");
        assert!(lines.contains("\ntest accuracy "), "{name}: {lines}");
    }
}

#[test]
fn a_run_in_progress_cannot_be_replaced_or_resumed() {
    let dir = Workspace::new();
    let (mut child, _stdout) = start_long_run(&dir);
    let holder = format!("run: in use by process {} on ", child.id());
    let words = [&holder[..], "wait until it ends, or choose another folder"];
    for mut command in [dir.train(&[]), dir.train(&["--force"]), dir.resume(&[])] {
        assert_refused(&mut command, &words);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(dir.path("run/.striate.lock").exists(), "a killed process leaves its lock");
    dir.trained(&["--force"]);
    assert_eq!(list(&dir.run()), FILES);
}

#[test]
fn runs_started_at_once_get_separate_folders() {
    let dir = Workspace::new();
    let start = |seed: u64| {
        let flags = ["train", "--dataset", "mnist", "--data", "data", "--device", "cpu", "--epochs", "1"];
        let mut command = dir.striate(&flags);
        command.args(["--batch", "4", "--seed", &seed.to_string()]).stdout(Stdio::null()).spawn()
    };
    let runs: Vec<Child> = (1..=4).map(|seed| start(seed).unwrap()).collect();
    runs.into_iter().for_each(|mut run| assert!(wait(&mut run).success()));
    let mut seeds = Vec::new();
    for name in ["resnet8-mnist", "resnet8-mnist-2", "resnet8-mnist-3", "resnet8-mnist-4"] {
        assert_eq!(list(&dir.path("runs").join(name)), FILES);
        let config = dir.read_json(&format!("runs/{name}/config.json"));
        seeds.push(config["settings"]["seed"].as_u64().unwrap());
    }
    seeds.sort_unstable();
    assert_eq!(seeds, [1, 2, 3, 4]);
}
