//! Flags that several commands have.

use super::choices::Choices;
use super::json;
use serde::Serialize;
use std::path::PathBuf;
use striate::data::{self, Split};
use striate::{Device, Error, Result};

/// What computes, and with which kernels.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct DeviceFlags {
    /// auto, gpu, cpu, an adapter's number or a part of its name; see `striate devices`
    #[arg(long, global = true, default_value = "auto")]
    device: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub choices: Choices,
}

impl DeviceFlags {
    /// The device with the chosen kernels.
    pub fn open(&self) -> Result<Device> {
        self.choices.device(self.free()?)
    }

    /// The device with the kernels that the planner chooses.
    pub fn free(&self) -> Result<Device> {
        Device::select(&self.device)
    }
}

/// The data set.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct DataFlags {
    /// fashion-mnist, mnist, cifar10, cifar100 or folder (a folder of pictures per class)
    #[arg(long, default_value = "fashion-mnist")]
    pub dataset: String,
    /// Folder of the data set's files; without it, fashion-mnist is a built-in part of it
    #[arg(long, value_name = "DIR")]
    #[serde(serialize_with = "json::optional_path")]
    pub data: Option<PathBuf>,
    /// HEIGHTxWIDTH that pictures of a folder are brought to
    #[arg(long, value_parser = parse_size, value_name = "HxW")]
    image_size: Option<[usize; 2]>,
}

impl DataFlags {
    /// The data set, with pictures of a folder brought to `size` unless a flag says otherwise.
    pub fn open(&self, size: Option<[usize; 2]>) -> Result<Split> {
        let folder = size.filter(|_| self.dataset == "folder");
        data::open(&self.dataset, self.data.as_deref(), self.image_size.or(folder))
    }
}

/// HEIGHTxWIDTH, from a flag.
pub fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let size = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    size.ok_or_else(|| format!("expected HEIGHTxWIDTH, such as 64x64, found {text}"))
}

/// The same error with the library's name of a setting as the flag of a command that sets it.
pub fn as_flag<A: clap::Args>(error: Error) -> Error {
    let Error::Argument { name, problem } = error else { return error };
    let flag = if name == "dir" { "data".to_owned() } else { name.replace('_', "-") };
    let flags = A::augment_args(clap::Command::new("striate"));
    let known = flags.get_arguments().any(|a| a.get_long() == Some(&flag));
    Error::Argument { name: if known { format!("--{flag}") } else { name }, problem }
}
