//! What JSON has no way to say.

use serde::{Serialize, Serializer};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A value in which numbers of 32 bits stand as they are written, 0.1, and not as 64 bits say it, 0.10000000149011612.
pub fn value(value: &impl Serialize) -> Value {
    let text = serde_json::to_string(value).expect("keys are text");
    serde_json::from_str(&text).expect("it was just written")
}

/// A path to be read by people: what is no text in it is replaced.
pub fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The same for one that may be missing.
pub fn optional_path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

/// An argument to be read again: one that is no text is kept in the form of its system.
pub fn argument(argument: &OsStr) -> Value {
    match argument.to_str() {
        Some(text) => text.into(),
        None => value(&argument),
    }
}

/// What [`argument`] has made of one.
pub fn to_argument(value: &Value) -> Option<OsString> {
    match value {
        Value::String(text) => Some(text.into()),
        other => serde_json::from_value(other.clone()).ok(),
    }
}
