//! Runs `striate` as a program.

#![allow(dead_code, reason = "no test program uses everything")]

pub use serde_json::Value;
use std::process::{Command, Output};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_striate");

/// `striate`, without logging and without the user's cache folder.
pub fn striate(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env("STRIATE_CACHE", "off").env_remove("RUST_LOG");
    command
}

/// `striate` where no Vulkan driver can be found.
pub fn without_gpu(args: &[&str]) -> Command {
    let mut command = striate(args);
    // The old and the new name of the setting.
    command.env("VK_ICD_FILENAMES", "/dev/null").env("VK_DRIVER_FILES", "/dev/null");
    command
}

#[track_caller]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is text")
}

/// Arguments of a command, for messages.
pub fn arguments(command: &Command) -> String {
    format!("{:?}", command.get_args().collect::<Vec<_>>())
}

/// Runs a command that must succeed without a word on standard error, and returns standard output.
#[track_caller]
pub fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new()),
        "{}",
        arguments(command)
    );
    text(&output.stdout)
}

/// Like [`printed`], for commands that print JSON.
#[track_caller]
pub fn json(command: &mut Command) -> Value {
    let printed = printed(command);
    serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{}: {e}: {printed}", arguments(command)))
}

/// Runs a command that must fail with exit code 1 and one line on standard error that contains all of `words`.
#[track_caller]
pub fn assert_refused(command: &mut Command, words: &[&str]) -> Output {
    let (case, output) = (arguments(command), command.output().expect("the program starts"));
    assert_error(&output, &case, words);
    output
}

/// Asserts exit code 1 and one line on standard error that contains all of `words`.
#[track_caller]
pub fn assert_error(output: &Output, case: &str, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{case}: {message}");
    assert!(message.starts_with("error: ") && message.ends_with('\n'), "{case}: {message:?}");
    assert_eq!(message.lines().count(), 1, "{case}: {message}");
    for word in ["panicked", "RUST_BACKTRACE", "unwrap", "\u{1b}"] {
        assert!(!message.contains(word), "{case}: {message}");
    }
    for word in words {
        assert!(message.contains(word), "{case}: {message:?} does not say {word:?}");
    }
}

/// Asserts that each of a command's argument lists is refused with the expected text, before anything is printed.
#[track_caller]
pub fn assert_all_refused(cases: &[(&[&str], &str)]) {
    for (args, expected) in cases {
        let output = assert_refused(&mut striate(args), &[expected]);
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

/// Runs commands that must fail with exit code 2, as for wrong usage.
#[track_caller]
pub fn assert_usage_errors(cases: &[&[&str]]) {
    for args in cases {
        assert_eq!(striate(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}
