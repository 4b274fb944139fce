//! What excites a channel the most.

use super::Lens;
use crate::{Error, Result, Tensor};

/// Where a channel was excited the most in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Peak {
    /// Number of the image, in the order in which they were added.
    #[serde(rename = "picture")]
    pub image: usize,
    /// Row and column of the channel's result; of equal ones the first.
    pub place: [usize; 2],
    /// What the channel gives there.
    pub value: f32,
}

/// By channel, the images with the highest peaks: found in one pass, of which no more than these is kept.
///
/// ```
/// use striate::{Tensor, see::Peaks};
/// let mut peaks = Peaks::new(2);
/// // Three images of one channel with two places.
/// peaks.add(&Tensor::f32([3, 1, 1, 2], vec![1.0, 2.0, 9.0, 0.0, 3.0, 4.0])?)?;
/// let best: Vec<usize> = peaks.channels()[0].iter().map(|peak| peak.image).collect();
/// assert_eq!((best, peaks.channels()[0][1].place), (vec![1, 2], [0, 1]));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Peaks {
    k: usize,
    images: usize,
    /// By channel, falling; of equal peaks the earlier image first.
    channels: Vec<Vec<Peak>>,
}

impl Peaks {
    /// Of no images yet; at most `k` will be kept for each channel.
    pub fn new(k: usize) -> Self {
        Self { k, images: 0, channels: Vec::new() }
    }

    /// Adds what a layer gave for the next images: `[images, channels, height, width]` or `[images, channels]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for another shape, other channels than before, or a number that is none.
    pub fn add(&mut self, activations: &Tensor) -> Result<()> {
        let (count, channels, width) = match *activations.shape() {
            [count, channels] => (count, channels, 1),
            [count, channels, _, width] => (count, channels, width),
            ref other => {
                let problem = format!("expected [images, channels, height, width], found {other:?}");
                return Err(Error::argument("activations", problem));
            }
        };
        if self.images == 0 {
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
            let image = self.images + plane / channels;
            self.keep(
                plane % channels,
                Peak { image, place: [best / width, best % width], value: values[best] },
            );
        }
        self.images += count;
        Ok(())
    }

    fn keep(&mut self, channel: usize, peak: Peak) {
        let best = &mut self.channels[channel];
        // Earlier images come first, so a new one goes behind its equals.
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

    /// How many images were added.
    pub fn images(&self) -> usize {
        self.images
    }
}

/// The `k` images that excite each channel of a layer the most. Images are normalised ones, NCHW; memory is for what
/// a few batches of them give.
///
/// # Errors
///
/// [`Error::Argument`] if `k` is 0 or more than there are images, or the layer is unknown; else as
/// [`Probe::run`](super::Probe::run).
pub fn peaks(lens: &Lens, images: &[f32], layer: &str, k: usize) -> Result<Peaks> {
    let count = images.len() / lens.image_len();
    if k == 0 || k > count {
        let problem = format!("expected from 1 to {count}, which are all images, found {k}");
        return Err(Error::argument("top", problem));
    }
    let mut probe = lens.probe(&[layer])?;
    let mut peaks = Peaks::new(k);
    for images in images.chunks(super::BATCHES * lens.batch() * lens.image_len()) {
        peaks.add(&probe.only(images)?)?;
    }
    Ok(peaks)
}
