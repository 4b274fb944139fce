//! Flags shared by several commands.

use super::choices::Choices;
use super::device::DeviceName;
use super::json;
use serde::Serialize;
use std::path::PathBuf;
use striate::data::Source;
use striate::models::{self, Model};
use striate::nn::{Optimizer, SgdConfig};
use striate::train::Recipe;
use striate::{Device, Error, Result};

/// The device, and the planner's choices for it.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct DeviceFlags {
    #[command(flatten)]
    #[serde(flatten)]
    name: DeviceName,
    #[command(flatten)]
    #[serde(flatten)]
    pub choices: Choices,
}

impl DeviceFlags {
    /// Opens the device with the choices of the flags.
    pub fn open(&self) -> Result<Device> {
        self.choices.device(self.open_default()?)
    }

    /// Like [`open`](Self::open), for the n-th process of this machine.
    pub fn open_nth(&self, n: usize) -> Result<Device> {
        self.choices.device(self.name.nth(n).open()?)
    }

    /// Opens the device with the planner's own choices.
    pub fn open_default(&self) -> Result<Device> {
        let device = self.name.open()?;
        self.name.hint_at_cpu(&device);
        Ok(device)
    }
}

/// A network by name, with its input and classes.
#[derive(clap::Args)]
pub struct ModelFlags {
    /// Network: lenet, alexnet, googlenet, resnet18, resnet50, resnet20, resnet20-a, plain20, ...
    pub model: String,
    /// Input size, such as 3x32x32 [default: the size it was designed for, in color]
    #[arg(long, value_name = "CHANNELSxHEIGHTxWIDTH", help_heading = "Network")]
    pub input: Option<String>,
    /// Number of classes [default: 1000, or 10 for networks for small images]
    #[arg(long, help_heading = "Network")]
    pub classes: Option<usize>,
}

/// Up to this input size, a network is for data sets such as CIFAR-10, with 10 classes.
const SMALL: usize = 64;

impl ModelFlags {
    /// The network, and the shape of its input for `batch` images.
    pub fn open(&self, batch: usize) -> Result<(Box<dyn Model>, [usize; 4])> {
        // The input size does not depend on channels and classes.
        let [height, width] = models::by_name(&self.model, 3, 10)?.input_size();
        let classes = self.classes.unwrap_or(if height.max(width) > SMALL { 1000 } else { 10 });
        let default = || format!("3x{height}x{width}");
        let input = input_shape(batch, &self.input.clone().unwrap_or_else(default))?;
        Ok((models::by_name(&self.model, input[1], classes)?, input))
    }
}

/// Parses CHANNELSxHEIGHTxWIDTH; returns `[batch, channels, height, width]`.
pub fn input_shape(batch: usize, text: &str) -> Result<[usize; 4]> {
    let sizes: Option<Vec<usize>> = text.split('x').map(|size| size.parse().ok()).collect();
    let sizes = sizes.and_then(|sizes| <[usize; 3]>::try_from(sizes).ok());
    let [channels, height, width] = sizes.ok_or_else(|| {
        let expected = "expected CHANNELSxHEIGHTxWIDTH, such as 3x32x32";
        Error::argument("--input", format!("{expected}, found {text:?}"))
    })?;
    let shape = [batch, channels, height, width];
    element_count("--input", &shape)?;
    Ok(shape)
}

/// The number of elements of a tensor, unless there are more than an index can address. `argument` is blamed.
pub fn element_count(argument: &str, shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    count.filter(|count| *count <= u32::MAX as usize).ok_or_else(|| {
        let problem = format!("{shape:?} has more than {} elements; use a smaller batch or size", u32::MAX);
        Error::argument(argument, problem)
    })
}

/// The data set.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Data")]
pub struct DataFlags {
    /// fashion-mnist, mnist, cifar10, cifar100 or folder (a folder of images per class)
    #[arg(long, default_value = "fashion-mnist", help_heading = "Data")]
    pub dataset: String,
    /// Folder of the data set's files [default for fashion-mnist: the built-in subset]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    #[serde(serialize_with = "json::optional_path")]
    pub data: Option<PathBuf>,
    /// HEIGHTxWIDTH to which images of a folder are cropped and scaled
    #[arg(long, value_parser = parse_size, value_name = "HxW", help_heading = "Data")]
    pub image_size: Option<[usize; 2]>,
    /// Hold this fraction of the training images out for validation: it decides on the best epoch, and the test images are used
    /// only once, at the end. Folders with images for both have no need of it
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<f64>,
    /// Skip and list images of a folder that cannot be read, instead of failing
    #[arg(long, help_heading = "Data")]
    skip_broken: bool,
    /// Ignore the EXIF orientation of images in a folder; stored with the weights
    #[arg(long, help_heading = "Data")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_exif_rotation: bool,
}

impl DataFlags {
    /// The data set to open.
    pub fn source(&self) -> Source {
        Source {
            name: self.dataset.clone(),
            dir: self.data.clone(),
            image_size: self.image_size,
            skip_broken: self.skip_broken,
            exif_rotation: !self.no_exif_rotation,
            preprocessing: None,
            validation: self.validation,
            original_bytes: 0,
        }
    }
}

/// Parses HEIGHTxWIDTH.
pub fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let size = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    size.ok_or_else(|| format!("expected HEIGHTxWIDTH, such as 64x64, found {text}"))
}

/// Parses an `f32`. Unlike `FromStr`, it rejects numbers that would overflow to infinity or underflow to 0.
pub fn number(text: &str) -> Result<f32, String> {
    let given: f64 = text.parse().map_err(|_| format!("expected a number, found {text}"))?;
    let number = given as f32;
    if number.is_infinite() && given.is_finite() {
        return Err(format!("must be from {:e} to {:e}", f32::MIN, f32::MAX));
    }
    if number == 0.0 && given != 0.0 {
        return Err(format!("must be 0 or at least {:e}, the smallest 32-bit number", f32::from_bits(1)));
    }
    Ok(text.parse().unwrap_or(number))
}

/// Renames the setting in an error to the flag of command `A` that sets it.
pub fn as_flag<A: clap::Args>(error: Error) -> Error {
    let Error::Argument { name, problem } = error else { return error };
    let flag = if name == "dir" { "data".to_owned() } else { name.replace('_', "-") };
    let flags = A::augment_args(clap::Command::new("striate"));
    let known = flags.get_arguments().any(|a| a.get_long() == Some(&flag));
    Error::Argument { name: if known { format!("--{flag}") } else { name }, problem }
}

/// Parses the number of lanes in a subgroup.
pub fn lanes(text: &str) -> Result<u32, String> {
    let lanes = text.parse().ok().filter(|n: &u32| n.is_power_of_two() && (4..=64).contains(n));
    lanes.ok_or_else(|| "expected 4, 8, 16, 32 or 64".to_owned())
}

/// The recipe of the training steps that are planned and timed: SGD with momentum.
pub fn recipe() -> Recipe {
    let optimizer = Optimizer::Sgd(SgdConfig::HE_2015);
    Recipe { optimizer, ..Default::default() }
}
