//! Fault injection: each change of a file by `striate train` fails in turn, or the process is killed there. Needs Linux and a C
//! compiler; `STRIATE_TEST_ALL_FAULTS=1` injects every fault at every change, instead of at a sample.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/workspace.rs"]
mod workspace;

use common::{Named, Outcome, Suite, named};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};
use workspace::*;

/// Three steps per epoch.
const FLAGS: [&str; 4] = ["--epochs", "2", "--batch", "8"];
/// Checkpoints within epochs as well as at their ends, or at the ends only.
const OFTEN: [&str; 2] = ["--checkpoint-every", "2"];
const SELDOM: [&str; 2] = ["--checkpoint-every", "4"];
const FORCED: [&str; 3] = ["--force", OFTEN[0], OFTEN[1]];

/// Files in the output folder that striate did not write.
const FOREIGN: [(&str, &str); 3] =
    [("notes.txt", "mine"), (".hidden.part", "mine"), ("model.safetensors.part", "mine")];

/// The library that injects faults, and the results of a run without any.
struct Lab {
    dir: Workspace,
    library: PathBuf,
    expected: Results,
    /// The changes of files in a run without faults, in order.
    changes: Vec<String>,
}

/// Results that faults must not change: weights, and metrics except for times.
#[derive(PartialEq)]
struct Results {
    weights: [Vec<u8>; 2],
    rows: Vec<[String; 5]>,
}

impl Results {
    fn of(run: &Path) -> Result<Self, String> {
        let weights = ["model.safetensors", "best.safetensors"].map(|name| std::fs::read(run.join(name)));
        let [model, best] = weights.map(|bytes| bytes.map_err(|e| format!("{}: {e}", run.display())));
        let columns = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"];
        let row = |row: BTreeMap<String, String>| columns.map(|column| row[column].clone());
        Ok(Self { weights: [model?, best?], rows: metrics(run).into_iter().map(row).collect() })
    }
}

/// A kind of fault.
#[derive(Clone, Copy)]
struct Fault {
    mode: &'static str,
    /// All later changes fail as well.
    permanent: bool,
    /// The distance between the changes that are tried by default.
    every: usize,
    /// The run replaces an earlier one, with `--force`.
    force: bool,
    checkpoints: [&'static str; 2],
}

impl Lab {
    fn compiler() -> Option<&'static str> {
        let works =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        ["cc", "gcc", "clang"].into_iter().filter(|_| cfg!(target_os = "linux")).find(works)
    }

    fn new(compiler: &str) -> Self {
        let dir = Workspace::new();
        let library = dir.path("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/file_faults/faults.c");
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", text(&built.stderr));
        let mut lab = Self {
            expected: Results { weights: [vec![], vec![]], rows: vec![] },
            changes: vec![],
            dir,
            library,
        };
        let out = lab.out("complete");
        let log = lab.dir.path("log");
        printed(lab.faulty(&out, &OFTEN).env("FAULT_LOG", &log));
        lab.expected = Results::of(&out).unwrap();
        lab.changes = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
        lab
    }

    /// A new folder with foreign files.
    fn out(&self, name: &str) -> PathBuf {
        let out = self.dir.path(name);
        std::fs::create_dir(&out).unwrap();
        FOREIGN.iter().for_each(|(name, text)| std::fs::write(out.join(name), text).unwrap());
        out
    }

    fn train(&self, out: &Path, flags: &[&str]) -> Command {
        self.dir.train(&[&FLAGS[..], &["--out", out.to_str().unwrap()], flags].concat())
    }

    fn faulty(&self, out: &Path, flags: &[&str]) -> Command {
        let mut command = self.train(out, flags);
        command.env("LD_PRELOAD", &self.library).env("FAULT_DIR", out);
        command
    }

    fn resume(&self, out: &Path) -> Command {
        self.dir.striate(&["train", "--resume", out.to_str().unwrap()])
    }

    /// Injects a fault at one change, lets the run recover, and compares the results.
    fn try_one(&self, fault: Fault, at: usize) -> Outcome {
        let Fault { mode, permanent, force, checkpoints, .. } = fault;
        let case = format!("{mode} at change {at}, permanent {permanent}, force {force}, {}", checkpoints[1]);
        let out = self.out(&format!("run-{mode}-{permanent}-{force}-{}-{at}", checkpoints[1]));
        if force {
            succeed(&case, &mut self.train(&out, &["--seed", "5"]))?;
        }
        let mut command = self.faulty(&out, if force { &FORCED } else { &checkpoints });
        command.env("FAULT_AT", at.to_string()).env("FAULT_MODE", mode);
        if permanent {
            command.env("FAULT_ON", "1");
        }
        let output = command.output().unwrap();
        let errors = text(&output.stderr);
        let killed = ["kill", "after", "torn"].contains(&mode);
        let reported = errors.contains("run-") || at > self.changes.len();
        match output.status.code() {
            None if killed => {}
            Some(0) if killed => {}
            // A single I/O error is retried.
            Some(0) if mode == "eio" && !permanent => same(&case, &self.expected, &Results::of(&out)?)?,
            Some(0 | 1) if !errors.contains("panicked") && (output.status.success() || reported) => {}
            code => return Err(format!("{case}: code {code:?}: {errors}").into()),
        }
        self.recover(&case, &out)?;
        same(&case, &self.expected, &Results::of(&out)?)?;
        let foreign: BTreeMap<String, Vec<u8>> =
            FOREIGN.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        let (mut left, mut names) = (contents(&out), list(&out));
        left.retain(|name, _| foreign.contains_key(name));
        names.retain(|name| !foreign.contains_key(name));
        if left != foreign {
            return Err(format!("{case}: foreign files were changed: {:?}", list(&out)).into());
        }
        if names != FILES || list(&out.join("checkpoints")).len() > 3 {
            return Err(format!("{case}: left {names:?} and {:?}", list(&out.join("checkpoints"))).into());
        }
        Ok(std::fs::remove_dir_all(out)?)
    }

    /// Resumes the run, as a user would after a fault, or starts it again if none of its files are there.
    fn recover(&self, case: &str, out: &Path) -> Outcome {
        let begun = std::fs::read_to_string(out.join("config.json")).unwrap_or_default();
        if begun.contains("\"seed\": 1,") {
            return succeed(case, &mut self.resume(out));
        }
        succeed(case, &mut self.train(out, &["--force"]))
    }

    fn try_all(&self, fault: Fault) -> Outcome {
        let all = std::env::var_os("STRIATE_TEST_ALL_FAULTS").is_some();
        let every = if all { 1 } else { fault.every };
        // Replacing a run takes a few more changes.
        let last = self.changes.len() + if fault.force { 20 } else { 1 };
        (1..=last).step_by(every).try_for_each(|at| self.try_one(fault, at))
    }
}

/// An earlier run stays until the settings of its replacement are written.
fn a_full_disk_keeps_the_earlier_run(lab: &Lab) -> Outcome {
    let out = lab.out("settings");
    succeed("first", &mut lab.train(&out, &[]))?;
    let before = contents(&out);
    let mut command = lab.faulty(&out, &FORCED);
    command.env("FAULT_MODE", "enospc").env("FAULT_AT", "1").env("FAULT_ON", "1");
    assert_refused(&mut command, &["settings", "No space left"]);
    assert!(contents(&out) == before, "a full disk changed the earlier run: {:?}", list(&out));
    Ok(())
}

/// The other files are written.
fn files_that_cannot_be_written_are_named(lab: &Lab) -> Outcome {
    const RESULTS: [&str; 5] =
        ["metrics.csv", "steps.csv", "best.safetensors", "model.safetensors", "curves.svg"];
    for name in RESULTS {
        let out = lab.out(&format!("named-{name}"));
        let mut command = lab.faulty(&out, &OFTEN);
        command
            .env("FAULT_MODE", "enospc")
            .env("FAULT_AT", "1")
            .env("FAULT_ON", "1")
            .env("FAULT_NAME", format!("/{name}"));
        let words = format!("{name}: cannot write: No space left");
        assert_refused(&mut command, &[&words]);
        RESULTS.iter().for_each(|other| assert_eq!(out.join(other).exists(), *other != name, "{other}"));
        lab.recover(name, &out)?;
        same(name, &lab.expected, &Results::of(&out)?)?;
    }
    let out = lab.out("named");
    let first = lab.changes.iter().position(|change| change.ends_with("metrics.csv")).expect("it is written");
    let mut command = lab.faulty(&out, &OFTEN);
    command.env("FAULT_MODE", "enospc").env("FAULT_AT", (first + 1).to_string()).env("FAULT_ON", "1");
    let words = RESULTS.map(|name| format!("{name}: cannot write: No space left"));
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["free some space and --resume"]).collect();
    assert_refused(&mut command, &words);
    lab.recover("all", &out)?;
    same("all", &lab.expected, &Results::of(&out)?)
}

/// Events are appended to a file, in another folder here.
fn training_continues_without_room_for_events(lab: &Lab) -> Outcome {
    let train = |name: &str| {
        let events = lab.dir.path(&format!("tensorboard-{name}"));
        let (out, flag) = (lab.out(&format!("events-{name}")), format!("--tensorboard={}", events.display()));
        let mut command = lab.faulty(&out, &["--log-every", "1", &flag]);
        command.env("FAULT_DIR", &events);
        (command, out)
    };
    let log = lab.dir.path("log-of-events");
    printed(train("whole").0.env("FAULT_LOG", &log));
    let changes = std::fs::read_to_string(log)?;
    let appends = changes.lines().enumerate().filter(|(_, change)| change.contains("tfevents"));
    let second = appends.map(|(at, _)| at + 1).nth(1).expect("there are several").to_string();
    for (mode, warning) in [("enospc", "training continues without events"), ("eio", "retrying")] {
        let (mut command, out) = train(mode);
        command.env("FAULT_AT", &second).env("FAULT_MODE", mode);
        let output = command.output()?;
        let errors = text(&output.stderr);
        assert!(output.status.success() && errors.lines().count() == 1, "{errors}");
        assert!(errors.contains("tfevents") && errors.contains(warning), "{errors}");
        same(mode, &lab.expected, &Results::of(&out)?)?;
    }
    Ok(())
}

/// A full disk from the second checkpoint on.
fn training_continues_without_room_for_checkpoints(lab: &Lab) -> Outcome {
    let out = lab.out("full");
    let mut command = lab.faulty(&out, &OFTEN);
    command
        .env("FAULT_MODE", "enospc")
        .env("FAULT_AT", "2")
        .env("FAULT_ON", "1")
        .env("FAULT_NAME", "/checkpoints/");
    let output = command.output().unwrap();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("training continues, and earlier checkpoints stay"), "{errors}");
    assert_eq!(list(&out.join("checkpoints")), ["step-00000002.safetensors"]);
    same("no room", &lab.expected, &Results::of(&out)?)?;
    succeed("resumed", &mut lab.resume(&out))?;
    same("resumed", &lab.expected, &Results::of(&out)?)
}

fn a_single_error_is_reported_and_retried(lab: &Lab) -> Outcome {
    for name in ["/metrics.csv", "/best.safetensors", "/checkpoints/", "/model.safetensors", "/config.json"] {
        let out = lab.out(&format!("retried{}", name.replace('/', "-")));
        let mut command = lab.faulty(&out, &OFTEN);
        command.env("FAULT_MODE", "eio").env("FAULT_AT", "1").env("FAULT_NAME", name);
        let output = command.output().unwrap();
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(
            errors.contains(name) && errors.contains("retrying") && errors.lines().count() == 1,
            "{errors}"
        );
        same(name, &lab.expected, &Results::of(&out)?)?;
    }
    Ok(())
}

fn succeed(case: &str, command: &mut Command) -> Outcome {
    let output = command.output()?;
    assert!(output.status.success(), "{case}: then {:?}: {}", output.status, text(&output.stderr));
    Ok(())
}

fn same(case: &str, expected: &Results, found: &Results) -> Outcome {
    if expected.rows != found.rows {
        return Err(format!("{case}: measured {:?}, expected {:?}", found.rows, expected.rows).into());
    }
    assert!(expected.weights == found.weights, "{case}: the weights differ");
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let compiler = Lab::compiler();
    let lab: Arc<OnceLock<Lab>> = Arc::default();
    let once = Fault { mode: "", permanent: false, every: 1, force: false, checkpoints: OFTEN };
    for (name, fault) in [
        ("killed_before_any_change", Fault { mode: "kill", ..once }),
        ("killed_with_few_checkpoints", Fault { mode: "kill", every: 3, checkpoints: SELDOM, ..once }),
        ("killed_after_any_change", Fault { mode: "after", every: 9, ..once }),
        ("killed_in_the_middle_of_a_write", Fault { mode: "torn", every: 9, ..once }),
        ("one_io_error", Fault { mode: "eio", every: 7, ..once }),
        ("permanent_io_errors", Fault { mode: "eio", every: 17, permanent: true, ..once }),
        ("disk_full_once", Fault { mode: "enospc", every: 11, ..once }),
        ("disk_full_from_then_on", Fault { mode: "enospc", every: 13, permanent: true, ..once }),
        ("killed_while_replacing_a_run", Fault { mode: "kill", every: 5, force: true, ..once }),
    ] {
        let lab = lab.clone();
        suite.add_if(compiler.is_some(), name, move || {
            lab.get_or_init(|| Lab::new(compiler.expect("it was there"))).try_all(fault)
        });
    }
    let tests: &Named<fn(&Lab) -> Outcome> = named![
        a_full_disk_keeps_the_earlier_run,
        files_that_cannot_be_written_are_named,
        training_continues_without_room_for_events,
        training_continues_without_room_for_checkpoints,
        a_single_error_is_reported_and_retried,
    ];
    for (name, test) in tests {
        let lab = lab.clone();
        suite.add_if(compiler.is_some(), *name, move || {
            test(lab.get_or_init(|| Lab::new(compiler.expect("it was there"))))
        });
    }
    suite.run()
}
