//! `--resume`: a run goes on with the flags it was begun with.

use super::args::Args;
use super::run_dir::CONFIG;
use crate::cli::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use serde_json::Value;
use std::path::Path;
use striate::{Error, Result};

/// The flags of this call, for the folder of the run that remembers them.
pub fn given() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// The flags that the run in a folder was begun with, overruled by those of this call. What must not be overruled is
/// found when its checkpoint is read.
pub fn restored(run: &Path) -> Result<Args> {
    // The first of this call's is the command itself.
    flags_of(run, given().into_iter().skip_while(|argument| argument != "train").skip(1))
}

/// The flags that the run in a folder was begun with.
pub fn begun(run: &Path) -> Result<Args> {
    flags_of(run, std::iter::empty())
}

/// What the run in a folder says of itself.
pub fn config(run: &Path) -> Result<Value> {
    let path = run.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        Error::data(run, format!("is not the folder of a run ({CONFIG}: {e}); give one that --out named"))
    })?;
    serde_json::from_str(&text).map_err(|_| broken(run))
}

fn broken(run: &Path) -> Error {
    Error::data(run.join(CONFIG), "does not say how the run was begun; begin anew")
}

fn flags_of(run: &Path, more: impl Iterator<Item = String>) -> Result<Args> {
    let config = config(run)?;
    let begun = config["arguments"].as_array().ok_or_else(|| broken(run))?.iter();
    let begun = begun.map(|argument| argument.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>();
    let arguments = begun.ok_or_else(|| broken(run))?.into_iter().chain(more);
    let command = Cli::command().args_override_self(true);
    let matches = command.try_get_matches_from(std::iter::once("striate".to_owned()).chain(arguments));
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|e| {
        Error::data(run.join(CONFIG), format!("cannot be combined with these flags: {}", e.kind()))
    })?;
    match cli.command {
        Command::Train(args) => Ok(*args),
        _ => Err(broken(run)),
    }
}
