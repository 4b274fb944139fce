//! What excites a channel the most.

use super::Lens;
use crate::{Error, Result, Tensor};

/// Where a channel was excited the most in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Peak {
    /// Number of the picture, in the order in which they were added.
    pub picture: usize,
    /// Row and column of the channel's result; of equal ones the first.
    pub place: [usize; 2],
    /// What the channel gives there.
    pub value: f32,
}

/// By channel, the pictures with the highest peaks: found in one pass, of which no more than these is kept.
///
/// ```
/// use striate::{Tensor, see::Peaks};
/// let mut peaks = Peaks::new(2);
/// // Three pictures of one channel with two places.
/// peaks.add(&Tensor::f32([3, 1, 1, 2], vec![1.0, 2.0, 9.0, 0.0, 3.0, 4.0])?)?;
/// let best: Vec<usize> = peaks.channels()[0].iter().map(|peak| peak.picture).collect();
/// assert_eq!((best, peaks.channels()[0][1].place), (vec![1, 2], [0, 1]));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Peaks {
    k: usize,
    pictures: usize,
    /// By channel, falling; of equal peaks the earlier picture first.
    channels: Vec<Vec<Peak>>,
}

impl Peaks {
    /// Of no pictures yet; at most `k` will be kept for each channel.
    pub fn new(k: usize) -> Self {
        Self { k, pictures: 0, channels: Vec::new() }
    }

    /// Adds what a layer gave for the next pictures: `[pictures, channels, height, width]` or `[pictures, channels]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for another shape, other channels than before, or a number that is none.
    pub fn add(&mut self, activations: &Tensor) -> Result<()> {
        let (count, channels, width) = match *activations.shape() {
            [count, channels] => (count, channels, 1),
            [count, channels, _, width] => (count, channels, width),
            ref other => {
                let problem = format!("expected [pictures, channels, height, width], found {other:?}");
                return Err(Error::argument("activations", problem));
            }
        };
        if self.pictures == 0 {
            self.channels = vec![Vec::new(); channels];
        }
        if channels != self.channels.len() {
            let problem = format!("expected {} channels as before, found {channels}", self.channels.len());
            return Err(Error::argument("activations", problem));
        }
        if activations.as_f32().iter().any(|x| x.is_nan()) {
            return Err(Error::argument(
                "activations",
                "hold what is no number; these weights do not suit the network",
            ));
        }
        let places = activations.len() / (count * channels).max(1);
        for (plane, values) in activations.as_f32().chunks_exact(places.max(1)).enumerate() {
            let larger = |best: usize, next: usize| if values[next] > values[best] { next } else { best };
            let best = (0..values.len()).fold(0, larger);
            let picture = self.pictures + plane / channels;
            self.keep(
                plane % channels,
                Peak { picture, place: [best / width, best % width], value: values[best] },
            );
        }
        self.pictures += count;
        Ok(())
    }

    fn keep(&mut self, channel: usize, peak: Peak) {
        let best = &mut self.channels[channel];
        // Earlier pictures come first, so a new one goes behind its equals.
        let rank = best.partition_point(|other| other.value >= peak.value);
        if rank < self.k {
            best.insert(rank, peak);
            best.truncate(self.k);
        }
    }

    /// By channel, the highest peaks, the highest first.
    pub fn channels(&self) -> &[Vec<Peak>] {
        &self.channels
    }

    /// How many pictures were added.
    pub fn pictures(&self) -> usize {
        self.pictures
    }
}

/// The `k` pictures that excite each channel of a layer the most. Pictures are normalised ones, NCHW; memory is for what
/// a few batches of them give.
///
/// # Errors
///
/// [`Error::Argument`] if `k` is 0 or more than there are pictures, or the layer is unknown; else as
/// [`Probe::run`](super::Probe::run).
pub fn peaks(lens: &Lens, images: &[f32], layer: &str, k: usize) -> Result<Peaks> {
    let pictures = images.len() / lens.image_len();
    if k == 0 || k > pictures {
        let problem = format!("expected from 1 to {pictures}, which are all pictures, found {k}");
        return Err(Error::argument("top", problem));
    }
    let mut probe = lens.probe(&[layer])?;
    let mut peaks = Peaks::new(k);
    for images in images.chunks(super::BATCHES * lens.batch() * lens.image_len()) {
        peaks.add(&probe.only(images)?)?;
    }
    Ok(peaks)
}
