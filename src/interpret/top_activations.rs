//! Top activations: the images that excite each channel of a layer most.

use super::Lens;
use crate::{Error, Result, Tensor};

/// A channel's largest activation in an image.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct TopActivation {
    /// Index of the image, in the order they were added.
    #[serde(rename = "picture")]
    pub image: usize,
    /// Row and column of the activation; the first of equal ones.
    #[serde(rename = "place")]
    pub position: [usize; 2],
    /// The activation.
    pub value: f32,
}

/// The images with the largest activations of each channel, found in one pass that keeps no more than these.
///
/// ```
/// use striate::{Tensor, interpret::TopActivations};
/// let mut top = TopActivations::new(2);
/// // Three images, one channel, two positions.
/// top.add(&Tensor::f32([3, 1, 1, 2], vec![1.0, 2.0, 9.0, 0.0, 3.0, 4.0])?)?;
/// let best: Vec<usize> = top.channels()[0].iter().map(|top| top.image).collect();
/// assert_eq!((best, top.channels()[0][1].position), (vec![1, 2], [0, 1]));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TopActivations {
    k: usize,
    images: usize,
    /// For each channel, in decreasing order; equal activations in the order of their images.
    channels: Vec<Vec<TopActivation>>,
}

impl TopActivations {
    /// Starts with no images; keeps at most `k` per channel.
    pub fn new(k: usize) -> Self {
        Self { k, images: 0, channels: Vec::new() }
    }

    /// Adds a layer's output for the next images: `[images, channels, height, width]` or `[images, channels]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for any other shape, a different number of channels than before, or a NaN.
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
                "contain NaN; check that the weights suit the network",
            ));
        }
        let positions = activations.len() / (count * channels).max(1);
        for (plane, values) in activations.as_f32().chunks_exact(positions.max(1)).enumerate() {
            let larger = |best: usize, next: usize| if values[next] > values[best] { next } else { best };
            let best = (0..values.len()).fold(0, larger);
            let image = self.images + plane / channels;
            self.keep(
                plane % channels,
                TopActivation { image, position: [best / width, best % width], value: values[best] },
            );
        }
        self.images += count;
        Ok(())
    }

    fn keep(&mut self, channel: usize, top: TopActivation) {
        let best = &mut self.channels[channel];
        // Images come in order, so a new one goes after its equals.
        let rank = best.partition_point(|other| other.value >= top.value);
        if rank < self.k {
            best.insert(rank, top);
            best.truncate(self.k);
        }
    }

    /// For each channel, its largest activations in decreasing order.
    pub fn channels(&self) -> &[Vec<TopActivation>] {
        &self.channels
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.images
    }
}

/// The `k` images that excite each channel of these layers most, found in one pass over the images. `images` are normalized,
/// NCHW, and processed a few batches at a time.
///
/// # Errors
///
/// [`Error::Argument`] if `k` is 0 or exceeds the number of images, or a layer does not exist; otherwise as
/// [`Extractor::run`](super::Extractor::run).
pub fn top_activations(
    lens: &Lens,
    images: &[f32],
    layers: &[&str],
    k: usize,
) -> Result<Vec<TopActivations>> {
    let count = images.len() / lens.image_len();
    if k == 0 || k > count {
        let problem = format!("expected 1 to {count}, the number of images, found {k}");
        return Err(Error::argument("top", problem));
    }
    let mut tops = vec![TopActivations::new(k); layers.len()];
    lens.extractor(layers)?.run_in_parts(images, |layer, activations| tops[layer].add(activations))?;
    Ok(tops)
}
