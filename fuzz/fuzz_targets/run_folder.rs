//! The files of a run folder: `config.json`, `metrics.csv` and `steps.csv`, separated by zero bytes.
#![no_main]

#[path = "../../src/cli/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only one command is run")]
mod cli;

use clap::Parser;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let mut files = bytes.splitn(3, |byte| *byte == 0);
    for name in ["config.json", "metrics.csv", "steps.csv"] {
        let content = files.next().unwrap_or_default();
        std::fs::write(dir.path().join(name), content).expect("the folder is writable");
    }
    // The folder has no weights, so this always fails, but only after it has read all of them.
    let run = dir.path().to_str().expect("the folder for temporary files is named in Unicode");
    let command = cli::Cli::try_parse_from(["striate", "report", run]).expect("a valid command");
    assert!(cli::run(command).is_err());
});
