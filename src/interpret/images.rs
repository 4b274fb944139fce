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
        Self::from_dataset_at(data, normalization, &(0..count.min(data.len())).collect::<Vec<usize>>())
    }

    /// The images of a data set with these indices, in this order.
    ///
    /// # Panics
    ///
    /// If an index is out of range.
    pub fn from_dataset_at(data: &Dataset, normalization: &Normalization, indices: &[usize]) -> Self {
        let tables = normalization.tables();
        let (len, pixels) = (data.image_len(), data.image_len() / tables.len());
        let normalize = |(i, byte): (usize, &u8)| tables[i / pixels][usize::from(*byte)];
        let image = |index: &usize| data.images()[index * len..][..len].iter().enumerate().map(normalize);
        Self {
            values: indices.iter().flat_map(image).collect(),
            names: indices.iter().map(|index| format!("{} {index}", data.name())).collect(),
            labels: Some(indices.iter().map(|index| data.labels()[*index] as usize).collect()),
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
