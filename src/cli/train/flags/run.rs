//! Flags for the folder of a run.

use crate::cli::json;
use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// The folder of the run, and its checkpoints.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Output")]
pub struct RunFlags {
    /// Folder for the results [default: a new one under runs/]
    #[arg(short, long, value_name = "DIR")]
    #[serde(serialize_with = "json::optional_path")]
    pub out: Option<PathBuf>,
    /// Replace an earlier run in --out
    #[arg(long)]
    pub force: bool,
    /// After the last epoch, write the page of `striate report`, and name the classes that are confused most often
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub report: bool,
    /// Resume the run in this folder from its last checkpoint, with its original flags. On the same device, its weights
    /// become bit-identical to those of an uninterrupted run. Flags that affect the results cannot change, except for a
    /// larger --epochs and a smaller --lr
    #[arg(long, value_name = "DIR")]
    #[serde(serialize_with = "json::optional_path")]
    pub resume: Option<PathBuf>,
    /// Steps between two checkpoints; there is also one after each epoch
    #[arg(long, default_value_t = 500, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub checkpoint_every: u32,
    /// Checkpoints to keep
    #[arg(long, default_value_t = 2, value_name = "CHECKPOINTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,
    /// Steps per line of steps.csv
    #[arg(long, default_value_t = 50, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub log_every: u32,
    /// Write event files for TensorBoard to the folder of the run, or to a subfolder of DIR
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[serde(serialize_with = "folder", skip_serializing_if = "Option::is_none")]
    pub tensorboard: Option<Option<PathBuf>>,
    /// Show curves, numbers, filters and predictions on the whole terminal while training; `?` there lists the keys. The results
    /// are the same
    #[arg(long)]
    #[serde(skip)]
    pub tui: bool,
}

/// Serializes `--tensorboard` as `true`, and `--tensorboard=DIR` as the folder.
fn folder<S: Serializer>(flag: &Option<Option<PathBuf>>, serializer: S) -> Result<S::Ok, S::Error> {
    match flag.as_ref().and_then(Option::as_deref) {
        Some(dir) => json::path(dir, serializer),
        None => serializer.serialize_bool(flag.is_some()),
    }
}
