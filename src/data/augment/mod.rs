//! Random augmentation of training images, as in torchvision with Pillow.
//!
//! [`Augment`] has the settings. What happens to an image is drawn from them and a [`DrawKey`] as plain data, a [`Drawn`].

mod color;
mod drawn;
mod image_op;
mod names;
mod placement;
mod trivial;

pub use drawn::{Drawn, Region};
pub use image_op::ImageOp;
pub use placement::Placement;

use super::Dataset;
use crate::rng::{AUGMENT, SplitMix64};
use crate::{Error, Result};

/// Attempts to find a region that fits the image, as in torchvision.
const ATTEMPTS: usize = 10;

// The last key of a generator; each transform has its own, so that one does not change what another draws.
const RESIZED_CROP: u64 = 1;
const ROTATION: u64 = 2;
const COLOR_JITTER: u64 = 3;
const TRIVIAL: u64 = 4;
const ERASING: u64 = 5;

/// Identifies a random decision of the loader: equal keys give equal decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawKey {
    /// Seed of the run.
    pub seed: u64,
    /// Index of the epoch.
    pub epoch: u64,
    /// Index of the image in the data set, or of the batch in the epoch.
    pub index: u64,
}

impl DrawKey {
    /// The generator for one purpose, such as [`AUGMENT`].
    pub(super) fn rng(self, purpose: u64) -> SplitMix64 {
        SplitMix64::keyed(self.seed, &[purpose, self.epoch, self.index])
    }

    /// The generator for one transform.
    fn transform(self, transform: u64) -> SplitMix64 {
        SplitMix64::keyed(self.seed, &[AUGMENT, self.epoch, self.index, transform])
    }
}

/// Augmentation settings, applied in the order of the fields; `crop_padding: 4, flip: true` is usual for CIFAR.
///
/// Names, ranges and formulas are those of torchvision with Pillow. Geometric and color operations work on bytes, and fill
/// with black. After normalization follow the padded crop, the flip and erasing, which fill with 0, the data set's mean color.
///
/// ```
/// use striate::data::{Augment, ColorJitter};
/// let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
/// let augment = Augment { crop_padding: 4, flip: true, color_jitter: Some(jitter), ..Default::default() };
/// // The same by name, as for `striate train --augment`. The default padding is 1/8 of the image.
/// assert_eq!(Augment::named("crop,flip,color-jitter", [32, 32])?, augment);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Augment {
    /// Scale a random part to the size of the image, `RandomResizedCrop`. Takes the part from the
    /// [original](super::Dataset::original), if the data set has it.
    pub resized_crop: Option<ResizedCrop>,
    /// Rotate around the center by up to this many degrees either way, to the nearest pixel, `RandomRotation`. 0 disables it.
    pub rotation: f64,
    /// Change brightness, contrast, saturation and hue, `ColorJitter`.
    pub color_jitter: Option<ColorJitter>,
    /// One random operation of random strength, `TrivialAugmentWide`.
    pub trivial_augment: bool,
    /// Pad each side by this many pixels, then crop the original size at a random position, `RandomCrop`.
    pub crop_padding: usize,
    /// Flip images horizontally with probability 1/2, `RandomHorizontalFlip`.
    pub flip: bool,
    /// Erase a random rectangle, `RandomErasing`.
    pub erasing: Option<Erasing>,
}

/// Settings of a random resized crop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResizedCrop {
    /// Smallest and largest fraction of the image's area; 0.08 to 1 by default.
    pub scale: [f64; 2],
    /// Smallest and largest ratio of width to height; 3/4 to 4/3 by default.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// Strengths of color jitter. Factors are uniform in `1 - x` to `1 + x`, but at least 0; the order is random.
///
/// Saturation and hue do not change grayscale images.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ColorJitter {
    /// Brightness; 0 disables it, as for the others.
    pub brightness: f64,
    /// Contrast.
    pub contrast: f64,
    /// Saturation.
    pub saturation: f64,
    /// Hue is shifted by at most this fraction of the color circle either way; up to 0.5.
    pub hue: f64,
}

/// Settings of random erasing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Erasing {
    /// Probability that an image is erased at all; 0.5 by default.
    pub probability: f64,
    /// Smallest and largest fraction of the image's area; 0.02 to 0.33 by default.
    pub scale: [f64; 2],
    /// Smallest and largest ratio of height to width; 0.3 to 3.3 by default.
    pub ratio: [f64; 2],
}

impl Default for Erasing {
    fn default() -> Self {
        Self { probability: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3] }
    }
}

impl Augment {
    /// Draws what happens to an image of `shape` `[channels, height, width]` whose original has `size` `[height, width]`; it
    /// depends on nothing but the arguments.
    ///
    /// ```
    /// use striate::data::{Augment, DrawKey, ResizedCrop};
    /// let augment = Augment { resized_crop: Some(ResizedCrop::default()), flip: true, ..Default::default() };
    /// let drawn = augment.draw(DrawKey { seed: 0, epoch: 3, index: 17 }, [3, 32, 32], [300, 400]);
    /// assert!(drawn.crop.is_some_and(|crop| crop.top + crop.height <= 300));
    /// ```
    ///
    /// # Panics
    ///
    /// As for [`place`](Self::place).
    pub fn draw(self, image: DrawKey, shape: [usize; 3], size: [usize; 2]) -> Drawn {
        let [_, height, width] = shape;
        let crop = self.resized_crop.map(|crop| crop.draw(&mut image.transform(RESIZED_CROP), size));
        let mut operations = Vec::new();
        if self.rotation != 0.0 {
            let angle = uniform(&mut image.transform(ROTATION), [-self.rotation, self.rotation]);
            operations.push(ImageOp::Rotate(angle));
        }
        if let Some(jitter) = self.color_jitter {
            operations.extend(jitter.draw(&mut image.transform(COLOR_JITTER)));
        }
        if self.trivial_augment {
            operations.push(trivial::draw(&mut image.transform(TRIVIAL)));
        }
        let erased =
            self.erasing.and_then(|erasing| erasing.draw(&mut image.transform(ERASING), [height, width]));
        Drawn { crop, operations, placement: self.place(image), erased }
    }

    /// Writes image `key.index` of a data set, augmented and normalized, to `output`. Indices from the number of images on wrap
    /// around: they are further augmentations of the same images. For `tables` see [`Placement::write`].
    ///
    /// # Panics
    ///
    /// If lengths do not match.
    pub fn write(self, dataset: &Dataset, key: DrawKey, tables: &[[f32; 256]], output: &mut [f32]) {
        let (index, shape) = ((key.index % dataset.len() as u64) as usize, dataset.shape());
        let (image, size) = match self.resized_crop {
            Some(_) => dataset.original(index),
            None => (dataset.image(index), [shape[1], shape[2]]),
        };
        self.draw(key, shape, size).write(image, size, shape, tables, output);
    }

    /// Draws the placement of an image; it depends on nothing but the arguments.
    ///
    /// ```
    /// use striate::data::{Augment, DrawKey};
    /// let key = DrawKey { seed: 0, epoch: 3, index: 17 };
    /// let placement = Augment { crop_padding: 4, flip: true, ..Default::default() }.place(key);
    /// assert!((-4..=4).contains(&placement.down) && (-4..=4).contains(&placement.right));
    /// ```
    ///
    /// # Panics
    ///
    /// If `crop_padding` is 2^31 or more.
    pub fn place(self, image: DrawKey) -> Placement {
        assert!(self.crop_padding < 1 << 31, "a crop padding of {} is out of range", self.crop_padding);
        let mut rng = image.rng(AUGMENT);
        let padding = self.crop_padding as isize;
        let mut offset = || padding - rng.below(2 * self.crop_padding as u32 + 1) as isize;
        let (down, right) = (offset(), offset());
        Placement { down, right, flip: self.flip && rng.below(2) == 1 }
    }

    /// Checks the settings for images of a shape `[channels, height, width]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a setting is out of range, the crop could miss the image, or images that are neither grayscale
    /// nor RGB would have their colors changed.
    pub fn check(self, [channels, height, width]: [usize; 3]) -> Result<()> {
        self.check_ranges().map_err(|problem| Error::argument("augment", problem))?;
        let smaller_side = height.min(width);
        if self.crop_padding >= smaller_side {
            let problem = format!(
                "a crop padding of {} could shift an image of {height} x {width} out of the crop; use less than {smaller_side}",
                self.crop_padding
            );
            return Err(Error::argument("augment", problem));
        }
        let colors = self.color_jitter.map(|_| "color-jitter");
        match colors.or(self.trivial_augment.then_some("trivial-augment")) {
            Some(name) if ![1, 3].contains(&channels) => {
                let problem =
                    format!("{name} needs images of 1 channel (grayscale) or 3 (RGB), not {channels}");
                Err(Error::argument("augment", problem))
            }
            _ => Ok(()),
        }
    }

    /// Checks what does not depend on the images.
    fn check_ranges(self) -> Result<(), String> {
        let within = |name: &str, value: f64, most: f64| match (0.0..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} must be between 0 and {most}, got {value}")),
        };
        let ordered =
            |name: &str, [low, high]: [f64; 2], most: f64| match low > 0.0 && low <= high && high <= most {
                true => Ok(()),
                false => Err(format!("{name} must rise from above 0 to at most {most}, got {low}..{high}")),
            };
        within("rotation", self.rotation, 180.0)?;
        if let Some(ResizedCrop { scale, ratio }) = self.resized_crop {
            ordered("the scale of resized-crop", scale, 1.0)?;
            ordered("the ratio of resized-crop", ratio, MAX_RATIO)?;
        }
        if let Some(jitter) = self.color_jitter {
            within("the brightness of color-jitter", jitter.brightness, MAX_JITTER)?;
            within("the contrast of color-jitter", jitter.contrast, MAX_JITTER)?;
            within("the saturation of color-jitter", jitter.saturation, MAX_JITTER)?;
            within("the hue of color-jitter", jitter.hue, 0.5)?;
        }
        if let Some(erasing) = self.erasing {
            within("the probability of erasing", erasing.probability, 1.0)?;
            ordered("the scale of erasing", erasing.scale, 1.0)?;
            ordered("the ratio of erasing", erasing.ratio, MAX_RATIO)?;
        }
        Ok(())
    }
}

/// Bounds that keep the arithmetic finite; useful values are far below.
const MAX_RATIO: f64 = 1000.0;
const MAX_JITTER: f64 = 100.0;

impl ResizedCrop {
    fn draw(self, rng: &mut SplitMix64, [height, width]: [usize; 2]) -> Region {
        for _ in 0..ATTEMPTS {
            let [tall, wide] = sides(rng, [height, width], self.scale, self.ratio.map(|ratio| 1.0 / ratio));
            if (1..=height).contains(&tall) && (1..=width).contains(&wide) {
                return Region::at_random(rng, [tall, wide], [height, width]);
            }
        }
        let ratio = width as f64 / height as f64;
        let side = |length: f64| (length.round_ties_even() as usize).max(1);
        let [tall, wide] = match self.ratio {
            [least, _] if ratio < least => [side(width as f64 / least), width],
            [_, most] if ratio > most => [height, side(height as f64 * most)],
            _ => [height, width],
        };
        Region { top: (height - tall) / 2, left: (width - wide) / 2, height: tall, width: wide }
    }
}

impl Erasing {
    fn draw(self, rng: &mut SplitMix64, [height, width]: [usize; 2]) -> Option<Region> {
        if rng.unit() >= self.probability {
            return None;
        }
        let mut attempts = (0..ATTEMPTS).map(|_| sides(rng, [height, width], self.scale, self.ratio));
        let [tall, wide] = attempts.find(|[tall, wide]| *tall < height && *wide < width)?;
        Some(Region::at_random(rng, [tall, wide], [height, width]))
    }
}

impl ColorJitter {
    /// The operations in random order.
    fn draw(self, rng: &mut SplitMix64) -> Vec<ImageOp> {
        let order = rng.permutation(4);
        let mut factor = |strength: f64| uniform(rng, [(1.0 - strength).max(0.0), 1.0 + strength]);
        let all = [
            (self.brightness, ImageOp::Brightness(factor(self.brightness))),
            (self.contrast, ImageOp::Contrast(factor(self.contrast))),
            (self.saturation, ImageOp::Saturation(factor(self.saturation))),
            (self.hue, ImageOp::Hue(uniform(rng, [-self.hue, self.hue]))),
        ];
        let ordered = order.iter().map(|&index| all[index as usize]);
        ordered.filter(|(strength, _)| *strength > 0.0).map(|(_, operation)| operation).collect()
    }
}

/// Height and width of a region whose area is a random fraction of the image's, with a random ratio of height to width, uniform on
/// a logarithmic scale.
fn sides(rng: &mut SplitMix64, [height, width]: [usize; 2], scale: [f64; 2], ratio: [f64; 2]) -> [usize; 2] {
    let area = (height * width) as f64 * uniform(rng, scale);
    let ratio = uniform(rng, ratio.map(f64::ln)).exp();
    [area * ratio, area / ratio].map(|square| square.sqrt().round_ties_even() as usize)
}

fn uniform(rng: &mut SplitMix64, [from, to]: [f64; 2]) -> f64 {
    from + (to - from) * rng.unit()
}
