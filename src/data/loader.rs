//! Loads batches of normalized images ahead of the device.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use super::{Augment, Dataset, DrawKey, Mix, Normalization, Prefetch};
use crate::distributed::share;
use crate::rng::{SHUFFLE, SplitMix64};
use crate::{Error, Result};

/// Settings of a [`Loader`] for one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoaderConfig {
    /// Images per batch. Default 128.
    pub batch_size: usize,
    /// Shuffle the images, differently in each epoch. Default false.
    pub shuffle: bool,
    /// Shuffle, and take equally many images of each class: those of small classes several times, each with its own augmentation,
    /// and of large classes another part in each epoch. Default false.
    pub balanced: bool,
    /// Augmentation. Default `None`.
    pub augment: Option<Augment>,
    /// Mixup and CutMix. Default `None`.
    pub mix: Option<Mix>,
    /// Seed of shuffling, augmentation and mixing, together with `epoch`. Default 0.
    pub seed: u64,
    /// Index of the epoch. Default 0.
    pub epoch: u64,
    /// First batch, to resume within an epoch. The batches are the same as when starting from 0. Default 0.
    pub start_batch: usize,
    /// Drop the last batch if it is smaller than the others. Default false.
    pub drop_last: bool,
    /// Load only the images of one rank. Default `None`: all.
    pub shard: Option<Shard>,
    /// Worker threads; they do not affect the batches. Default one per core, up to 4.
    pub threads: usize,
    /// Most batches that are in preparation or ready at any time. Default 4.
    pub prefetch: usize,
}

/// One rank's images of each batch: its [`share`] of every micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// The rank.
    pub rank: usize,
    /// Number of ranks.
    pub ranks: usize,
    /// Images per micro-batch, on all ranks together.
    pub micro_batch: usize,
}

impl Shard {
    /// The positions of the rank's images in a batch of `size` images.
    fn positions(self, size: usize) -> impl Iterator<Item = usize> {
        let micro_batches = (0..size).step_by(self.micro_batch);
        let range = move |start| start..size.min(start + self.micro_batch);
        micro_batches.flat_map(move |start| share(range(start), self.rank, self.ranks))
    }
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 128,
            shuffle: false,
            balanced: false,
            augment: None,
            mix: None,
            seed: 0,
            epoch: 0,
            start_batch: 0,
            drop_last: false,
            shard: None,
            threads: thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            prefetch: 4,
        }
    }
}

impl LoaderConfig {
    /// Number of batches in an epoch of `images` images.
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
            return Err(Error::argument("batch_size", "must be at least 1, got 0"));
        }
        if batch_size > images {
            let name = dataset.name();
            let problem =
                format!("{batch_size} is more than the {images} images of {name}; use at most {images}");
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

/// A batch of images with their labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The normalized images, `[size, channels, height, width]`; with a [`Shard`], only those of the rank.
    pub images: Vec<f32>,
    /// The class of each image, `[size]`.
    pub labels: Vec<u32>,
    /// The class of each image's mixup or CutMix partner, `[size]`; empty without mixing.
    pub partners: Vec<u32>,
    /// Weight of each image's own label; the partner's is `1 - mix_weight`. 1 without mixing.
    pub mix_weight: f32,
    /// Indices of the images in the data set, `[size]`.
    pub indices: Vec<u32>,
    /// Number of images: the batch size, or less for the last batch of an epoch.
    pub size: usize,
}

/// An iterator over the batches of an epoch.
///
/// Worker threads prepare up to [`LoaderConfig::prefetch`] batches ahead; neither order nor content depends on the threads.
/// They end when the loader is dropped.
///
/// # Panics
///
/// `next` propagates a panic of a worker thread, which would be a bug in this crate.
#[derive(Debug)]
pub struct Loader {
    batches: Prefetch<Batch>,
}

impl Loader {
    /// Starts loading batches of `dataset`, normalized by `normalization`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the batch size is 0 or more than the number of images, `threads` or `prefetch` is 0,
    /// `start_batch` is beyond the epoch, a setting of the augmentation or of mixing is out of range, or
    /// the normalization has another number of channels.
    pub fn new(dataset: Arc<Dataset>, normalization: &Normalization, config: LoaderConfig) -> Result<Self> {
        config.check(&dataset)?;
        normalization.check(dataset.shape()[0])?;
        let batches = config.start_batch..config.batches(dataset.len());
        let recipe = Recipe::new(dataset, normalization, config);
        let make = move |index, spare: Option<Batch>| recipe.make(index, spare.unwrap_or_default());
        Ok(Self { batches: Prefetch::new(batches, config.threads, config.prefetch, make)? })
    }

    /// Returns a batch whose memory can be reused.
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

/// Everything that determines a batch.
struct Recipe {
    dataset: Arc<Dataset>,
    tables: Vec<[f32; 256]>,
    /// For each image of the epoch, its index plus the number of images times how often it was there before.
    order: Vec<u64>,
    config: LoaderConfig,
}

impl Recipe {
    fn new(dataset: Arc<Dataset>, normalization: &Normalization, config: LoaderConfig) -> Self {
        // `Dataset::new` checked that the count fits.
        let count = dataset.len() as u32;
        let shuffled =
            || SplitMix64::keyed(config.seed, &[SHUFFLE, config.epoch]).permutation(count).into_iter();
        let order = match (config.balanced, config.shuffle) {
            (true, _) => {
                let sample = balanced(dataset.labels(), config.seed, config.epoch);
                shuffled().map(|index| sample[index as usize]).collect()
            }
            (false, true) => shuffled().map(u64::from).collect(),
            (false, false) => (0..u64::from(count)).collect(),
        };
        Self { dataset, tables: normalization.tables(), order, config }
    }

    /// Makes batch `index`, reusing the memory of `batch`.
    fn make(&self, index: usize, mut batch: Batch) -> Batch {
        let start = index * self.config.batch_size;
        let end = self.order.len().min(start + self.config.batch_size);
        let drawn = &self.order[start..end];
        let image_len = self.dataset.image_len();
        batch.size = drawn.len();
        batch.indices.clear();
        let count = self.dataset.len() as u64;
        batch.indices.extend(drawn.iter().map(|drawn| (drawn % count) as u32));
        batch.labels.clear();
        batch.labels.extend(batch.indices.iter().map(|&index| self.dataset.labels()[index as usize]));
        let own: Vec<usize> = match self.config.shard {
            None => (0..batch.size).collect(),
            Some(shard) => shard.positions(batch.size).collect(),
        };
        let mut positions = own.clone();
        if self.config.mix.is_some() {
            positions.extend(own.iter().map(|position| batch.size - 1 - position));
            positions.sort_unstable();
            positions.dedup();
        }
        batch.images.resize(positions.len() * image_len, 0.0);
        for (output, &position) in batch.images.chunks_exact_mut(image_len).zip(&positions) {
            let augment = self.config.augment.unwrap_or_default();
            augment.write(&self.dataset, self.key(drawn[position]), &self.tables, output);
        }
        batch.mix_weight = 1.0;
        if let Some(mix) = self.config.mix {
            mix.apply(&mut batch, self.dataset.shape(), self.key(index as u64));
            if positions.len() > own.len() {
                keep(&mut batch.images, image_len, &positions, &own);
            }
        }
        batch
    }

    fn key(&self, index: u64) -> DrawKey {
        let LoaderConfig { seed, epoch, .. } = self.config;
        DrawKey { seed, epoch, index }
    }
}

/// Removes the images that only are partners of others. Both lists of positions are sorted.
fn keep(images: &mut Vec<f32>, image_len: usize, positions: &[usize], own: &[usize]) {
    for (to, position) in own.iter().enumerate() {
        let from = positions.binary_search(position).expect("positions contain all of the rank's own");
        images.copy_within(from * image_len..(from + 1) * image_len, to * image_len);
    }
    images.truncate(own.len() * image_len);
}

/// Images for a balanced epoch, grouped by class: see [`Recipe::order`].
fn balanced(labels: &[u32], seed: u64, epoch: u64) -> Vec<u64> {
    let count = labels.len() as u64;
    let mut classes: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    (0..).zip(labels).for_each(|(index, &label)| classes.entry(label).or_default().push(index));
    let filled = classes.len();
    let of_class = |(at, (class, images)): (usize, (u32, Vec<u64>))| {
        let wanted = (at + 1) * labels.len() / filled - at * labels.len() / filled;
        let mut random = SplitMix64::keyed(seed, &[SHUFFLE, epoch, u64::from(class)]);
        let mut sample = Vec::with_capacity(wanted + images.len());
        for round in (0..).take_while(|round| round * images.len() < wanted) {
            let order = random.permutation(images.len() as u32);
            sample.extend(order.into_iter().map(|index| images[index as usize] + round as u64 * count));
        }
        sample.truncate(wanted);
        sample
    };
    classes.into_iter().enumerate().flat_map(of_class).collect()
}
