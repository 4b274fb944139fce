//! Training, validation and test images.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Dataset, Normalization};
use crate::rng::{SplitMix64, VALIDATION};
use crate::{Error, Result};

/// Training, validation and test images.
#[derive(Debug, Clone)]
pub struct Split {
    /// Training images.
    pub train: Arc<Dataset>,
    /// Images to choose the best epoch and settings with, so that the test images stay unseen until the end.
    pub validation: Option<Arc<Dataset>>,
    /// Test images.
    pub test: Arc<Dataset>,
    /// Statistics of the training images, used for all.
    pub normalization: Normalization,
    /// Notes for the user, about ignored files for example.
    pub notes: Vec<String>,
    /// Images that were skipped because they could not be read, each with the error.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Test images alone.
#[derive(Debug, Clone)]
pub struct TestSet {
    /// The images.
    pub data: Arc<Dataset>,
    /// Statistics of the training images if there are any, otherwise of these.
    pub normalization: Normalization,
    /// See [`Split::notes`].
    pub notes: Vec<String>,
    /// See [`Split::skipped`].
    pub skipped: Vec<(PathBuf, String)>,
}

impl From<Split> for TestSet {
    fn from(split: Split) -> Self {
        let Split { test, normalization, notes, skipped, .. } = split;
        Self { data: test, normalization, notes, skipped }
    }
}

impl Split {
    /// Combines training and test images.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if their image shapes or classes differ, or `normalization` does not fit.
    pub fn new(train: Dataset, test: Dataset, normalization: Normalization) -> Result<Self> {
        let wrong = |problem: String| Err(Error::argument(format!("data set {}", train.name()), problem));
        if train.shape() != test.shape() {
            return wrong(format!(
                "training images have shape {:?}, but test images {:?}; use the same for both",
                train.shape(),
                test.shape()
            ));
        }
        if train.classes() != test.classes() {
            return wrong(
                "training and test images have different classes; use the same for both".to_owned(),
            );
        }
        normalization.check(train.shape()[0])?;
        let (train, test) = (Arc::new(train), Arc::new(test));
        Ok(Self { train, validation: None, test, normalization, notes: Vec::new(), skipped: Vec::new() })
    }

    /// Moves a fraction of each class of the training images to [`validation`](Self::validation): at least one, and always the
    /// same for the same images and seed. The normalization stays.
    ///
    /// ```
    /// use striate::data::fashion_mnist_subset;
    /// let split = fashion_mnist_subset()?.with_validation(0.1, 0)?;
    /// assert_eq!((split.train.len(), split.held_out().len(), split.test.len()), (5400, 600, 1000));
    /// # Ok::<(), striate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the fraction is not above 0 and below 1, there are validation images already, or a class has only
    /// one training image.
    pub fn with_validation(self, fraction: f64, seed: u64) -> Result<Self> {
        let wrong = |problem: String| Err(Error::argument("validation", problem));
        if !(fraction > 0.0 && fraction < 1.0) {
            return wrong(format!("must be above 0 and below 1, got {fraction}"));
        }
        if let Some(own) = &self.validation {
            let problem =
                format!("{} has {} validation images of its own; omit the fraction", own.name(), own.len());
            return wrong(problem);
        }
        let mut is_held_out = vec![false; self.train.len()];
        for (class, name) in (0..).zip(self.train.classes()) {
            let labels = self.train.labels().iter().enumerate();
            let images: Vec<usize> = labels.filter(|(_, label)| **label == class).map(|(i, _)| i).collect();
            if images.len() == 1 {
                let problem =
                    format!("class {name} has only one training image; add some, or omit the fraction");
                return wrong(problem);
            }
            let key = [VALIDATION, u64::from(class)];
            let chosen = held_out(images.len(), fraction, &mut SplitMix64::keyed(seed, &key));
            chosen.into_iter().for_each(|index| is_held_out[images[index]] = true);
        }
        let (validation, train): (Vec<usize>, Vec<usize>) =
            (0..self.train.len()).partition(|index| is_held_out[*index]);
        let [validation, train] = [validation, train].map(|indices| Arc::new(self.train.select(&indices)));
        Ok(Self { train, validation: Some(validation), ..self })
    }

    /// The images to test on after each epoch: those for validation, or else the test images.
    pub fn held_out(&self) -> &Arc<Dataset> {
        self.validation.as_ref().unwrap_or(&self.test)
    }
}

/// Which of `count` images of a class are held out: a fraction of them, at least one, and never all. None if there are none.
pub(super) fn held_out(count: usize, fraction: f64, generator: &mut SplitMix64) -> Vec<usize> {
    let wanted = ((count as f64 * fraction).round() as usize).max(1).min(count.saturating_sub(1));
    let order = generator.permutation(u32::try_from(count).unwrap_or(u32::MAX));
    order.iter().take(wanted).map(|index| *index as usize).collect()
}
