//! Rules for dependencies that need no tool; `deny.toml` has the others.

use std::collections::BTreeMap;
use std::path::Path;

fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).ok()
}

#[test]
fn dependencies_come_from_crates_io() {
    let lock = read("Cargo.lock").unwrap();
    for package in lock.split("[[package]]").skip(1) {
        let ours = package.contains("\nname = \"striate\"\n");
        let published =
            package.contains("\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n");
        assert!(ours || published, "not from crates.io: {package}");
    }
}

/// The required versions of dependencies.
fn requirements(dependencies: &str) -> BTreeMap<&str, &str> {
    let lines = dependencies.lines().filter_map(|line| line.split_once(" = "));
    lines
        .filter_map(|(name, value)| {
            let version = value.trim_start_matches("{ version = ").strip_prefix('"')?;
            Some((name, version.split('"').next()?))
        })
        .collect()
}

#[test]
fn fuzz_targets_require_the_same_versions() {
    // Published packages do not contain them.
    let Some(fuzz) = read("fuzz/Cargo.toml") else { return };
    let (_, rest) = fuzz.split_once("\n[dependencies]\n").unwrap();
    let (dependencies, _) = rest.split_once("\n[").unwrap();
    let manifest = read("Cargo.toml").unwrap();
    let ours = requirements(&manifest);
    for (name, version) in requirements(dependencies) {
        assert!(name == "libfuzzer-sys" || ours.get(name) == Some(&version), "{name} {version}");
    }
}
