//! Weight files: all formats, damaged files, and matching against a model.

#[path = "../common/archive.rs"]
mod archive;
mod bad;
mod fit;
mod formats;
mod legacy;
mod names;
#[path = "../common/network.rs"]
mod network;
mod small;

use std::path::{Path, PathBuf};

/// A file written by PyTorch, or one it has loaded.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/weights").join(name)
}

/// Asserts that `result` is a one-line error that contains all of `words`.
#[track_caller]
fn assert_fails<T>(result: striate::Result<T>, words: &[&str]) {
    let message = result.err().expect("this should fail").to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{message:?} does not contain {word:?}");
    }
}
