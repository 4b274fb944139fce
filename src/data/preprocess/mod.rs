//! Preprocessing: from an image file to a network's input.

mod json;

use std::fmt;
use std::path::Path;

use image::RgbImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cifar::{CIFAR10_NORMALIZATION, CIFAR100_NORMALIZATION};
use super::image_file::{self, check_size};
use super::resample::Interpolation;
use super::{Normalization, mnist};
use crate::file::read_up_to;
use crate::{Error, Result};

/// How an image becomes a network's input. Weights that striate writes have it as JSON in their metadata.
///
/// ```
/// use striate::data::{Interpolation, Preprocessing};
/// let imagenet = Preprocessing::named("imagenet")?;
/// assert_eq!((imagenet.size, imagenet.resize), ([224, 224], Some(256)));
/// let timm = Preprocessing::named("timm:resnet50.a1_in1k")?;
/// assert_eq!((timm.resize, timm.interpolation), (Some(235), Interpolation::Bicubic));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// `[height, width]` of the input, in pixels.
    pub size: [usize; 2],
    /// Length to which the shorter side is scaled before a centered crop; `None` to crop the largest part with the right
    /// aspect ratio and scale it, as in [`read_image`](super::read_image).
    pub resize: Option<usize>,
    /// Filter for scaling.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Normalization of each channel: three for RGB, one for grayscale.
    pub normalization: Normalization,
    /// Apply the EXIF orientation, which torchvision and timm ignore.
    #[serde(default = "upright")]
    pub exif_rotation: bool,
}

fn upright() -> bool {
    true
}

/// Means and standard deviations of three channels.
type Statistics = ([f32; 3], [f32; 3]);

/// Statistics of ImageNet, as used by torchvision.
const IMAGENET: Statistics = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Largest configuration file accepted; real ones take a few kilobytes.
const MAX_JSON_BYTES: u64 = 1 << 20;

/// Prefix for the names of timm's weights.
const TIMM: &str = "timm:";

impl Preprocessing {
    /// The names for [`named`](Self::named), besides timm's.
    pub const NAMES: [&str; 8] = [
        "imagenet",
        "googlenet",
        "bvlc",
        "cifar10",
        "cifar10-imagenet",
        "cifar100",
        "mnist",
        "fashion-mnist",
    ];

    /// Crops and scales as [`read_image`](super::read_image), and normalizes.
    pub fn new(size: [usize; 2], normalization: Normalization) -> Self {
        let interpolation = Interpolation::Bilinear;
        Self { size, resize: None, interpolation, normalization, exif_rotation: true }
    }

    /// The preprocessing of published weights.
    ///
    /// | name | images | for |
    /// | --- | --- | --- |
    /// | `imagenet` | shorter side 256, center 224 x 224, RGB, ImageNet's statistics | torchvision |
    /// | `googlenet` | the same, then [`transform_input`](Self::transform_input) | torchvision's pretrained GoogLeNet |
    /// | `bvlc` | the same, but bytes minus 123, 117, 104 | networks from Caffe, in RGB order |
    /// | `cifar10`, `cifar100` | 32 x 32, RGB, the data set's statistics | `striate train` |
    /// | `cifar10-imagenet` | 32 x 32, RGB, ImageNet's statistics | many published CIFAR ResNets |
    /// | `mnist`, `fashion-mnist` | 28 x 28, grayscale, the data set's statistics | `striate train` |
    /// | `timm:resnet50.a1_in1k` | timm's configuration of these weights | timm's ResNets with any tag |
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for an unknown name.
    pub fn named(name: &str) -> Result<Self> {
        let rgb = |(mean, std): Statistics| Normalization { mean: mean.into(), std: std.into() };
        let large = |statistics| Self { resize: Some(256), ..Self::new([224, 224], rgb(statistics)) };
        let small = |side, normalization| Self::new([side, side], normalization);
        Ok(match name {
            "imagenet" => large(IMAGENET),
            "googlenet" => large(IMAGENET).transform_input()?,
            "bvlc" => large(([123.0, 117.0, 104.0].map(|mean| mean / 255.0), [1.0 / 255.0; 3])),
            "cifar10" => small(32, rgb(CIFAR10_NORMALIZATION)),
            "cifar10-imagenet" => small(32, rgb(IMAGENET)),
            "cifar100" => small(32, rgb(CIFAR100_NORMALIZATION)),
            "mnist" => small(28, mnist::MNIST.normalization()),
            "fashion-mnist" => small(28, mnist::FASHION_MNIST.normalization()),
            _ => {
                let problem = match name.strip_prefix(TIMM).map(json::timm) {
                    Some(Ok(known)) => return Ok(known),
                    Some(Err(problem)) => problem,
                    None => format!(
                        "{name:?} is not one of {}, {TIMM} and the name of timm's weights, or a JSON file with timm's or torchvision's fields",
                        Self::NAMES.join(", ")
                    ),
                };
                return Err(Error::argument("preprocess", problem));
            }
        })
    }

    /// Parses JSON with the fields of timm (`input_size`, `crop_pct`, `interpolation`, `mean`, `std`; also its
    /// `config.json`), of torchvision (`crop_size`, `resize_size`, `interpolation`, `mean`, `std`), or striate's own. The
    /// first two may have `transform_input`.
    ///
    /// ```
    /// use striate::data::Preprocessing;
    /// let v2 = r#"{"crop_size": [224], "resize_size": [232], "interpolation": "bilinear",
    ///     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#;
    /// assert_eq!(Preprocessing::from_json(v2).unwrap().resize, Some(232));
    /// ```
    ///
    /// # Errors
    ///
    /// A description of what is wrong, to follow the file's name.
    pub fn from_json(text: &str) -> std::result::Result<Self, String> {
        let read = json::parse(text)?;
        read.check().map_err(|error| error.to_string())?;
        Ok(read)
    }

    /// Reads a file as [`from_json`](Self::from_json).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read; [`Error::Data`] if it is not a preprocessing.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = read_up_to(path, MAX_JSON_BYTES)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| Error::data(path, "is not a JSON preprocessing configuration"))?;
        Self::from_json(&text).map_err(|problem| Error::data(path, problem))
    }

    /// Folds in torchvision's `transform_input=True`, which its pretrained GoogLeNet uses: it renormalizes from ImageNet's
    /// statistics to means and deviations of 0.5.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there are not three channels.
    pub fn transform_input(mut self) -> Result<Self> {
        if self.channels() != 3 {
            let problem = format!("needs images of 3 channels, not {}", self.channels());
            return Err(Error::argument("transform_input", problem));
        }
        let Normalization { mean, std } = &mut self.normalization;
        for (channel, (mean, std)) in mean.iter_mut().zip(std).enumerate() {
            let [own_mean, own_std] = [*mean, *std].map(f64::from);
            let [old_mean, old_std] = [IMAGENET.0[channel], IMAGENET.1[channel]].map(f64::from);
            // ((x - own_mean) / own_std * old_std + old_mean - 0.5) / 0.5 as a single (x - mean) / std.
            *mean = (own_mean - own_std * (old_mean - 0.5) / old_std) as f32;
            *std = (own_std * 0.5 / old_std) as f32;
        }
        Ok(self)
    }

    /// Sets [`resize`](Self::resize) so that the crop is this fraction of the shorter side, as timm's `crop_pct`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is not above 0 and at most 1, or the size is not square.
    pub fn crop_pct(mut self, crop_pct: f64) -> Result<Self> {
        let [height, width] = self.size;
        if height != width {
            let problem =
                format!("needs a square size, not {height} x {width}; set the resized side instead");
            return Err(Error::argument("crop_pct", problem));
        }
        if !(crop_pct > 0.0 && crop_pct <= 1.0) {
            return Err(Error::argument(
                "crop_pct",
                format!("must be above 0 and at most 1, got {crop_pct}"),
            ));
        }
        self.resize = Some((height as f64 / crop_pct).floor() as usize);
        Ok(self)
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.normalization.mean.len()
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is 0 or too large, the resized side is smaller than the crop, or the normalization is
    /// not for one or three channels.
    pub fn check(&self) -> Result<()> {
        check_size(self.size)?;
        if let Some(resize) = self.resize {
            check_size([resize, resize])?;
            if resize < self.size[0].max(self.size[1]) {
                let [height, width] = self.size;
                let problem = format!("{resize} is smaller than the crop of {height} x {width} pixels");
                return Err(Error::argument("resize", problem));
            }
        }
        match self.channels() {
            1 | 3 => self.normalization.check(self.channels()),
            channels => {
                let problem = format!("expected means of 1 channel (grayscale) or 3 (RGB), found {channels}");
                Err(Error::argument("mean", problem))
            }
        }
    }

    /// Reads an image as a network's input, CHW.
    ///
    /// # Errors
    ///
    /// As for [`read_image`](super::read_image) and [`check`](Self::check).
    pub fn read(&self, path: &Path) -> Result<Vec<f32>> {
        self.check()?;
        let image = self.scaled(&image_file::decode(path, self.exif_rotation)?);
        let tables = self.normalization.tables();
        if let [table] = tables.as_slice() {
            return Ok(image_file::gray(&image).map(|byte| table[usize::from(byte)]).collect());
        }
        let planes = tables.iter().enumerate();
        Ok(planes.flat_map(|(c, table)| image.pixels().map(move |p| table[usize::from(p.0[c])])).collect())
    }

    /// Scales and crops an image; the settings must have passed [`check`](Self::check).
    pub(super) fn scaled(&self, image: &RgbImage) -> RgbImage {
        match self.resize {
            None => image_file::cover(image, self.size, self.interpolation),
            Some(shorter) => image_file::center_crop(image, shorter, self.size, self.interpolation),
        }
    }

    /// Reads images in parallel.
    pub fn read_all(&self, paths: &[impl AsRef<Path> + Sync]) -> Vec<Result<Vec<f32>>> {
        paths.par_iter().map(|path| self.read(path.as_ref())).collect()
    }
}

/// The steps, in order.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.size;
        let Normalization { mean, std } = &self.normalization;
        if !self.exif_rotation {
            write!(f, "no EXIF rotation, ")?;
        }
        match self.resize {
            Some(shorter) => {
                write!(f, "shorter side {shorter}, {}, center {height}x{width}", self.interpolation)?
            }
            None => write!(f, "center {height}x{width}, {}", self.interpolation)?,
        }
        write!(f, ", mean {mean:?}, std {std:?}")
    }
}
