//! Checks the properties of the fuzz targets on the inputs in `fuzz/corpus`, so that neither they nor the fixes of earlier
//! findings break unnoticed. `docs/fuzzing.md` describes the targets.

#[allow(dead_code, reason = "only the fuzz targets select a property by its name")]
mod properties;
mod seeds;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Largest corpus of a target, in bytes.
const MAX_CORPUS_BYTES: usize = 64 << 10;

/// The target whose property needs the program.
const OF_THE_PROGRAM: &str = "run_folder";

/// The package of the fuzz targets, which published packages do not contain.
fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Files in a folder, with their content; none if it does not exist.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn corpus(target: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    files(&fuzz().join("corpus").join(target))
}

/// Run with `--ignored` after a change of a format.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write_seeds() {
    for (target, name, content) in seeds::all() {
        let folder = fuzz().join("corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), content).unwrap();
    }
}

#[test]
fn properties_hold_for_the_corpora() {
    for (name, property) in properties::PROPERTIES {
        for (path, input) in corpus(name) {
            eprintln!("{}", path.display());
            property(&input);
        }
    }
}

#[test]
#[cfg(feature = "cli")]
fn run_folders_are_refused_without_a_panic() {
    for (path, input) in corpus(OF_THE_PROGRAM) {
        let dir = tempfile::tempdir().unwrap();
        let mut parts = input.splitn(3, |byte| *byte == 0);
        for name in ["config.json", "metrics.csv", "steps.csv"] {
            fs::write(dir.path().join(name), parts.next().unwrap_or_default()).unwrap();
        }
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_striate"));
        let output = program.arg("report").arg(dir.path()).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{}: {message}", path.display());
    }
}

#[test]
fn every_property_has_a_target_and_a_small_corpus() {
    let Ok(manifest) = fs::read_to_string(fuzz().join("Cargo.toml")) else { return };
    let names = properties::PROPERTIES.iter().map(|(name, _)| *name);
    for name in names.clone().chain([OF_THE_PROGRAM]) {
        let target = fs::read_to_string(fuzz().join("fuzz_targets").join(name).with_extension("rs")).unwrap();
        assert!(target.contains(&format!("check({name:?}, bytes)")) || name == OF_THE_PROGRAM, "{name}");
        assert!(manifest.contains(&format!("name = {name:?}\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
        let bytes: usize = corpus(name).values().map(Vec::len).sum();
        assert!((1..=MAX_CORPUS_BYTES).contains(&bytes), "{name}: its corpus has {bytes} bytes");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), names.count() + 1);
}
