//! The images that a network is inspected with.

use crate::data::{Dataset, Normalization, Preprocessing};
use crate::{Error, Result};
use std::path::PathBuf;

/// Images, preprocessed as network input.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Normalized pixels, NCHW.
    pub values: Vec<f32>,
    /// Path of each image, or its index in the data set.
    pub names: Vec<String>,
    /// Class of each image, if known.
    pub labels: Option<Vec<usize>>,
    /// Files that could not be read, each with the error.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Images {
    /// Reads and preprocesses files in parallel. Files that cannot be read are listed in `skipped`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if no file can be read.
    pub fn read(paths: &[PathBuf], preprocessing: &Preprocessing) -> Result<Self> {
        let mut images = Self::default();
        for (path, read) in paths.iter().zip(preprocessing.read_all(paths)) {
            match read {
                Ok(values) => {
                    images.values.extend(values);
                    images.names.push(path.display().to_string());
                }
                Err(error) => images.skipped.push((path.clone(), error.to_string())),
            }
        }
        match (images.names.is_empty(), images.skipped.first()) {
            (true, Some((_, first))) => {
                let count = images.skipped.len();
                Err(Error::argument(
                    "data",
                    format!("none of the {count} images could be read; the first error: {first}"),
                ))
            }
            (true, None) => {
                Err(Error::argument("data", "contains no images; give images or folders of them"))
            }
            _ => Ok(images),
        }
    }

    /// The first `count` images of a data set.
    pub fn from_dataset(data: &Dataset, normalization: &Normalization, count: usize) -> Self {
        let count = count.min(data.len());
        let tables = normalization.tables();
        let pixels = data.image_len() / tables.len();
        let normalize = |(i, byte): (usize, &u8)| tables[i / pixels % tables.len()][usize::from(*byte)];
        Self {
            values: data.images()[..count * data.image_len()].iter().enumerate().map(normalize).collect(),
            names: (0..count).map(|i| format!("{} {i}", data.name())).collect(),
            labels: Some(data.labels()[..count].iter().map(|label| *label as usize).collect()),
            skipped: Vec::new(),
        }
    }

    /// The images at these indices, in this order; `skipped` is kept.
    ///
    /// # Panics
    ///
    /// If an index is out of range.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            values: indices.iter().flat_map(|i| self.image(*i)).copied().collect(),
            names: indices.iter().map(|i| self.names[*i].clone()).collect(),
            labels: self.labels.as_ref().map(|labels| indices.iter().map(|i| labels[*i]).collect()),
            skipped: self.skipped.clone(),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The pixels of one image, CHW.
    pub fn image(&self, index: usize) -> &[f32] {
        let len = self.values.len() / self.len();
        &self.values[index * len..][..len]
    }
}
