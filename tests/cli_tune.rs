//! The user's cache folder: tuned kernels and the driver's pipelines. Unusable files are ignored.

mod common;
#[path = "common/program.rs"]
mod program;

use common::{Outcome, Suite, gpu_name, named};
use program::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use striate::Device;

/// A command on a small network on the tested device.
fn small(cache: &Path, name: &str) -> Command {
    let device = gpu_name();
    let mut command = striate(&[name, "lenet", "--input", "1x28x28", "--batch", "2", "--device", &device]);
    command.env("STRIATE_CACHE", cache);
    // Planning does not run anything.
    if name != "plan" {
        command.arg("--no-selftest");
    }
    command
}

/// Standard output and standard error of a command that must succeed.
fn outputs(command: &mut Command) -> [String; 2] {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    [output.stdout, output.stderr].map(|bytes| text(&bytes))
}

fn only_file(folder: &Path) -> PathBuf {
    let tuned = |path: &PathBuf| path.extension().is_some_and(|e| e == "json");
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(tuned);
    let file = files.next().expect("a file was written");
    assert_eq!(files.next(), None);
    file
}

fn tuned_kernels_are_stored_and_used(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let cache = dir.path().join("cache");
    let untuned = printed(&mut small(&cache, "profile"));
    assert!(!untuned.contains("tuned kernels"), "{untuned}");

    let table = printed(&mut small(&cache, "tune"));
    let file = only_file(&cache);
    assert!(table.ends_with(&format!("written  {}\n", file.display())), "{table}");
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    let choices = kept["choices"].as_array().expect("a list");
    assert!(choices.len() > 5, "{text}");
    for choice in choices {
        let [pass, shape] = ["pass", "shape"].map(|key| choice[key].as_str().expect("text"));
        assert!(table.contains(&format!("\n{pass} {shape} (")), "{choice}");
    }
    assert_eq!(table.matches("chosen\n").count(), choices.len(), "{table}");

    let used = format!("tuned kernels for {} classes", choices.len());
    for command in ["profile", "plan"] {
        let tuned = printed(&mut small(&cache, command));
        assert!(tuned.contains(&used), "{tuned}");
    }
    let off = printed(&mut small(Path::new("off"), "profile"));
    assert!(!off.contains("tuned kernels"), "{off}");

    for (unusable, why) in [("{\"vers", "is damaged"), ("{\"version\": 0}", "has version 0")] {
        std::fs::write(&file, unusable).unwrap();
        let [ignored, err] = outputs(&mut small(&cache, "profile"));
        assert!(!ignored.contains("tuned kernels"), "{ignored}");
        let message = format!("{} {why}", file.display());
        assert!(
            err.contains(&message) && err.contains("is ignored; run `striate tune` to write a new one"),
            "{err}"
        );
    }
    Ok(())
}

/// Names and contents of the stored pipelines, if the driver exposes them.
fn pipelines(cache: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(cache).into_iter().flatten().map(|entry| entry.unwrap().path());
    let bin = files.filter(|path| path.extension().is_some_and(|e| e == "bin"));
    bin.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn damaged_pipelines_are_replaced(device: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    printed(&mut small(dir.path(), "profile"));
    let kept = pipelines(dir.path());
    let exposed = device.adapter().is_some_and(|a| a.features.contains(&"pipeline cache"));
    assert_eq!(kept.len(), usize::from(exposed));
    for (path, contents) in &kept {
        for damaged in [&b""[..], b"foreign", &contents[..contents.len() - 1]] {
            std::fs::write(path, damaged).unwrap();
            printed(&mut small(dir.path(), "profile"));
            let [(now, whole)] = &pipelines(dir.path())[..] else { panic!("one file") };
            assert!(now == path && whole.len() >= contents.len() && whole.starts_with(b"striate1"));
        }
    }
    // A folder that cannot be created is no reason to stop either.
    let [_, err] = outputs(&mut small(&std::env::current_exe().unwrap(), "profile"));
    assert!(!err.contains("error"), "{err}");
    Ok(())
}

fn the_cpu_has_nothing_to_tune() -> Outcome {
    let mut command = striate(&["tune", "lenet", "--input", "1x28x28", "--device", "cpu"]);
    assert_refused(&mut command, &["error: --device: the CPU executor has one kernel"]);
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add_all_on(&["gpu"], named![tuned_kernels_are_stored_and_used, damaged_pipelines_are_replaced]);
    suite.add_all(named![the_cpu_has_nothing_to_tune]);
    suite.run()
}
