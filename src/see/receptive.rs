//! What a unit sees of the images: all that it can depend on, and how much it does.

use super::Lens;
use crate::graph::ReluRule;
use crate::{Error, Result, Tensor};
use std::ops::Range;

/// How much a layer's units in the middle depend on each pixel.
#[derive(Clone, Debug)]
pub struct EffectiveField {
    /// Row and column of the units.
    pub place: [usize; 2],
    /// The rows and columns of pixels that they can depend on, by the network's structure; some may lie in the padding.
    pub theoretical: [Range<isize>; 2],
    /// `[height, width]` of the images: the magnitude of the gradient, its mean over images and summed over colours.
    pub magnitude: Tensor,
}

impl EffectiveField {
    /// Side of a square of as many pixels as have more than 4.55 % of the largest magnitude, which are those within two
    /// standard deviations where the field is a Gaussian (Luo et al. 2016, section 3.1).
    pub fn size(&self) -> f64 {
        let magnitudes = self.magnitude.as_f32();
        let largest = magnitudes.iter().copied().fold(0.0, f32::max);
        (magnitudes.iter().filter(|m| **m > 0.0455 * largest).count() as f64).sqrt()
    }

    /// The smallest box of rows and columns outside of which no pixel has influence; `None` if none has any.
    pub fn extent(&self) -> Option<[Range<usize>; 2]> {
        let width = self.magnitude.shape()[1];
        let seen = self.magnitude.as_f32().iter().enumerate().filter(|(_, m)| **m != 0.0);
        seen.map(|(i, _)| [i / width, i % width].map(|x| x..x + 1))
            .reduce(|a, b| std::array::from_fn(|i| a[i].start.min(b[i].start)..a[i].end.max(b[i].end)))
    }
}

/// How the middle of a layer depends on pixels: the gradient with respect to the images of the unit in the middle of
/// `channel`, or of the sum of those of all channels, on average over images.
///
/// After Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural networks": what a
/// unit depends on is a small part of what it could, and falls off from the middle like a Gaussian. Images are
/// normalised ones, NCHW; memory is for a few batches of them.
///
/// # Errors
///
/// [`Error::Argument`] for an unknown layer or channel; else as [`Gradients::run`](super::Gradients::run).
pub fn effective_field(
    lens: &Lens,
    images: &[f32],
    layer: &str,
    channel: Option<usize>,
) -> Result<EffectiveField> {
    let found = lens.layer(layer)?;
    channel.map_or(Ok(()), |channel| found.check_channel(channel))?;
    let axes = lens.receptive_field(layer)?;
    let sides = |i: usize| found.shape.get(1 + i).copied().unwrap_or(1);
    let (place, pixels) = ([sides(0) / 2, sides(1) / 2], found.pixels());
    let middle = place[0] * sides(1) + place[1];
    let channels = channel.map_or(0..found.channels(), |channel| channel..channel + 1);
    let [_, height, width] = lens.image_shape();
    let mut gradients = lens.gradients(layer, &[Lens::IMAGES], ReluRule::Exact)?;
    let mut sums = vec![0.0; height * width];
    for images in images.chunks(super::BATCHES * lens.batch() * lens.image_len()) {
        let found = gradients.run_from(images, |_, upstream| {
            channels.clone().for_each(|channel| upstream[channel * pixels + middle] = 1.0);
        })?;
        for (place, gradient) in found[1].as_f32().iter().enumerate() {
            sums[place % (height * width)] += f64::from(gradient.abs());
        }
    }
    let count = images.len() / lens.image_len();
    if count == 0 {
        return Err(Error::argument("images", "there are none; give at least one image"));
    }
    let magnitude = sums.iter().map(|sum| (sum / count as f64) as f32).collect();
    Ok(EffectiveField {
        place,
        theoretical: [axes[0].field(place[0]), axes[1].field(place[1])],
        magnitude: Tensor::f32([height, width], magnitude)?,
    })
}
