//! The images that a network is looked at with.

use crate::data::{Dataset, Normalization, Preprocessing};
use crate::{Error, Result};
use std::path::PathBuf;

/// Images as a network takes them.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Normalised numbers, NCHW.
    pub values: Vec<f32>,
    /// What each is called: its path, or its number in the data set.
    pub names: Vec<String>,
    /// The class that each has, where that is known.
    pub labels: Option<Vec<usize>>,
    /// Files that could not be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Images {
    /// Reads files on all cores; what cannot be read is passed over, and told in `skipped`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if none can be read.
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
                Err(Error::argument("data", format!("none of {count} could be read; the first: {first}")))
            }
            (true, None) => {
                Err(Error::argument("data", "there are no images; give some, or folders of them"))
            }
            _ => Ok(images),
        }
    }

    /// The first `count` images of a data set.
    pub fn of(data: &Dataset, normalization: &Normalization, count: usize) -> Self {
        let count = count.min(data.len());
        let tables = normalization.tables();
        let pixels = data.image_len() / tables.len();
        let number = |(i, byte): (usize, &u8)| tables[i / pixels % tables.len()][usize::from(*byte)];
        Self {
            values: data.images()[..count * data.image_len()].iter().enumerate().map(number).collect(),
            names: (0..count).map(|i| format!("{} {i}", data.name())).collect(),
            labels: Some(data.labels()[..count].iter().map(|label| *label as usize).collect()),
            skipped: Vec::new(),
        }
    }

    /// Those of these numbers, in this order; what was skipped stays told.
    ///
    /// # Panics
    ///
    /// If there is no image of a number.
    pub fn pick(&self, numbers: &[usize]) -> Self {
        Self {
            values: numbers.iter().flat_map(|i| self.image(*i)).copied().collect(),
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

    /// The numbers of one image, CHW.
    pub fn image(&self, index: usize) -> &[f32] {
        let len = self.values.len() / self.len();
        &self.values[index * len..][..len]
    }
}
