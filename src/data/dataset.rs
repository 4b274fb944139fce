//! Images in memory, and their normalization.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Labeled images in memory, as bytes.
#[derive(Debug, Clone)]
pub struct Dataset {
    name: String,
    images: Vec<u8>,
    shape: [usize; 3],
    labels: Vec<u32>,
    classes: Vec<String>,
    /// One per image, or none at all.
    originals: Vec<Original>,
}

/// An image before it was cropped and scaled to the size of the data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Original {
    /// `[height, width]` in pixels.
    pub size: [usize; 2],
    /// The bytes, CHW, with the channels of the data set.
    pub bytes: Vec<u8>,
}

impl Dataset {
    /// A data set of `labels.len()` images of `shape` = `[channels, height, width]`.
    ///
    /// `images` holds the pixels, NCHW, from 0 for black to 255 for white; `labels[i]` is the class of image `i`, an index
    /// into `classes`.
    ///
    /// ```
    /// use striate::data::Dataset;
    /// let classes = vec!["cat".to_owned(), "dog".to_owned()];
    /// let pets = Dataset::new("pets", [1, 2, 2], vec![0; 12], vec![0, 1, 1], classes)?;
    /// assert_eq!((pets.len(), pets.image(2).len()), (3, 4));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there are no images, a size is 0, the number of bytes does not match, or a label is out of
    /// range.
    pub fn new(
        name: impl Into<String>,
        shape: [usize; 3],
        images: Vec<u8>,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Result<Self> {
        let name = name.into();
        let wrong = |problem: String| Err(Error::argument(format!("data set {name}"), problem));
        let [channels, height, width] = shape;
        let count = labels.len();
        if count == 0 {
            return wrong("has no images; at least one is needed".to_owned());
        }
        if u32::try_from(count).is_err() {
            return wrong(format!("{count} images exceed the limit of {}", u32::MAX));
        }
        let bytes = [channels, height, width].iter().try_fold(count, |product, &n| product.checked_mul(n));
        if shape.contains(&0) || bytes != Some(images.len()) {
            return wrong(format!(
                "expected {count} images, one per label, of {channels} x {height} x {width} bytes, found {} bytes",
                images.len()
            ));
        }
        if let Some(index) = labels.iter().position(|&label| label as usize >= classes.len()) {
            let (label, classes) = (labels[index], classes.len());
            return wrong(format!("image {index} has label {label}, but there are only {classes} classes"));
        }
        Ok(Self { name, images, shape, labels, classes, originals: Vec::new() })
    }

    /// Adds the originals of all images, for [`Augment::resized_crop`](super::Augment::resized_crop).
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there is not one per image, or their bytes do not match their sizes.
    pub fn with_originals(mut self, originals: Vec<Original>) -> Result<Self> {
        let channels = self.shape[0];
        let fits = |original: &Original| {
            let [height, width] = original.size;
            height > 0 && width > 0 && original.bytes.len() == channels * height * width
        };
        if originals.len() != self.len() || !originals.iter().all(fits) {
            let problem = format!(
                "expected {} originals, one per image, of {channels} x height x width bytes each, found {}",
                self.len(),
                originals.len()
            );
            return Err(Error::argument(format!("data set {}", self.name), problem));
        }
        self.originals = originals;
        Ok(self)
    }

    /// The original of an image, and its `[height, width]`. If the data set has no originals, this is the image.
    ///
    /// # Panics
    ///
    /// If `index` is not less than [`len`](Self::len).
    pub fn original(&self, index: usize) -> (&[u8], [usize; 2]) {
        match self.originals.get(index) {
            Some(original) => (&original.bytes, original.size),
            None => (self.image(index), [self.shape[1], self.shape[2]]),
        }
    }

    /// The name, for messages and reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of images, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a data set is never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// `[channels, height, width]` of an image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The bytes of one image, CHW.
    ///
    /// # Panics
    ///
    /// If `index` is not less than [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.image_len();
        &self.images[index * size..][..size]
    }

    /// The bytes of all images, NCHW.
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// CRC-32 of all images, originals and labels.
    pub fn fingerprint(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.images);
        sum.update(bytemuck::cast_slice(&self.labels));
        self.originals.iter().for_each(|original| sum.update(&original.bytes));
        sum.finalize()
    }

    /// The class of each image, an index into [`classes`](Self::classes).
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Number of values per image: channels x height x width.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// A data set of some of the images, with their originals if there are any.
    pub(super) fn select(&self, indices: &[usize]) -> Self {
        let originals = match self.originals.is_empty() {
            true => Vec::new(),
            false => indices.iter().map(|index| self.originals[*index].clone()).collect(),
        };
        Self {
            name: self.name.clone(),
            images: indices.iter().flat_map(|index| self.image(*index)).copied().collect(),
            shape: self.shape,
            labels: indices.iter().map(|index| self.labels[*index]).collect(),
            classes: self.classes.clone(),
            originals,
        }
    }

    /// Replaces labels by indices into other `classes`, those of a network for example. Classes are matched by name; only
    /// those that have images need to be found.
    ///
    /// ```
    /// use striate::data::Dataset;
    /// let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    /// let pets = Dataset::new("pets", [1, 1, 1], vec![0; 3], vec![0, 1, 1], names(["cat", "dog"]))?;
    /// assert_eq!(pets.clone().relabel(&names(["dog", "cat"]))?.labels(), [1, 0, 0]);
    /// assert!(pets.relabel(&names(["Cat", "dog"])).is_err());
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if an image's class is not among `classes`, or occurs in them more than once.
    pub fn relabel(mut self, classes: &[String]) -> Result<Self> {
        if self.classes == classes {
            return Ok(self);
        }
        let used: BTreeSet<u32> = self.labels.iter().copied().collect();
        let mut indices = vec![0; self.classes.len()];
        for class in used {
            indices[class as usize] = self.index_in(classes, &self.classes[class as usize])?;
        }
        self.labels.iter_mut().for_each(|label| *label = indices[*label as usize]);
        self.classes = classes.to_vec();
        Ok(self)
    }

    /// The index of the class named `name`.
    fn index_in(&self, classes: &[String], name: &str) -> Result<u32> {
        let mut matches = (0..).zip(classes).filter(|(_, class)| *class == name).map(|(index, _)| index);
        let wrong = |problem: String| Err(Error::argument("dataset", format!("{} {problem}", self.name)));
        match (matches.next(), matches.next()) {
            (Some(index), None) => Ok(index),
            (Some(first), Some(second)) => wrong(format!(
                "has images of {name}, but classes {first} and {second} both have this name; use distinct names"
            )),
            (None, _) => {
                let known =
                    classes.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if classes.len() > MAX_LISTED { ", ..." } else { "" };
                let alike = classes.iter().find(|class| class.to_lowercase() == name.to_lowercase());
                let hint = alike.map_or_else(String::new, |class| format!("; did you mean {class}?"));
                wrong(format!(
                    "has images of class {name}, which the network does not have ({known}{more}){hint}; use images of its \
                     classes, under the same names"
                ))
            }
        }
    }
}

/// Most classes listed in a message.
const MAX_LISTED: usize = 12;

/// Mean and standard deviation of the pixels per channel, on a scale from 0 to 1.
///
/// A normalized pixel is `(byte / 255 - mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean per channel.
    pub mean: Vec<f32>,
    /// Standard deviation per channel, positive.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Measures a data set.
    ///
    /// A constant channel gets the deviation 1, so that it normalizes to 0 instead of NaN.
    ///
    /// ```
    /// use striate::data::{Dataset, Normalization};
    /// let tiles = Dataset::new("tiles", [1, 1, 2], vec![0, 255], vec![0], vec!["tile".into()])?;
    /// assert_eq!(Normalization::measure(&tiles), Normalization { mean: vec![0.5], std: vec![0.5] });
    /// # Ok::<(), striate::Error>(())
    /// ```
    pub fn measure(dataset: &Dataset) -> Self {
        let (mean, std) = histograms(dataset).iter().map(mean_and_deviation).unzip();
        Self { mean, std }
    }

    /// The normalized value of each byte, per channel.
    pub fn tables(&self) -> Vec<[f32; 256]> {
        let table = |(&mean, &std): (&f32, &f32)| {
            std::array::from_fn(|byte| ((byte as f64 / 255.0 - f64::from(mean)) / f64::from(std)) as f32)
        };
        self.mean.iter().zip(&self.std).map(table).collect()
    }

    /// Checks this for images with a number of channels.
    pub(super) fn check(&self, channels: usize) -> Result<()> {
        let (means, stds) = (self.mean.len(), self.std.len());
        if means != channels || stds != channels {
            let problem = format!(
                "{means} means and {stds} standard deviations do not match the images' {channels} channels"
            );
            return Err(Error::argument("normalization", problem));
        }
        let positive = self.std.iter().all(|std| *std > 0.0 && std.is_finite());
        // Values between have smaller magnitudes.
        let finite = self.tables().iter().all(|table| table[0].is_finite() && table[255].is_finite());
        if !positive || !finite {
            let problem = format!(
                "means and normalized values must be finite, and standard deviations positive, got {self:?}"
            );
            return Err(Error::argument("normalization", problem));
        }
        Ok(())
    }
}

/// Counts of each byte per channel. They are exact, whatever the order of summation.
fn histograms(dataset: &Dataset) -> Vec<[u64; 256]> {
    let [channels, height, width] = dataset.shape;
    let mut counts = vec![[0; 256]; channels];
    for (plane, pixels) in dataset.images.chunks_exact(height * width).enumerate() {
        let counts = &mut counts[plane % channels];
        pixels.iter().for_each(|&pixel| counts[usize::from(pixel)] += 1);
    }
    counts
}

fn mean_and_deviation(counts: &[u64; 256]) -> (f32, f32) {
    let total = counts.iter().sum::<u64>() as f64;
    let average = |value: &dyn Fn(f64) -> f64| {
        let weighted = counts.iter().enumerate().map(|(byte, &n)| n as f64 * value(byte as f64 / 255.0));
        weighted.sum::<f64>() / total
    };
    let mean = average(&|pixel| pixel);
    let std = average(&|pixel| (pixel - mean).powi(2)).sqrt();
    // Anything this small is rounding error: a single byte that is off by one among a billion gives more.
    (mean as f32, if std < 1e-8 { 1.0 } else { std as f32 })
}
