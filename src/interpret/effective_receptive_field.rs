//! Effective receptive fields: how much a unit depends on each pixel of its receptive field.

use super::Lens;
use crate::graph::ReluRule;
use crate::{Error, Result, Tensor};
use std::ops::Range;

/// How much the center unit of a layer depends on each pixel.
#[derive(Clone, Debug)]
pub struct EffectiveReceptiveField {
    /// Row and column of the unit.
    pub unit: [usize; 2],
    /// Its theoretical receptive field, as rows and columns of pixels; some may lie in the padding.
    pub theoretical: [Range<isize>; 2],
    /// `[height, width]`: magnitude of the gradient, summed over color channels and averaged over images.
    pub magnitude: Tensor,
}

impl EffectiveReceptiveField {
    /// Side of a square with as many pixels as exceed 4.55 % of the largest magnitude. For a Gaussian field these are the
    /// pixels within two standard deviations (Luo et al. 2016, section 3.1).
    pub fn size(&self) -> f64 {
        let magnitudes = self.magnitude.as_f32();
        let largest = magnitudes.iter().copied().fold(0.0, f32::max);
        (magnitudes.iter().filter(|m| **m > 0.0455 * largest).count() as f64).sqrt()
    }

    /// The bounding box of all pixels with any influence; `None` if there are none.
    pub fn extent(&self) -> Option<[Range<usize>; 2]> {
        let width = self.magnitude.shape()[1];
        let seen = self.magnitude.as_f32().iter().enumerate().filter(|(_, m)| **m != 0.0);
        seen.map(|(i, _)| [i / width, i % width].map(|x| x..x + 1))
            .reduce(|a, b| std::array::from_fn(|i| a[i].start.min(b[i].start)..a[i].end.max(b[i].end)))
    }
}

/// Measures the effective receptive field of a layer's center unit: the gradient with respect to the images of `channel`, or
/// of the sum over all channels, averaged over images.
///
/// Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural networks", find it much
/// smaller than the theoretical field, with influence falling off from the center like a Gaussian. `images` are normalized,
/// NCHW, and processed a few batches at a time.
///
/// ```
/// use striate::interpret::effective_receptive_field;
/// # let device = striate::Device::select("cpu")?;
/// # let model = striate::models::LeNet { in_channels: 1, classes: 10 };
/// # let mut predictor = striate::infer::Predictor::new(&device, &model, [28, 28], 1)?;
/// # predictor.session().initialize(1)?;
/// # let weights = predictor.session().state_dict()?;
/// # let preprocessing = striate::data::Preprocessing::named("fashion-mnist")?;
/// # let lens = striate::interpret::Lens::new(&device, &model, weights, preprocessing, 8)?;
/// let images: Vec<f32> = (0..4 * 28 * 28).map(|pixel| (pixel % 31) as f32 / 15.0 - 1.0).collect();
/// let field = effective_receptive_field(&lens, &images, "conv2", None)?;
/// assert_eq!(field.theoretical, [8..22, 8..22]);
/// assert!(field.size() <= 14.0);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] for an unknown layer or channel; else as [`Gradients::run`](super::Gradients::run).
pub fn effective_receptive_field(
    lens: &Lens,
    images: &[f32],
    layer: &str,
    channel: Option<usize>,
) -> Result<EffectiveReceptiveField> {
    let found = lens.layer(layer)?;
    channel.map_or(Ok(()), |channel| found.check_channel(channel))?;
    let axes = lens.receptive_field(layer)?;
    let sides = |i: usize| found.shape.get(1 + i).copied().unwrap_or(1);
    let (position, pixels) = ([sides(0) / 2, sides(1) / 2], found.pixels());
    let middle = position[0] * sides(1) + position[1];
    let channels = channel.map_or(0..found.channels(), |channel| channel..channel + 1);
    let [_, height, width] = lens.image_shape();
    let mut gradients = lens.gradients(layer, &[Lens::IMAGES], ReluRule::Exact)?;
    let mut sums = vec![0.0; height * width];
    for images in images.chunks(super::BATCHES * lens.batch() * lens.image_len()) {
        let found = gradients.run_with_upstream(images, |_, upstream| {
            channels.clone().for_each(|channel| upstream[channel * pixels + middle] = 1.0);
        })?;
        for (position, gradient) in found[1].as_f32().iter().enumerate() {
            sums[position % (height * width)] += f64::from(gradient.abs());
        }
    }
    let count = images.len() / lens.image_len();
    if count == 0 {
        return Err(Error::argument("images", "there are none; give at least one image"));
    }
    let magnitude = sums.iter().map(|sum| (sum / count as f64) as f32).collect();
    Ok(EffectiveReceptiveField {
        unit: position,
        theoretical: [axes[0].pixels(position[0]), axes[1].pixels(position[1])],
        magnitude: Tensor::f32([height, width], magnitude)?,
    })
}
