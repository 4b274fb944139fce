//! `--config`: flags from a file.

use super::args::Args;
use crate::cli::json;
use crate::cli::text::nearest;
use clap::Args as _;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::Path;
use striate::{Error, Result, read_file};

/// Largest file accepted.
const MAX_BYTES: u64 = 1 << 24;

/// Settings in a run's `config.json` that say where it is, not how to train.
const OF_THE_RUN: [&str; 4] = ["out", "force", "resume", "show-augment"];

/// The flags in a TOML file, or in the `config.json` of a run, except for those that are given.
///
/// # Errors
///
/// [`Error::Data`] if the file is neither, or has a name that is no flag.
pub fn flags(file: &Path, is_given: &dyn Fn(&str) -> bool) -> Result<Vec<OsString>> {
    let known = Args::augment_args(clap::Command::new("train"));
    let known: Vec<&str> = known.get_arguments().filter_map(|argument| argument.get_long()).collect();
    let mut words = Vec::new();
    for (name, value) in read(file)? {
        let flag = name.replace('_', "-");
        if !known.contains(&flag.as_str()) || flag == "config" {
            let alike = nearest(&flag, known.iter().copied());
            let problem = format!("{name:?} is not a flag of striate train; did you mean {alike}?");
            return Err(Error::data(file, problem));
        }
        if !is_given(&flag.replace('-', "_")) {
            let wrong = || Error::data(file, format!("{name} has a value that no flag takes: {value}"));
            words.extend(self::words(&flag, &value).ok_or_else(wrong)?);
        }
    }
    Ok(words)
}

/// Names and values in the file.
fn read(file: &Path) -> Result<Map<String, Value>> {
    let bytes = read_file(file, MAX_BYTES)?;
    let wrong =
        |problem: String| Error::data(file, format!("{problem}; expected TOML, or config.json of a run"));
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text".to_owned()))?;
    if !text.trim_start().starts_with('{') {
        return toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()));
    }
    let mut config: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Some(mut settings) = config["settings"].as_object().cloned() else {
        return Err(wrong("has no settings".to_owned()));
    };
    settings.retain(|name, _| !OF_THE_RUN.contains(&name.replace('_', "-").as_str()));
    if !config["data_folder"].is_null() {
        // `data` may be relative to the folder in which the run started.
        settings.insert("data".to_owned(), config["data_folder"].take());
    }
    Ok(settings)
}

/// A flag as on a command line; `None` if no flag has such a value.
fn words(flag: &str, value: &Value) -> Option<Vec<OsString>> {
    let name = format!("--{flag}");
    let with = |value: OsString| {
        let mut word = OsString::from(format!("{name}="));
        word.push(value);
        word
    };
    Some(match value {
        Value::Null | Value::Bool(false) => Vec::new(),
        Value::Bool(true) => vec![name.into()],
        Value::Number(number) => vec![with(number.to_string().into())],
        // `config.json` has HxW as a list.
        Value::Array(sizes) if flag == "image-size" => {
            let sizes: Vec<String> = sizes.iter().map(Value::to_string).collect();
            vec![with(sizes.join("x").into())]
        }
        Value::Array(values) => {
            let all: Option<Vec<_>> = values.iter().map(|value| words(flag, value)).collect();
            all?.concat()
        }
        other => vec![with(json::to_argument(other)?)],
    })
}
