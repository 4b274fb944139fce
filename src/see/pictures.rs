//! The pictures that a network is looked at with.

use crate::data::{Dataset, Normalization, Preprocessing};
use crate::{Error, Result};
use std::path::PathBuf;

/// Pictures as a network takes them.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// Normalised numbers, NCHW.
    pub images: Vec<f32>,
    /// What each is called: its path, or its number in the data set.
    pub names: Vec<String>,
    /// The class that each has, where that is known.
    pub labels: Option<Vec<usize>>,
    /// Files that could not be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Pictures {
    /// Reads files on all cores; what cannot be read is passed over, and told in `skipped`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if none can be read.
    pub fn read(paths: &[PathBuf], preprocessing: &Preprocessing) -> Result<Self> {
        let mut pictures = Self::default();
        for (path, read) in paths.iter().zip(preprocessing.read_all(paths)) {
            match read {
                Ok(image) => {
                    pictures.images.extend(image);
                    pictures.names.push(path.display().to_string());
                }
                Err(error) => pictures.skipped.push((path.clone(), error.to_string())),
            }
        }
        match (pictures.names.is_empty(), pictures.skipped.first()) {
            (true, Some((_, first))) => {
                let count = pictures.skipped.len();
                Err(Error::argument("data", format!("none of {count} could be read; the first: {first}")))
            }
            (true, None) => {
                Err(Error::argument("data", "there are no pictures; give some, or folders of them"))
            }
            _ => Ok(pictures),
        }
    }

    /// The first `count` pictures of a data set.
    pub fn of(data: &Dataset, normalization: &Normalization, count: usize) -> Self {
        let count = count.min(data.len());
        let tables = normalization.tables();
        let pixels = data.image_len() / tables.len();
        let number = |(i, byte): (usize, &u8)| tables[i / pixels % tables.len()][usize::from(*byte)];
        Self {
            images: data.images()[..count * data.image_len()].iter().enumerate().map(number).collect(),
            names: (0..count).map(|i| format!("{} {i}", data.name())).collect(),
            labels: Some(data.labels()[..count].iter().map(|label| *label as usize).collect()),
            skipped: Vec::new(),
        }
    }

    /// Those of these numbers, in this order; what was skipped stays told.
    ///
    /// # Panics
    ///
    /// If there is no picture of a number.
    pub fn pick(&self, numbers: &[usize]) -> Self {
        Self {
            images: numbers.iter().flat_map(|i| self.image(*i)).copied().collect(),
            names: numbers.iter().map(|i| self.names[*i].clone()).collect(),
            labels: self.labels.as_ref().map(|labels| numbers.iter().map(|i| labels[*i]).collect()),
            skipped: self.skipped.clone(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The numbers of one picture, CHW.
    pub fn image(&self, index: usize) -> &[f32] {
        let len = self.images.len() / self.len();
        &self.images[index * len..][..len]
    }
}
