//! How a run stops.

use crate::place::*;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use striate::train::Trainer;
use striate::weights::{Fit, Weights};
use striate::{Device, data};

/// A process that does not outlive a test that fails.
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

/// Starts a run that would last for hours, and waits for its second epoch.
fn start_long_run(place: &Place) -> (Run, BufReader<impl Read + use<>>) {
    let mut command = place.train(&["--epochs", "1000000"]);
    let mut child = Run(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("epoch 1/") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the run ended early");
    }
    (child, stdout)
}

fn stops_in_good_order(name: &str) {
    let place = Place::new();
    let (mut child, mut stdout) = start_long_run(&place);
    signal(&child, name);
    let status = wait(&mut child);
    assert_eq!(status.code(), Some(130), "{status}");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("interrupted; writing what was learned so far\n"), "{rest}");
    assert!(!rest.contains("test accuracy"), "{rest}");
    let go_on = format!("go on    striate train --resume {}", place.out().display());
    assert_eq!(rest.lines().last(), Some(&go_on[..]), "{rest}");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    assert_eq!(list(&place.out()), sorted(&FILES));
    assert!(!metrics(&place.out()).is_empty());
    let settings = std::fs::read(place.path("run/config.json")).unwrap();
    assert!(serde_json::from_slice::<Value>(&settings).is_ok());
    assert_well_formed(&std::fs::read_to_string(place.path("run/curves.svg")).unwrap());
    let split = data::open("mnist", Some(&place.path("data")), None).unwrap();
    let mut trainer = Trainer::new(&Device::select("cpu").unwrap(), &*resnet8(), split, config(4)).unwrap();
    let weights = Weights::read(&place.path("run/model.safetensors")).unwrap();
    weights.load(trainer.session(), Fit::Strict).unwrap();
}

#[test]
fn ctrl_c_keeps_what_was_learned() {
    stops_in_good_order("INT");
}

#[test]
fn so_does_the_systems_request_to_end() {
    stops_in_good_order("TERM");
}

#[test]
fn a_killed_run_leaves_no_torn_file() {
    let place = Place::new();
    place.trained(&[]);
    let model = place.path("run/model.safetensors");
    let writing = || list(&place.out()).iter().any(|name| name.ends_with(".part"));
    for round in 0..8 {
        let mut child = place.train(&["--force"]).stdout(Stdio::null()).spawn().unwrap();
        // Killed after some time or, every second time, in the middle of writing.
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
            safetensors::SafeTensors::deserialize(&bytes).expect("the file is whole");
        }
    }
    // What a killed run leaves does not stand in the way of the next one.
    place.trained(&["--force"]);
    assert_eq!(list(&place.out()), sorted(&FILES));
}

/// `nohup` has the end of the terminal ignored, a shell without job control the Ctrl-C of what it runs behind it.
#[test]
fn an_ignored_signal_stays_ignored() {
    let place = Place::new();
    for name in ["HUP", "INT", "TERM"] {
        let command = place.train(&["--epochs", "40", "--force"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("trap '' {name}; exec \"$0\" \"$@\""), PROGRAM]).args(command.get_args());
        let mut child = shell.stdout(Stdio::piped()).current_dir(place.dir.path()).spawn().unwrap();
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

/// Runs one after another while the first one goes on.
#[test]
fn a_run_under_way_is_left_alone() {
    let place = Place::new();
    let (mut child, _stdout) = start_long_run(&place);
    let holder = format!("run: in use by process {} on ", child.id());
    let words = [&holder[..], "wait until it ends, or choose another folder"];
    for flags in [&[][..], &["--force"]] {
        assert_refused(&place.train(flags).output().unwrap(), &format!("{flags:?}"), &words);
    }
    let mut resume = Command::new(PROGRAM);
    resume.args(["train", "--resume", "run"]).current_dir(place.dir.path());
    assert_refused(&resume.output().unwrap(), "resume", &words);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.path("run/.striate.lock").exists(), "what a killed process leaves");
    place.trained(&["--force"]);
    assert_eq!(list(&place.out()), sorted(&FILES));
}

#[test]
fn runs_begun_at_once_get_a_folder_each() {
    let place = Place::new();
    let begin = |seed: u64| {
        let mut command = Command::new(PROGRAM);
        command.args(["train", "--dataset", "mnist", "--data", "data", "--device", "cpu", "--epochs", "1"]);
        command
            .args(["--batch", "4", "--seed", &seed.to_string()])
            .current_dir(place.dir.path())
            .stdout(Stdio::null())
            .spawn()
    };
    let runs: Vec<Child> = (1..=4).map(|seed| begin(seed).unwrap()).collect();
    runs.into_iter().for_each(|mut run| assert!(wait(&mut run).success()));
    let mut seeds = Vec::new();
    for name in ["resnet8-mnist", "resnet8-mnist-2", "resnet8-mnist-3", "resnet8-mnist-4"] {
        let run = place.path("runs").join(name);
        assert_eq!(list(&run), sorted(&FILES));
        let config: Value = serde_json::from_slice(&std::fs::read(run.join("config.json")).unwrap()).unwrap();
        seeds.push(config["settings"]["seed"].as_u64().unwrap());
    }
    seeds.sort_unstable();
    assert_eq!(seeds, [1, 2, 3, 4]);
}
