//! JSON of values it cannot represent directly: `f32` numbers, paths, and arguments that are not Unicode.

use serde::{Serialize, Serializer};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Serializes a value with its `f32` numbers as they print, 0.1, instead of as `f64`, 0.10000000149011612.
pub fn value(value: &impl Serialize) -> Value {
    let text = serde_json::to_string(value).expect("keys are text");
    serde_json::from_str(&text).expect("it was just written")
}

/// Serializes a path for people: bytes that are not Unicode are replaced.
pub fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Serializes an optional path as [`path`].
pub fn optional_path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

/// Serializes an argument without loss: one that is not Unicode keeps the system's representation.
pub fn argument(argument: &OsStr) -> Value {
    match argument.to_str() {
        Some(text) => text.into(),
        None => value(&argument),
    }
}

/// The inverse of [`argument`].
pub fn to_argument(value: &Value) -> Option<OsString> {
    match value {
        Value::String(text) => Some(text.into()),
        other => serde_json::from_value(other.clone()).ok(),
    }
}
