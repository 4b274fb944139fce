//! `striate scaling`.

use std::path::Path;
use std::process::Command;

/// Runs `striate scaling` on a LeNet and the CPU; returns whether it succeeded and what it printed.
fn scaling(dir: &Path, flags: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    command.args(["scaling", "lenet", "--batch", "2", "--steps", "1", "--device", "cpu"]);
    let output = command.args(flags.split_whitespace()).current_dir(dir).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn the_time_of_a_step_grows_with_the_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    // A step of a second, and 0.7 MiB through a network of 1 MB/s.
    let (success, text) =
        scaling(dir.path(), "--json --step-ms 1000 --bandwidth 0.001 --latency 1000 --out plot.svg");
    assert!(success, "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let network = &json["networks"][0];
    let bytes = network["bytes"].as_f64().unwrap();
    let of = |ranks: u64, key: &str| {
        let steps = network["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["ranks"] == ranks).unwrap();
        step[key].as_f64().unwrap()
    };
    assert!((of(1, "seconds") - 1.0).abs() < 1e-9 && of(1, "exchange_seconds") == 0.0, "{text}");
    // Two phases of half of the bytes, and two copies.
    let exchanged = of(2, "exchange_seconds");
    let expected = bytes / 1e6 + 2.0 * bytes / 12e9;
    assert!(exchanged > expected && exchanged < expected + 0.05, "{exchanged}, not {expected}");
    assert!(of(4096, "seconds") > of(2, "seconds") && of(2, "seconds") <= 1.0 + exchanged, "{text}");
    let plot = std::fs::read_to_string(dir.path().join("plot.svg")).unwrap();
    assert!(plot.contains("efficiency") && plot.contains("lenet"));
}

#[test]
fn wrong_numbers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (flags, message) in [
        ("--step-ms 1,2", "--step-ms: expected 1 numbers, one for each network, found 2"),
        ("--bandwidth 0", "expected a positive number, found 0"),
        ("resnet9", "resnet9"),
    ] {
        let (success, text) = scaling(dir.path(), flags);
        assert!(!success && text.contains(message), "{flags}: {text}");
    }
}
