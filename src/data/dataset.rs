//! Images in memory, and the figures that normalise them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// All images of one split, in memory, as bytes.
#[derive(Debug, Clone)]
pub struct Dataset {
    name: String,
    images: Vec<u8>,
    shape: [usize; 3],
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl Dataset {
    /// A data set of `labels.len()` images of `shape` = `[channels, height, width]`.
    ///
    /// `images` holds the images one after another, NCHW, 0 black and 255 white; `labels[i]` is
    /// the class of image `i` as an index into `classes`.
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
    /// [`Error::Argument`] if there are no images, if a size is 0, if there are more or fewer
    /// bytes than images need, or if a label has no class.
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
            return wrong("there are no images; give at least one".to_owned());
        }
        if u32::try_from(count).is_err() {
            return wrong(format!("{count} images are more than the {} that can be numbered", u32::MAX));
        }
        let bytes = [channels, height, width].iter().try_fold(count, |product, &n| product.checked_mul(n));
        if shape.contains(&0) || bytes != Some(images.len()) {
            return wrong(format!(
                "{count} labels need as many images of {channels} x {height} x {width} bytes, found {} bytes",
                images.len()
            ));
        }
        if let Some(index) = labels.iter().position(|&label| label as usize >= classes.len()) {
            let (label, classes) = (labels[index], classes.len());
            return wrong(format!("image {index} has label {label}, but there are only {classes} classes"));
        }
        Ok(Self { name, images, shape, labels, classes })
    }

    /// The name, for messages and reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of images, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a data set is never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// One image's `[channels, height, width]`.
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

    /// CRC-32 of all images and labels, to tell data sets apart.
    pub fn fingerprint(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.images);
        sum.update(bytemuck::cast_slice(&self.labels));
        sum.finalize()
    }

    /// The class of every image, as an index into [`classes`](Self::classes).
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of values in one image: channels x height x width.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The same images, with labels that number `classes`: those of a network, say. Names say which class is which; not all
    /// need to have images.
    ///
    /// ```
    /// use striate::data::Dataset;
    /// let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    /// let pets = Dataset::new("pets", [1, 1, 1], vec![0; 3], vec![0, 1, 1], names(["cat", "dog"]))?;
    /// assert_eq!(pets.clone().numbered_by(&names(["dog", "cat"]))?.labels(), [1, 0, 0]);
    /// assert!(pets.numbered_by(&names(["Cat", "dog"])).is_err());
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if images have a class that is not one of `classes`, or is several of them.
    pub fn numbered_by(mut self, classes: &[String]) -> Result<Self> {
        if self.classes == classes {
            return Ok(self);
        }
        let used: BTreeSet<u32> = self.labels.iter().copied().collect();
        let mut numbers = vec![0; self.classes.len()];
        for class in used {
            numbers[class as usize] = self.number_among(classes, &self.classes[class as usize])?;
        }
        self.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        self.classes = classes.to_vec();
        Ok(self)
    }

    /// The number of the class of this name.
    fn number_among(&self, classes: &[String], name: &str) -> Result<u32> {
        let mut places = (0..).zip(classes).filter(|(_, class)| *class == name).map(|(number, _)| number);
        let wrong = |problem: String| Err(Error::argument("dataset", format!("{} {problem}", self.name)));
        match (places.next(), places.next()) {
            (Some(number), None) => Ok(number),
            (Some(first), Some(second)) => wrong(format!(
                "has images of {name}, but classes {first} and {second} both have this name; give names that differ"
            )),
            (None, _) => {
                let known = classes.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if classes.len() > NAMED { ", ..." } else { "" };
                let alike = classes.iter().find(|class| class.to_lowercase() == name.to_lowercase());
                let hint = alike.map_or_else(String::new, |class| format!("; is it {class}?"));
                wrong(format!(
                    "has images of class {name}, which is none of the network's ({known}{more}){hint}; give images of \
                     its classes, under their names"
                ))
            }
        }
    }
}

/// Classes that a message names.
const NAMED: usize = 12;

/// The two halves of a data set, and how to normalise both.
#[derive(Debug, Clone)]
pub struct Split {
    /// What the network learns from.
    pub train: Arc<Dataset>,
    /// What it is judged by.
    pub test: Arc<Dataset>,
    /// The statistics of the training images.
    pub normalization: Normalization,
    /// What whoever asked for the data set may want to know, in sentences: files that were passed over, for example.
    pub notes: Vec<String>,
    /// Images that could not be read and were left out, with why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Images that a network is judged by.
#[derive(Debug, Clone)]
pub struct TestSet {
    /// The images.
    pub data: Arc<Dataset>,
    /// The data set's figures: of the training images, where there are such.
    pub normalization: Normalization,
    /// As [`Split::notes`].
    pub notes: Vec<String>,
    /// As [`Split::skipped`].
    pub skipped: Vec<(PathBuf, String)>,
}

impl From<Split> for TestSet {
    fn from(split: Split) -> Self {
        let Split { test, normalization, notes, skipped, .. } = split;
        Self { data: test, normalization, notes, skipped }
    }
}

impl Split {
    /// Joins two data sets.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if their images differ in shape or their classes differ.
    pub fn new(train: Dataset, test: Dataset, normalization: Normalization) -> Result<Self> {
        let wrong = |problem: String| Err(Error::argument(format!("data set {}", train.name), problem));
        if train.shape != test.shape {
            return wrong(format!(
                "training images have the shape {:?}, but test images {:?}; take both from one set",
                train.shape, test.shape
            ));
        }
        if train.classes != test.classes {
            return wrong(
                "training and test images have different classes; take both from one set".to_owned(),
            );
        }
        normalization.check(train.shape[0])?;
        let (train, test) = (Arc::new(train), Arc::new(test));
        Ok(Self { train, test, normalization, notes: Vec::new(), skipped: Vec::new() })
    }
}

/// Per channel, the mean and the standard deviation of the pixels on a scale of 0 to 1.
///
/// A normalised pixel is `(byte / 255 - mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// The mean of every channel.
    pub mean: Vec<f32>,
    /// The standard deviation of every channel, greater than 0.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Measures all pixels of a data set.
    ///
    /// A channel that has the same value everywhere gets the deviation 1, so that it becomes 0
    /// rather than not-a-number.
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

    /// For every channel the normalised value of each of the 256 bytes.
    pub fn tables(&self) -> Vec<[f32; 256]> {
        let table = |(&mean, &std): (&f32, &f32)| {
            std::array::from_fn(|byte| ((byte as f64 / 255.0 - f64::from(mean)) / f64::from(std)) as f32)
        };
        self.mean.iter().zip(&self.std).map(table).collect()
    }

    /// Whether this fits images of so many channels.
    pub(super) fn check(&self, channels: usize) -> Result<()> {
        let (means, stds) = (self.mean.len(), self.std.len());
        if means != channels || stds != channels {
            let problem =
                format!("{means} means and {stds} deviations do not fit images of {channels} channels");
            return Err(Error::argument("normalization", problem));
        }
        let usable = |std: &f32| std.is_finite() && *std > 0.0;
        if !self.mean.iter().all(|mean| mean.is_finite()) || !self.std.iter().all(usable) {
            let problem = format!("means must be finite and deviations greater than 0, found {self:?}");
            return Err(Error::argument("normalization", problem));
        }
        Ok(())
    }
}

/// How often each byte occurs in each channel. Counts are exact, so no order of summation matters.
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
    // A deviation this small is rounding: one step of one byte in a billion pixels is still larger.
    (mean as f32, if std < 1e-8 { 1.0 } else { std as f32 })
}
