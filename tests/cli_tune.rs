//! What the program keeps from run to run: what `striate tune` finds, and the driver's pipelines. Files that are of no use are
//! ignored.

mod common;

use common::{Outcome, Suite};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use striate::Device;

fn striate(cache: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    command
        .env("STRIATE_CACHE", cache)
        .env_remove("RUST_LOG")
        .args(args)
        .output()
        .expect("the program starts")
}

/// A small network on the device that is tested.
fn small(command: &str) -> Vec<String> {
    let device = std::env::var("STRIATE_TEST_DEVICE").unwrap_or("gpu".into());
    [command, "lenet", "--input", "1x28x28", "--batch", "2", "--device", &device].map(str::to_owned).to_vec()
}

/// What the program prints and complains of where it succeeds.
fn printed(cache: &Path, args: &[String]) -> Result<[String; 2], String> {
    let output = striate(cache, &args.iter().map(String::as_str).collect::<Vec<_>>());
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() { Ok([out, err]) } else { Err(format!("{args:?}: {err}")) }
}

fn only_file(folder: &Path) -> PathBuf {
    let tuned = |path: &PathBuf| path.extension().is_some_and(|e| e == "json");
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(tuned);
    let file = files.next().expect("a file was written");
    assert_eq!(files.next(), None);
    file
}

fn what_was_tuned_is_kept_and_used(_: &Device) -> Outcome {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let cache = dir.path().join("cache");
    let profile = small("profile");
    let [untuned, err] = printed(&cache, &profile)?;
    assert!(!untuned.contains("tuned kernels") && err.is_empty(), "{untuned}{err}");

    let [table, err] = printed(&cache, &small("tune"))?;
    assert!(err.is_empty(), "{err}");
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
    let [tuned, err] = printed(&cache, &profile)?;
    assert!(tuned.contains(&used) && err.is_empty(), "{tuned}{err}");
    let [plan, err] = printed(&cache, &small("plan"))?;
    assert!(plan.contains(&used) && err.is_empty(), "{plan}{err}");
    let [off, _] = printed(Path::new("off"), &profile)?;
    assert!(!off.contains("tuned kernels"), "{off}");

    for (of_no_use, why) in [("{\"vers", "is damaged"), ("{\"version\": 0}", "has version 0")] {
        std::fs::write(&file, of_no_use).unwrap();
        let [ignored, err] = printed(&cache, &profile)?;
        assert!(!ignored.contains("tuned kernels"), "{ignored}");
        let message = format!("{} {why}", file.display());
        assert!(
            err.contains(&message) && err.contains("is ignored; run `striate tune` to write a new one"),
            "{err}"
        );
    }
    Ok(())
}

/// Names and contents of the driver's pipelines; none where it does not hand them out.
fn pipelines(cache: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(cache).into_iter().flatten().map(|entry| entry.unwrap().path());
    let bin = files.filter(|path| path.extension().is_some_and(|e| e == "bin"));
    bin.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn damaged_pipelines_are_replaced(device: &Device) -> Outcome {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let profile = small("profile");
    printed(dir.path(), &profile)?;
    let kept = pipelines(dir.path());
    let handed_out = device.adapter().is_some_and(|a| a.features.contains(&"pipeline cache"));
    assert_eq!(kept.len(), usize::from(handed_out));
    for (path, contents) in &kept {
        for damaged in [&b""[..], b"of someone else", &contents[..contents.len() - 1]] {
            std::fs::write(path, damaged).unwrap();
            let [_, err] = printed(dir.path(), &profile)?;
            assert!(err.is_empty(), "{err}");
            let [(now, whole)] = &pipelines(dir.path())[..] else { panic!("one file") };
            assert!(now == path && whole.len() >= contents.len() && whole.starts_with(b"striate1"));
        }
    }
    // A folder that cannot be made is no reason to stop either.
    let [_, err] = printed(&std::env::current_exe().unwrap(), &profile)?;
    assert!(!err.contains("error"), "{err}");
    Ok(())
}

fn the_cpu_has_nothing_to_tune() -> Outcome {
    let output = striate(Path::new("off"), &["tune", "lenet", "--input", "1x28x28", "--device", "cpu"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: --device: the CPU executor has one kernel"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.add_gpu("what_was_tuned_is_kept_and_used", what_was_tuned_is_kept_and_used);
    suite.add_gpu("damaged_pipelines_are_replaced", damaged_pipelines_are_replaced);
    suite.add("the_cpu_has_nothing_to_tune", the_cpu_has_nothing_to_tune);
    suite.run()
}
