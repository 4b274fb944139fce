//! Initial weights, and the preprocessing that pretrained ones need.

use super::args::Args;
use crate::cli::network::{file, named_preprocessing};
use crate::cli::pretrained::{self, Pretrained};
use std::path::PathBuf;
use striate::Result;
use striate::data::{Preprocessing, Source, Split};

impl Args {
    /// The name of the network.
    pub fn network(&self) -> Result<&str> {
        pretrained::network(&self.model, self.fine_tuning.pretrained)
    }

    /// The file of the initial weights, if any. Pretrained ones are fetched if they are missing.
    pub fn initial_weights(&self) -> Result<Option<PathBuf>> {
        match &self.fine_tuning.weights {
            _ if self.fine_tuning.pretrained => Pretrained::named(&self.model)?.obtain().map(Some),
            Some(path) => file(path).map(Some),
            None => Ok(None),
        }
    }

    /// The data set to open. Images of a folder get the preprocessing of pretrained weights; other data sets have images of a
    /// fixed size.
    pub fn source(&self) -> Result<Source> {
        let source = self.data.source();
        let own = self.own_preprocessing()?.filter(|_| source.name == "folder");
        Ok(Source { preprocessing: own, ..source })
    }

    /// Opens the data set, with originals if the augmentation uses them.
    pub fn split(&self) -> Result<Split> {
        let original_bytes = self.augmentation.original_bytes()?;
        let split = Source { original_bytes, ..self.source()? }.open()?;
        let own = self.own_preprocessing()?.map(|own| own.normalization);
        let normalization = own.unwrap_or_else(|| split.normalization.clone());
        Ok(Split { normalization, ..split })
    }

    /// The preprocessing of the images, to be stored with the trained weights.
    pub fn preprocessing(&self, split: &Split) -> Result<Preprocessing> {
        if let Some(own) = self.source()?.preprocessing {
            return Ok(own);
        }
        let [_, height, width] = split.train.shape();
        let exif_rotation = !self.data.no_exif_rotation;
        Ok(Preprocessing {
            exif_rotation,
            ..Preprocessing::new([height, width], split.normalization.clone())
        })
    }

    /// The preprocessing of the initial weights, changed by flags.
    fn own_preprocessing(&self) -> Result<Option<Preprocessing>> {
        let mut own = match &self.fine_tuning.preprocess {
            Some(name) => named_preprocessing(name)?,
            None if self.fine_tuning.pretrained => Pretrained::named(&self.model)?.preprocessing()?,
            None => return Ok(None),
        };
        own.exif_rotation = !self.data.no_exif_rotation;
        if let Some(size) = self.data.image_size {
            // As with `predict --size`.
            (own.size, own.resize) = (size, None);
        }
        Ok(Some(own))
    }
}
