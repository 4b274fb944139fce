//! From a picture in a file to the numbers that a network wants.

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cifar::{CIFAR10_NORMALIZATION, CIFAR100_NORMALIZATION};
use super::picture::{self, check_size};
use super::{Normalization, mnist};
use crate::{Error, Result};

/// How a picture becomes a network's input. As JSON it lies in the metadata of weights that striate writes.
///
/// ```
/// use striate::data::Preprocessing;
/// let imagenet = Preprocessing::named("imagenet")?;
/// assert_eq!((imagenet.size, imagenet.resize), ([224, 224], Some(256)));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// The `[height, width]` that the network takes, in pixels.
    pub size: [usize; 2],
    /// What the shorter side is scaled to before the centre is cropped; `None` for the largest centred part
    /// of the picture, scaled, as in [`read_picture`](super::read_picture).
    pub resize: Option<usize>,
    /// The figures that normalise each channel: three for RGB, one for grey.
    pub normalization: Normalization,
}

/// The figures of ImageNet as torchvision has them.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

impl Preprocessing {
    /// The names that [`named`](Self::named) knows.
    pub const NAMES: [&str; 7] =
        ["imagenet", "bvlc", "cifar10", "cifar10-imagenet", "cifar100", "mnist", "fashion-mnist"];

    /// The preprocessing that published weights want.
    ///
    /// | name | pictures | for |
    /// | --- | --- | --- |
    /// | `imagenet` | shorter side 256, centre 224 x 224, RGB, ImageNet's figures | torchvision, timm |
    /// | `bvlc` | the same, but bytes minus 123, 117, 104 | networks from Caffe, in RGB order |
    /// | `cifar10`, `cifar100` | 32 x 32, RGB, the data set's figures | `striate train` |
    /// | `cifar10-imagenet` | 32 x 32, RGB, ImageNet's figures | many published CIFAR ResNets |
    /// | `mnist`, `fashion-mnist` | 28 x 28, grey, the data set's figures | `striate train` |
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there is none of this name.
    pub fn named(name: &str) -> Result<Self> {
        let rgb = |(mean, std): ([f32; 3], [f32; 3])| Normalization { mean: mean.into(), std: std.into() };
        let large = |figures| Self { size: [224, 224], resize: Some(256), normalization: rgb(figures) };
        let small = |side, normalization| Self { size: [side, side], resize: None, normalization };
        Ok(match name {
            "imagenet" => large(IMAGENET),
            "bvlc" => large(([123.0, 117.0, 104.0].map(|mean| mean / 255.0), [1.0 / 255.0; 3])),
            "cifar10" => small(32, rgb(CIFAR10_NORMALIZATION)),
            "cifar10-imagenet" => small(32, rgb(IMAGENET)),
            "cifar100" => small(32, rgb(CIFAR100_NORMALIZATION)),
            "mnist" => small(28, mnist::MNIST.normalization()),
            "fashion-mnist" => small(28, mnist::FASHION_MNIST.normalization()),
            _ => {
                let problem = format!("{name:?} is not one of {}", Self::NAMES.join(", "));
                return Err(Error::argument("preprocess", problem));
            }
        })
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

    /// Reads a picture as a network wants it: CHW.
    ///
    /// # Errors
    ///
    /// As [`read_picture`](super::read_picture) and [`check`](Self::check).
    pub fn read(&self, path: &Path) -> Result<Vec<f32>> {
        self.check()?;
        let (decoded, [height, width]) = (picture::decode(path)?, self.size.map(|side| side as u32));
        let image = match self.resize {
            None => picture::cover(&decoded, height, width),
            Some(shorter) => picture::centre(&decoded, shorter as u32, height, width),
        };
        let tables = self.normalization.tables();
        if let [table] = tables.as_slice() {
            return Ok(picture::grey(&image).map(|byte| table[usize::from(byte)]).collect());
        }
        let planes = tables.iter().enumerate();
        Ok(planes.flat_map(|(c, table)| image.pixels().map(move |p| table[usize::from(p.0[c])])).collect())
    }

    /// Reads pictures on all cores.
    pub fn read_all(&self, paths: &[impl AsRef<Path> + Sync]) -> Vec<Result<Vec<f32>>> {
        paths.par_iter().map(|path| self.read(path.as_ref())).collect()
    }
}
