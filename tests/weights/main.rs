//! Weights on disk: both formats, good and bad files, and how they fit a model.

#[path = "../common/archive.rs"]
mod archive;
mod bad;
mod fit;
mod formats;
mod legacy;
mod names;
mod small;

use std::path::{Path, PathBuf};

/// A file that PyTorch wrote, or is to read.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/weights").join(name)
}

/// Asserts that `result` is an error of one line that has all of `words`.
#[track_caller]
fn assert_fails<T>(result: striate::Result<T>, words: &[&str]) {
    let message = result.err().expect("this must fail").to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}
