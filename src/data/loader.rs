//! Batches of normalised images, prepared ahead of the device.

use std::sync::Arc;
use std::thread;

use super::{Augment, Dataset, Mix, Normalization, Placement, Prefetch};
use crate::rng::shuffle;
use crate::{Error, Result};

/// How a [`Loader`] walks through a data set once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoaderConfig {
    /// How many images make a batch; 128.
    pub batch_size: usize,
    /// Whether the images come in an order drawn for the epoch, rather than in their own; no.
    pub shuffle: bool,
    /// What may be changed in the images; nothing.
    pub augment: Option<Augment>,
    /// How images of a batch are mixed with each other; not at all.
    pub mix: Option<Mix>,
    /// Decides the order and the changes, together with `epoch`; 0.
    pub seed: u64,
    /// Which walk through the data set this is; 0.
    pub epoch: u64,
    /// The batch to begin with, to go on in the middle of an epoch: the batches from there on are
    /// the same as if none had been left out; 0.
    pub start_batch: usize,
    /// Whether a last batch that is not full is left out; no.
    pub drop_last: bool,
    /// How many threads prepare batches: no effect on what is in them; one per core, but at most 4.
    pub threads: usize,
    /// How many batches may be in preparation or wait at the same time; 4.
    pub prefetch: usize,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 128,
            shuffle: false,
            augment: None,
            mix: None,
            seed: 0,
            epoch: 0,
            start_batch: 0,
            drop_last: false,
            threads: thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            prefetch: 4,
        }
    }
}

impl LoaderConfig {
    /// How many batches one epoch of `images` images has.
    ///
    /// ```
    /// use striate::data::LoaderConfig;
    /// let config = LoaderConfig { batch_size: 100, ..Default::default() };
    /// assert_eq!(config.batches(250), 3);
    /// assert_eq!(LoaderConfig { drop_last: true, ..config }.batches(250), 2);
    /// ```
    ///
    /// # Panics
    ///
    /// If `batch_size` is 0.
    pub fn batches(&self, images: usize) -> usize {
        if self.drop_last { images / self.batch_size } else { images.div_ceil(self.batch_size) }
    }

    fn check(&self, dataset: &Dataset) -> Result<()> {
        let (batch_size, images) = (self.batch_size, dataset.len());
        if batch_size == 0 {
            return Err(Error::argument("batch_size", "expected at least 1, found 0"));
        }
        if batch_size > images {
            let name = dataset.name();
            let problem =
                format!("{batch_size} is more than the {images} images of {name}; give {images} or less");
            return Err(Error::argument("batch_size", problem));
        }
        let batches = self.batches(images);
        if self.start_batch > batches {
            let problem = format!("{} is beyond the {batches} batches of an epoch", self.start_batch);
            return Err(Error::argument("start_batch", problem));
        }
        self.mix.map_or(Ok(()), |mix| mix.check())?;
        self.augment.map_or(Ok(()), |augment| augment.check(dataset.shape()))
    }
}

/// Some images with their labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The normalised images, `[size, channels, height, width]`.
    pub images: Vec<f32>,
    /// The class of every image, `[size]`.
    pub labels: Vec<u32>,
    /// Where images are mixed, the class of what was mixed into each, `[size]`; else empty.
    pub partners: Vec<u32>,
    /// How much of each image is its own: 1 where nothing is mixed.
    pub mix_weight: f32,
    /// Which images of the data set these are, `[size]`.
    pub indices: Vec<u32>,
    /// How many they are: the batch size, or less in the last batch of an epoch.
    pub size: usize,
}

/// The batches of one epoch, in an order and with contents that do not depend on threads.
///
/// An iterator whose `len` is the number of batches to come. Worker threads prepare them ahead, no
/// more than [`LoaderConfig::prefetch`] at a time, and end when it is dropped.
///
/// # Panics
///
/// `next` panics if a worker thread did, which is a bug of this crate.
#[derive(Debug)]
pub struct Loader {
    batches: Prefetch<Batch>,
}

impl Loader {
    /// Starts to prepare batches of `dataset`, normalised by `normalization`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the batch size is 0 or more than the data set has images, `threads` or
    /// `prefetch` is 0, `start_batch` is beyond the epoch, the crop padding is as large as the
    /// image, mixing makes no sense, or the normalisation does not fit the channels.
    pub fn new(dataset: Arc<Dataset>, normalization: &Normalization, config: LoaderConfig) -> Result<Self> {
        config.check(&dataset)?;
        normalization.check(dataset.shape()[0])?;
        let batches = config.start_batch..config.batches(dataset.len());
        let recipe = Recipe::new(dataset, normalization, config);
        let make = move |index, spare: Option<Batch>| recipe.make(index, spare.unwrap_or_default());
        Ok(Self { batches: Prefetch::new(batches, config.threads, config.prefetch, make)? })
    }

    /// Gives back a batch that is no longer needed, so that its memory serves again.
    pub fn recycle(&mut self, batch: Batch) {
        self.batches.recycle(batch);
    }
}

impl Iterator for Loader {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.batches.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batches.size_hint()
    }
}

impl ExactSizeIterator for Loader {}

/// All that a batch is made from.
struct Recipe {
    dataset: Arc<Dataset>,
    tables: Vec<[f32; 256]>,
    order: Vec<u32>,
    config: LoaderConfig,
}

impl Recipe {
    fn new(dataset: Arc<Dataset>, normalization: &Normalization, config: LoaderConfig) -> Self {
        // `Dataset::new` has made sure that images can be numbered by u32.
        let count = dataset.len() as u32;
        let order =
            if config.shuffle { shuffle(config.seed, config.epoch, count) } else { (0..count).collect() };
        Self { dataset, tables: normalization.tables(), order, config }
    }

    /// Batch number `index`, in the memory of `batch`.
    fn make(&self, index: usize, mut batch: Batch) -> Batch {
        let start = index * self.config.batch_size;
        let end = self.order.len().min(start + self.config.batch_size);
        let indices = &self.order[start..end];
        let image_len = self.dataset.image_len();
        batch.size = indices.len();
        batch.indices.clear();
        batch.indices.extend_from_slice(indices);
        batch.labels.clear();
        batch.labels.extend(indices.iter().map(|&index| self.dataset.labels()[index as usize]));
        batch.images.resize(batch.size * image_len, 0.0);
        for (output, &index) in batch.images.chunks_exact_mut(image_len).zip(indices) {
            let image = self.dataset.image(index as usize);
            self.placement(index).write(image, self.dataset.shape(), &self.tables, output);
        }
        batch.mix_weight = 1.0;
        if let Some(mix) = self.config.mix {
            let LoaderConfig { seed, epoch, .. } = self.config;
            mix.apply(&mut batch, self.dataset.shape(), [seed, epoch, index as u64]);
        }
        batch
    }

    fn placement(&self, index: u32) -> Placement {
        let LoaderConfig { augment, seed, epoch, .. } = self.config;
        augment.map_or(Placement::IDENTITY, |augment| augment.place(seed, epoch, index))
    }
}
