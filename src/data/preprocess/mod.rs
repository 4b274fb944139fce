//! From an image in a file to the numbers that a network wants.

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

/// How an image becomes a network's input. As JSON it lies in the metadata of weights that striate writes.
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
    /// The `[height, width]` that the network takes, in pixels.
    pub size: [usize; 2],
    /// What the shorter side is scaled to before the centre is cropped; `None` for the largest centred part
    /// of the image, scaled, as in [`read_image`](super::read_image).
    pub resize: Option<usize>,
    /// How images are scaled.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// The figures that normalise each channel: three for RGB, one for grey.
    pub normalization: Normalization,
    /// Whether images are turned as their EXIF data say, which torchvision and timm leave undone.
    #[serde(default = "upright")]
    pub exif_rotation: bool,
}

fn upright() -> bool {
    true
}

/// Means and deviations of three channels.
type Figures = ([f32; 3], [f32; 3]);

/// The figures of ImageNet as torchvision has them.
const IMAGENET: Figures = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Configurations of networks take some kilobytes.
const MAX_JSON_BYTES: u64 = 1 << 20;

/// What is before the name of weights of timm's.
const TIMM: &str = "timm:";

impl Preprocessing {
    /// The names that [`named`](Self::named) knows, beside timm's.
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

    /// Images brought to a size as by [`read_image`](super::read_image), with these figures.
    pub fn new(size: [usize; 2], normalization: Normalization) -> Self {
        let interpolation = Interpolation::Bilinear;
        Self { size, resize: None, interpolation, normalization, exif_rotation: true }
    }

    /// The preprocessing that published weights want.
    ///
    /// | name | images | for |
    /// | --- | --- | --- |
    /// | `imagenet` | shorter side 256, centre 224 x 224, RGB, ImageNet's figures | torchvision |
    /// | `googlenet` | the same, then [`transform_input`](Self::transform_input) | torchvision's trained GoogLeNet |
    /// | `bvlc` | the same, but bytes minus 123, 117, 104 | networks from Caffe, in RGB order |
    /// | `cifar10`, `cifar100` | 32 x 32, RGB, the data set's figures | `striate train` |
    /// | `cifar10-imagenet` | 32 x 32, RGB, ImageNet's figures | many published CIFAR ResNets |
    /// | `mnist`, `fashion-mnist` | 28 x 28, grey, the data set's figures | `striate train` |
    /// | `timm:resnet50.a1_in1k` | what timm says of these weights | timm's ResNets of all tags |
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there is none of this name.
    pub fn named(name: &str) -> Result<Self> {
        let rgb = |(mean, std): Figures| Normalization { mean: mean.into(), std: std.into() };
        let large = |figures| Self { resize: Some(256), ..Self::new([224, 224], rgb(figures)) };
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
                        "{name:?} is not one of {}, {TIMM} with the name of timm's weights, or a JSON file of timm's or torchvision's fields",
                        Self::NAMES.join(", ")
                    ),
                };
                return Err(Error::argument("preprocess", problem));
            }
        })
    }

    /// Reads the fields of timm (`input_size`, `crop_pct`, `interpolation`, `mean`, `std`; also its `config.json`), of
    /// torchvision (`crop_size`, `resize_size`, `interpolation`, `mean`, `std`), or striate's own. Either may have
    /// `transform_input`.
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
    /// What is wrong with it, as a sentence about the file.
    pub fn from_json(text: &str) -> std::result::Result<Self, String> {
        let read = json::parse(text)?;
        read.check().map_err(|error| error.to_string())?;
        Ok(read)
    }

    /// The same from a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read; [`Error::Data`] if it is not that.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = read_up_to(path, MAX_JSON_BYTES)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| Error::data(path, "is not a JSON file of a preprocessing"))?;
        Self::from_json(&text).map_err(|problem| Error::data(path, problem))
    }

    /// The same with what torchvision's networks do to their input if they are made with `transform_input=True`, as
    /// GoogLeNet is where its trained weights are loaded: from ImageNet's figures to means and deviations of 0.5.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there are not three channels.
    pub fn transform_input(mut self) -> Result<Self> {
        if self.channels() != 3 {
            let problem = format!("is for images of 3 channels, not {}", self.channels());
            return Err(Error::argument("transform_input", problem));
        }
        let Normalization { mean, std } = &mut self.normalization;
        for (channel, (mean, std)) in mean.iter_mut().zip(std).enumerate() {
            let [own_mean, own_std] = [*mean, *std].map(f64::from);
            let [old_mean, old_std] = [IMAGENET.0[channel], IMAGENET.1[channel]].map(f64::from);
            // ((x - own_mean) / own_std * old_std + old_mean - 0.5) / 0.5, with the fractions brought together.
            *mean = (own_mean - own_std * (old_mean - 0.5) / old_std) as f32;
            *std = (own_std * 0.5 / old_std) as f32;
        }
        Ok(self)
    }

    /// The same with the shorter side scaled so that the crop is this share of it: timm's `crop_pct`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is not above 0 and at most 1, or the size is not square.
    pub fn crop_pct(mut self, share: f64) -> Result<Self> {
        let [height, width] = self.size;
        if height != width {
            let problem =
                format!("is for square sizes, and {height} x {width} is none; give the resized side");
            return Err(Error::argument("crop_pct", problem));
        }
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::argument(
                "crop_pct",
                format!("must be above 0 and at most 1, and is {share}"),
            ));
        }
        self.resize = Some((height as f64 / share).floor() as usize);
        Ok(self)
    }

    /// Channels of the result.
    pub fn channels(&self) -> usize {
        self.normalization.mean.len()
    }

    /// Whether these settings can be used.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is 0 or too large, the shorter side is less than what is cropped, or the
    /// figures are not those of one or three channels.
    pub fn check(&self) -> Result<()> {
        check_size(self.size)?;
        if let Some(resize) = self.resize {
            check_size([resize, resize])?;
            if resize < self.size[0].max(self.size[1]) {
                let [height, width] = self.size;
                let problem =
                    format!("{resize} is less than the {height} x {width} pixels that are cropped from it");
                return Err(Error::argument("resize", problem));
            }
        }
        match self.channels() {
            1 | 3 => self.normalization.check(self.channels()),
            channels => {
                let problem = format!("expected means of 1 channel (grey) or 3 (RGB), found {channels}");
                Err(Error::argument("mean", problem))
            }
        }
    }

    /// Reads an image as a network wants it: CHW.
    ///
    /// # Errors
    ///
    /// As [`read_image`](super::read_image) and [`check`](Self::check).
    pub fn read(&self, path: &Path) -> Result<Vec<f32>> {
        self.check()?;
        let image = self.image(path)?;
        let tables = self.normalization.tables();
        if let [table] = tables.as_slice() {
            return Ok(image_file::grey(&image).map(|byte| table[usize::from(byte)]).collect());
        }
        let planes = tables.iter().enumerate();
        Ok(planes.flat_map(|(c, table)| image.pixels().map(move |p| table[usize::from(p.0[c])])).collect())
    }

    /// The image of a file before it is normalised; the settings must be [checked](Self::check).
    pub(super) fn image(&self, path: &Path) -> Result<RgbImage> {
        let decoded = image_file::decode(path, self.exif_rotation)?;
        let [height, width] = self.size.map(|side| side as u32);
        Ok(match self.resize {
            None => image_file::cover(&decoded, height, width, self.interpolation),
            Some(shorter) => image_file::centre(&decoded, shorter as u32, height, width, self.interpolation),
        })
    }

    /// Reads images on all cores.
    pub fn read_all(&self, paths: &[impl AsRef<Path> + Sync]) -> Vec<Result<Vec<f32>>> {
        paths.par_iter().map(|path| self.read(path.as_ref())).collect()
    }
}

/// What is done, in the order in which it is done.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.size;
        let Normalization { mean, std } = &self.normalization;
        if !self.exif_rotation {
            write!(f, "not turned, ")?;
        }
        match self.resize {
            Some(shorter) => {
                write!(f, "shorter side {shorter}, {}, centre {height}x{width}", self.interpolation)?
            }
            None => write!(f, "centre {height}x{width}, {}", self.interpolation)?,
        }
        write!(f, ", mean {mean:?}, deviation {std:?}")
    }
}
