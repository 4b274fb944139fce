//! Flags that several commands have.

use super::choices::Choices;
use super::json;
use serde::Serialize;
use std::path::PathBuf;
use striate::data::Source;
use striate::models::{self, Model};
use striate::nn::{Optimizer, SgdConfig};
use striate::train::Recipe;
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

/// A network by its name, and what it is made for.
#[derive(clap::Args)]
pub struct ModelFlags {
    /// Network: lenet, alexnet, googlenet, resnet18, resnet50, resnet20, resnet20-a, plain20, ...
    model: String,
    /// Images it takes, such as 3x32x32 [default: the size it was made for, in colour]
    #[arg(long, value_name = "CHANNELSxHEIGHTxWIDTH")]
    input: Option<String>,
    /// Classes to tell apart [default: 1000, or 10 where it was made for small images]
    #[arg(long)]
    classes: Option<usize>,
}

/// Networks for images no larger than this are made for data sets such as CIFAR-10.
const SMALL: usize = 64;

impl ModelFlags {
    /// The network, and the shape of so many images for it.
    pub fn open(&self, batch: usize) -> Result<(Box<dyn Model>, [usize; 4])> {
        // Channels and classes change nothing about its size.
        let [height, width] = models::by_name(&self.model, 3, 10)?.input_size();
        let classes = self.classes.unwrap_or(if height.max(width) > SMALL { 1000 } else { 10 });
        let made_for = || format!("3x{height}x{width}");
        let input = input_shape(batch, &self.input.clone().unwrap_or_else(made_for))?;
        Ok((models::by_name(&self.model, input[1], classes)?, input))
    }
}

/// Batch, channels, height and width, from CHANNELSxHEIGHTxWIDTH.
pub fn input_shape(batch: usize, text: &str) -> Result<[usize; 4]> {
    let sizes: Option<Vec<usize>> = text.split('x').map(|size| size.parse().ok()).collect();
    let sizes = sizes.and_then(|sizes| <[usize; 3]>::try_from(sizes).ok());
    let [channels, height, width] = sizes.ok_or_else(|| {
        let expected = "expected CHANNELSxHEIGHTxWIDTH, such as 3x32x32";
        Error::argument("--input", format!("{expected}, found {text:?}"))
    })?;
    let shape = [batch, channels, height, width];
    let len = shape.iter().try_fold(1, |len: usize, size| len.checked_mul(*size));
    if len.is_none_or(|len| len > u32::MAX as usize) {
        let problem = format!(
            "{batch} images of {text} are more than the {} numbers a tensor holds; use a smaller batch or smaller images",
            u32::MAX
        );
        return Err(Error::argument("--input", problem));
    }
    Ok(shape)
}

/// The data set.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct DataFlags {
    /// fashion-mnist, mnist, cifar10, cifar100 or folder (a folder of images per class)
    #[arg(long, default_value = "fashion-mnist")]
    pub dataset: String,
    /// Folder of the data set's files; without it, fashion-mnist is a built-in part of it
    #[arg(long, value_name = "DIR")]
    #[serde(serialize_with = "json::optional_path")]
    pub data: Option<PathBuf>,
    /// HEIGHTxWIDTH that images of a folder are brought to
    #[arg(long, value_parser = parse_size, value_name = "HxW")]
    image_size: Option<[usize; 2]>,
    /// Leave out images of a folder that cannot be read, and name them
    #[arg(long)]
    skip_broken: bool,
    /// Leave images of a folder as they lie in their files, whatever their EXIF data say of rotation; the weights remember it
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_exif_rotation: bool,
}

impl DataFlags {
    /// Where the data set comes from.
    pub fn source(&self) -> Source {
        let (name, dir) = (self.dataset.clone(), self.data.clone());
        Source {
            name,
            dir,
            image_size: self.image_size,
            skip_broken: self.skip_broken,
            exif_rotation: !self.no_exif_rotation,
            preprocessing: None,
        }
    }
}

/// HEIGHTxWIDTH, from a flag.
pub fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let size = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    size.ok_or_else(|| format!("expected HEIGHTxWIDTH, such as 64x64, found {text}"))
}

/// A number of 32 bits, from a flag. What it would be taken for, infinity or zero, is not what was given.
pub fn number(text: &str) -> Result<f32, String> {
    let given: f64 = text.parse().map_err(|_| format!("expected a number, found {text}"))?;
    let number = given as f32;
    if number.is_infinite() && given.is_finite() {
        return Err(format!("must be from {:e} to {:e}", f32::MIN, f32::MAX));
    }
    if number == 0.0 && given != 0.0 {
        return Err(format!("must be 0 or at least {:e}, the smallest number of 32 bits", f32::from_bits(1)));
    }
    Ok(text.parse().unwrap_or(number))
}

/// The same error with the library's name of a setting as the flag of a command that sets it.
pub fn as_flag<A: clap::Args>(error: Error) -> Error {
    let Error::Argument { name, problem } = error else { return error };
    let flag = if name == "dir" { "data".to_owned() } else { name.replace('_', "-") };
    let flags = A::augment_args(clap::Command::new("striate"));
    let known = flags.get_arguments().any(|a| a.get_long() == Some(&flag));
    Error::Argument { name: if known { format!("--{flag}") } else { name }, problem }
}

/// Lanes of a subgroup, from a flag.
pub fn lanes(text: &str) -> Result<u32, String> {
    let lanes = text.parse().ok().filter(|n: &u32| n.is_power_of_two() && (4..=64).contains(n));
    lanes.ok_or_else(|| "expected 4, 8, 16, 32 or 64".to_owned())
}

/// A step with SGD.
pub fn recipe() -> Recipe {
    let optimizer = Optimizer::Sgd(SgdConfig::HE_2015);
    Recipe { optimizer, ..Default::default() }
}
