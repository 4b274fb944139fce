//! `striate train` where files cannot be written, or the program is killed meanwhile: at each change of a file in turn. Needs
//! Linux and a C compiler; `STRIATE_TEST_ALL_FAULTS=1` tries every change in every way, where otherwise some stand for their kind.

#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../cli_train/place.rs"]
#[allow(dead_code, reason = "made for the tests of `striate train`")]
mod place;

use common::{Outcome, Suite};
use place::{PROGRAM, Place, contents, list, metrics, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::{Arc, OnceLock};

/// Three steps an epoch.
const FLAGS: [&str; 4] = ["--epochs", "2", "--batch", "8"];
/// Checkpoints within epochs and at their ends, or only at these, when there are results as well.
const OFTEN: [&str; 2] = ["--checkpoint-every", "2"];
const SELDOM: [&str; 2] = ["--checkpoint-every", "4"];
const FORCED: [&str; 3] = ["--force", OFTEN[0], OFTEN[1]];

/// Files of somebody else, where runs are written.
const OTHERS: [(&str, &str); 3] =
    [("notes.txt", "mine"), (".hidden.part", "mine"), ("model.safetensors.part", "mine")];

/// The preloaded library, and what a run without faults leaves.
struct Lab {
    place: Place,
    library: PathBuf,
    want: Results,
    /// What a run without faults changes, one by one.
    changes: Vec<String>,
}

/// What has to come out the same: weights, and what was measured, but for times.
#[derive(PartialEq)]
struct Results {
    weights: [Vec<u8>; 2],
    rows: Vec<[String; 5]>,
}

impl Results {
    fn of(run: &Path) -> Result<Self, String> {
        let weights = ["model.safetensors", "best.safetensors"].map(|name| std::fs::read(run.join(name)));
        let [model, best] = weights.map(|bytes| bytes.map_err(|e| format!("{}: {e}", run.display())));
        let told = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"];
        let row = |row: BTreeMap<String, String>| told.map(|column| row[column].clone());
        Ok(Self { weights: [model?, best?], rows: metrics(run).into_iter().map(row).collect() })
    }
}

/// How changes fail.
#[derive(Clone, Copy)]
struct Fault {
    mode: &'static str,
    /// Also all changes after it.
    lasting: bool,
    /// Every so many changes are tried, by default.
    every: usize,
    /// Where there is an earlier run, which `--force` replaces.
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
        let place = Place::of(20, 10, 8);
        let library = place.path("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/file_faults/faults.c");
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", text(&built.stderr));
        let mut lab = Self {
            want: Results { weights: [vec![], vec![]], rows: vec![] },
            changes: vec![],
            place,
            library,
        };
        let out = lab.out("whole");
        let log = lab.place.path("log");
        let whole = lab.faulty(&out, &OFTEN).env("FAULT_LOG", &log).output().unwrap();
        assert!(whole.status.success(), "{}", text(&whole.stderr));
        lab.want = Results::of(&out).unwrap();
        lab.changes = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
        lab
    }

    /// A folder with files of somebody else.
    fn out(&self, name: &str) -> PathBuf {
        let out = self.place.path(name);
        std::fs::create_dir(&out).unwrap();
        OTHERS.iter().for_each(|(name, text)| std::fs::write(out.join(name), text).unwrap());
        out
    }

    fn train(&self, out: &Path, flags: &[&str]) -> Command {
        self.place.train(&[&FLAGS[..], &["--out", out.to_str().unwrap()], flags].concat())
    }

    fn faulty(&self, out: &Path, flags: &[&str]) -> Command {
        let mut command = self.train(out, flags);
        command.env("LD_PRELOAD", &self.library).env("FAULT_DIR", out);
        command
    }

    fn resume(&self, out: &Path) -> Output {
        let mut command = Command::new(PROGRAM);
        command
            .args(["train", "--resume"])
            .arg(out)
            .current_dir(self.place.dir.path())
            .env_remove("RUST_LOG");
        command.env("VK_ICD_FILENAMES", "/dev/null").env("VK_DRIVER_FILES", "/dev/null").output().unwrap()
    }

    /// A run with a fault, and what comes of it.
    fn try_one(&self, fault: Fault, at: usize) -> Outcome {
        let Fault { mode, lasting, force, checkpoints, .. } = fault;
        let case = format!("{mode} at change {at}, lasting {lasting}, force {force}, {}", checkpoints[1]);
        let out = self.out(&format!("run-{mode}-{lasting}-{force}-{}-{at}", checkpoints[1]));
        if force {
            expect(&case, &self.train(&out, &["--seed", "5"]).output().unwrap())?;
        }
        let mut command = self.faulty(&out, if force { &FORCED } else { &checkpoints });
        command.env("FAULT_AT", at.to_string()).env("FAULT_MODE", mode);
        if lasting {
            command.env("FAULT_ON", "1");
        }
        let output = command.output().unwrap();
        let errors = text(&output.stderr);
        let killed = ["kill", "after", "torn"].contains(&mode);
        let told = errors.contains("run-") || at > self.changes.len();
        match output.status.code() {
            None if killed => {}
            Some(0) if killed => {}
            // One error of a disk is told, and no harm.
            Some(0) if mode == "eio" && !lasting => same(&case, &self.want, &Results::of(&out)?)?,
            Some(0 | 1) if !errors.contains("panicked") && (output.status.success() || told) => {}
            code => return Err(format!("{case}: code {code:?}: {errors}")),
        }
        self.go_on(&case, &out)?;
        same(&case, &self.want, &Results::of(&out)?)?;
        let others: BTreeMap<String, Vec<u8>> =
            OTHERS.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        let (mut left, mut names) = (contents(&out), list(&out));
        left.retain(|name, _| others.contains_key(name));
        names.retain(|name| !others.contains_key(name));
        if left != others {
            return Err(format!("{case}: files of others were changed: {:?}", list(&out)));
        }
        if names
            != [
                ".striate.json",
                "best.safetensors",
                "checkpoints",
                "config.json",
                "curves.svg",
                "metrics.csv",
                "model.safetensors",
            ]
            || list(&out.join("checkpoints")).len() > 3
        {
            return Err(format!("{case}: left {names:?} and {:?}", list(&out.join("checkpoints"))));
        }
        std::fs::remove_dir_all(out).map_err(|e| e.to_string())
    }

    /// What a user does after a fault: the run goes on, or, where nothing of it is there, is begun again.
    fn go_on(&self, case: &str, out: &Path) -> Outcome {
        let begun = std::fs::read_to_string(out.join("config.json")).unwrap_or_default();
        if begun.contains("\"seed\": 1,") {
            let output = self.resume(out);
            return expect(case, &output);
        }
        expect(case, &self.train(out, &["--force"]).output().unwrap())
    }

    fn try_all(&self, fault: Fault) -> Outcome {
        let all = std::env::var_os("STRIATE_TEST_ALL_FAULTS").is_some();
        let every = if all { 1 } else { fault.every };
        // Replacing a run takes a few more changes.
        let last = self.changes.len() + if fault.force { 20 } else { 1 };
        (1..=last).step_by(every).try_for_each(|at| self.try_one(fault, at))
    }
}

/// An earlier run stays until the settings of the one in its place are written.
fn no_room_for_the_settings_of_another_run(lab: &Lab) -> Outcome {
    let out = lab.out("settings");
    expect("first", &lab.train(&out, &[]).output().unwrap())?;
    let before = contents(&out);
    let mut command = lab.faulty(&out, &FORCED);
    let output =
        command.env("FAULT_MODE", "enospc").env("FAULT_AT", "1").env("FAULT_ON", "1").output().unwrap();
    place::assert_refused(&output, "full disk", &["settings", "No space left"]);
    match contents(&out) == before {
        true => Ok(()),
        false => Err(format!("a full disk changed the earlier run: {:?}", list(&out))),
    }
}

/// Every file that cannot be written is named; the others are there.
fn what_could_not_be_written_is_named(lab: &Lab) -> Outcome {
    const RESULTS: [&str; 4] = ["metrics.csv", "best.safetensors", "model.safetensors", "curves.svg"];
    for name in RESULTS {
        let out = lab.out(&format!("named-{name}"));
        let mut command = lab.faulty(&out, &OFTEN);
        command
            .env("FAULT_MODE", "enospc")
            .env("FAULT_AT", "1")
            .env("FAULT_ON", "1")
            .env("FAULT_NAME", format!("/{name}"));
        let words = format!("{name}: cannot write: No space left");
        place::assert_refused(&command.output().unwrap(), name, &[&words]);
        RESULTS.iter().for_each(|other| assert_eq!(out.join(other).exists(), *other != name, "{other}"));
        lab.go_on(name, &out)?;
        same(name, &lab.want, &Results::of(&out)?)?;
    }
    let out = lab.out("named");
    let first = lab.changes.iter().position(|change| change.ends_with("metrics.csv")).expect("it is written");
    let mut command = lab.faulty(&out, &OFTEN);
    command.env("FAULT_MODE", "enospc").env("FAULT_AT", (first + 1).to_string()).env("FAULT_ON", "1");
    let words = RESULTS.map(|name| format!("{name}: cannot write: No space left"));
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["make room, and --resume"]).collect();
    place::assert_refused(&command.output().unwrap(), "all", &words);
    lab.go_on("all", &out)?;
    same("all", &lab.want, &Results::of(&out)?)
}

/// No room for any of the next checkpoints.
fn no_room_for_checkpoints(lab: &Lab) -> Outcome {
    let out = lab.out("full");
    let mut command = lab.faulty(&out, &OFTEN);
    command
        .env("FAULT_MODE", "enospc")
        .env("FAULT_AT", "2")
        .env("FAULT_ON", "1")
        .env("FAULT_NAME", "/checkpoints/");
    let output = command.output().unwrap();
    let errors = text(&output.stderr);
    expect("no room", &output)?;
    assert!(errors.contains("training goes on, and earlier checkpoints stay"), "{errors}");
    assert_eq!(list(&out.join("checkpoints")), ["step-00000002.safetensors"]);
    same("no room", &lab.want, &Results::of(&out)?)?;
    expect("goes on", &lab.resume(&out))?;
    same("goes on", &lab.want, &Results::of(&out)?)
}

/// One error while a table or the best weights are put in their place: told, and nothing is lost.
fn one_error_is_told(lab: &Lab) -> Outcome {
    for name in ["/metrics.csv", "/best.safetensors", "/checkpoints/", "/model.safetensors", "/config.json"] {
        let out = lab.out(&format!("told{}", name.replace('/', "-")));
        let mut command = lab.faulty(&out, &OFTEN);
        command.env("FAULT_MODE", "eio").env("FAULT_AT", "1").env("FAULT_NAME", name);
        let output = command.output().unwrap();
        let errors = text(&output.stderr);
        expect(name, &output)?;
        assert!(
            errors.contains(name) && errors.contains("retrying") && errors.lines().count() == 1,
            "{errors}"
        );
        same(name, &lab.want, &Results::of(&out)?)?;
    }
    Ok(())
}

fn expect(case: &str, output: &Output) -> Outcome {
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{case}: then {:?}: {}", output.status, text(&output.stderr))),
    }
}

fn same(case: &str, want: &Results, found: &Results) -> Outcome {
    if want.rows != found.rows {
        return Err(format!("{case}: measured {:?}, expected {:?}", found.rows, want.rows));
    }
    if want.weights == found.weights { Ok(()) } else { Err(format!("{case}: other weights")) }
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let compiler = Lab::compiler();
    let lab: Arc<OnceLock<Lab>> = Arc::default();
    let once = Fault { mode: "", lasting: false, every: 1, force: false, checkpoints: OFTEN };
    for (name, fault) in [
        ("killed_before_any_change", Fault { mode: "kill", ..once }),
        ("killed_where_checkpoints_are_few", Fault { mode: "kill", every: 3, checkpoints: SELDOM, ..once }),
        ("killed_after_any_change", Fault { mode: "after", every: 9, ..once }),
        ("killed_within_a_write", Fault { mode: "torn", every: 9, ..once }),
        ("one_error_of_the_disk", Fault { mode: "eio", every: 7, ..once }),
        ("a_disk_that_fails_for_good", Fault { mode: "eio", every: 17, lasting: true, ..once }),
        ("no_room_once", Fault { mode: "enospc", every: 11, ..once }),
        ("no_room_from_then_on", Fault { mode: "enospc", every: 13, lasting: true, ..once }),
        ("killed_while_a_run_is_replaced", Fault { mode: "kill", every: 5, force: true, ..once }),
    ] {
        let lab = lab.clone();
        suite.add_if(compiler.is_some(), name, move || {
            lab.get_or_init(|| Lab::new(compiler.expect("it was there"))).try_all(fault)
        });
    }
    type Test = fn(&Lab) -> Outcome;
    let named: [(&str, Test); 4] = [
        ("no_room_for_the_settings_of_another_run", no_room_for_the_settings_of_another_run),
        ("what_could_not_be_written_is_named", what_could_not_be_written_is_named),
        ("no_room_for_checkpoints", no_room_for_checkpoints),
        ("one_error_is_told", one_error_is_told),
    ];
    for (name, test) in named {
        let lab = lab.clone();
        suite.add_if(compiler.is_some(), name, move || {
            test(lab.get_or_init(|| Lab::new(compiler.expect("it was there"))))
        });
    }
    suite.run()
}
