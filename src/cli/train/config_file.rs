//! `--config`: flags from a file.

use super::args::Args;
use crate::cli::json;
use crate::cli::network::CONFIG;
use crate::cli::text::nearest;
use clap::{Arg, ArgAction, Args as _};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use striate::{Error, Result, read_file};

/// Largest file accepted.
const MAX_BYTES: u64 = 1 << 24;

/// Settings in a run's `config.json` that say where it is, not how to train.
const OF_THE_RUN: [&str; 4] = ["out", "force", "resume", "tensorboard"];
/// Flags that make no sense in a file.
const NOT_IN_FILES: [&str; 5] = ["config", "distributed", "rank-timeout", "ranks", "resume"];

/// The flags in a TOML file, or in the `config.json` of a run, except for those that are given.
///
/// # Errors
///
/// [`Error::Data`] if the file is neither, or has a name that is no flag.
pub fn flags(file: &Path, is_given: &dyn Fn(&str) -> bool) -> Result<Vec<OsString>> {
    let command = Args::augment_args(clap::Command::new("train"));
    let known: Vec<&Arg> = command.get_arguments().filter(|argument| argument.get_long().is_some()).collect();
    let names = || known.iter().filter_map(|argument| argument.get_long());
    let (mut words, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, value) in read(file)? {
        let flag = name.replace('_', "-");
        let wrong = |problem: String| Err(Error::data(file, format!("{name:?} {problem}")));
        let argument = known.iter().find(|argument| argument.get_long() == Some(&flag));
        let Some(argument) = argument.filter(|_| !NOT_IN_FILES.contains(&flag.as_str())) else {
            return wrong(match (&value, NOT_IN_FILES.contains(&flag.as_str())) {
                (Value::Object(_), _) => "is a table; write all flags at the top level".to_owned(),
                (_, true) => "belongs on the command line".to_owned(),
                _ => format!("is not a flag of striate train; did you mean {}?", nearest(&flag, names())),
            });
        };
        if !seen.insert(flag.clone()) {
            return wrong(format!("is there twice, with dashes and with underscores; keep --{flag} once"));
        }
        if is_given(argument.get_id().as_str()) {
            continue;
        }
        match self::words(argument, &flag, &value) {
            Some(flags) => words.extend(flags),
            None => return wrong(format!("has a value that --{flag} does not take: {value}")),
        }
    }
    Ok(words)
}

/// Names and values in the file.
fn read(file: &Path) -> Result<Map<String, Value>> {
    let run = file.join(CONFIG);
    let file = if file.is_dir() { &run } else { file };
    let bytes = read_file(file, MAX_BYTES)?;
    let wrong =
        |problem: String| Error::data(file, format!("{problem}; expected TOML, or config.json of a run"));
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text".to_owned()))?;
    if !text.trim_start().starts_with('{') {
        let table: Map<String, Value> =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        // TOML has no null: this is how NaN and infinity arrive.
        return match table.iter().find(|(_, value)| value.is_null()) {
            Some((name, _)) => Err(Error::data(file, format!("{name:?} must be finite"))),
            None => Ok(table),
        };
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

/// A flag as on a command line; `None` if it does not take such a value.
fn words(argument: &Arg, flag: &str, value: &Value) -> Option<Vec<OsString>> {
    let with = |value: OsString| {
        let mut word = OsString::from(format!("--{flag}="));
        word.push(value);
        word
    };
    // `--tensorboard` takes a value only after `=`.
    let is_switch = !argument.get_action().takes_values() || argument.is_require_equals_set();
    Some(match value {
        Value::Null | Value::Bool(false) => Vec::new(),
        Value::Bool(true) if is_switch => vec![format!("--{flag}").into()],
        Value::Array(values) => {
            let all: Vec<OsString> = values.iter().map(single).collect::<Option<_>>()?;
            match argument.get_action() {
                ArgAction::Append if argument.get_value_delimiter().is_none() => {
                    all.into_iter().map(with).collect()
                }
                // `config.json` has HxW as a list.
                _ => vec![with(all.join(OsStr::new(if flag == "image-size" { "x" } else { "," })))],
            }
        }
        value => vec![with(single(value)?)],
    })
}

/// A number or text.
fn single(value: &Value) -> Option<OsString> {
    match value {
        Value::Number(number) => Some(number.to_string().into()),
        Value::String(text) => Some(text.into()),
        // A path that is not Unicode.
        Value::Object(_) => json::to_argument(value),
        _ => None,
    }
}
