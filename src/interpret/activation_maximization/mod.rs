//! Activation maximization: images that excite a unit, made by gradient ascent (Erhan et al. 2009, "Visualizing higher-layer
//! features"). Without a prior the result is noise, so images are spectra with natural amplitudes and colors, and have to
//! excite the unit from slightly different views (Olah, Mordvintsev and Schubert 2017, "Feature visualization").

mod prior;
mod sketch;
mod spectrum;
mod units;
mod warp;

use super::{Lens, check_not_zero};
use crate::data::Normalization;
use crate::error::require;
use crate::{Error, Result, Tensor};
use prior::Prior;
use rayon::prelude::*;
use sketch::Sketch;
use spectrum::Spectrum;
use units::UnitGradients;
use warp::Warp;

/// Gradient ascent to images that excite a channel or a class.
///
/// ```
/// use striate::interpret::{ActivationMaximization, Lens};
///
/// # let device = striate::Device::select("cpu")?;
/// # let model = striate::models::LeNet { in_channels: 1, classes: 10 };
/// # let mut predictor = striate::infer::Predictor::new(&device, &model, [28, 28], 1)?;
/// # predictor.session().initialize(1)?;
/// # let weights = predictor.session().state_dict()?;
/// # let preprocessing = striate::data::Preprocessing::named("fashion-mnist")?;
/// # let lens = striate::interpret::Lens::new(&device, &model, weights, preprocessing, 8)?;
/// let ascent = ActivationMaximization { steps: 8, ..Default::default() };
/// // Images for classes 3 and 7.
/// let made = ascent.run(&lens, Lens::LOGITS, &[3, 7])?;
/// assert_eq!(made.images.shape(), [2, 1, 28, 28]);
/// assert!(made.after[0] > made.before[0] && made.after[1] > made.before[1]);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationMaximization {
    /// Number of steps.
    pub steps: usize,
    /// Learning rate of Adam at the first step; it decays to 0 as a cosine. Coefficients of typical images have a deviation
    /// of 1.
    pub rate: f32,
    /// How much the view of the image changes at random before each step.
    pub distortion: Distortion,
    /// How strongly images of the same channel are driven apart: the weight of the cosine similarity of their mean
    /// activations in the layer.
    pub diversity: f32,
    /// Seed for the initial noise and the distortions.
    pub seed: u64,
}

/// Ranges of random changes of the view. Beyond its borders the image repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// Largest shift, as a fraction of the shorter side.
    pub shift: f32,
    /// Largest rotation, in degrees.
    pub rotation: f32,
    /// Largest factor of enlargement and of reduction.
    pub zoom: f32,
}

impl Default for ActivationMaximization {
    fn default() -> Self {
        let distortion = Distortion { shift: 0.04, rotation: 5.0, zoom: 1.1 };
        Self { steps: 64, rate: 0.15, distortion, diversity: 0.5, seed: 0 }
    }
}

/// What the images start from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start<'a> {
    /// Typical images, normalized, NCHW: the images start with their mean and vary in their colors. If empty, those of
    /// photographs.
    pub typical: &'a [f32],
    /// A normalized image for each channel to start from, instead of faint noise around the mean.
    pub images: Option<&'a [f32]>,
}

/// The images and how much they excite their units.
#[derive(Clone, Debug)]
pub struct MaximizedImages {
    /// One normalized image per channel, NCHW.
    pub images: Tensor,
    /// Mean activation of each channel on its initial image.
    pub before: Vec<f32>,
    /// Mean activation of each channel on its final image.
    pub after: Vec<f32>,
    /// Largest activation of each channel at any position of its final image.
    pub largest: Vec<f32>,
}

impl ActivationMaximization {
    /// Makes an image for each of these channels of a layer, starting from noise; channels of [`Lens::LOGITS`] are classes.
    /// A channel that is listed several times gets different images. The images of a channel depend only on it and the seed,
    /// not on which other channels there are.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the layer or a channel does not exist, `steps` or the number of channels is 0, or another setting is
    /// out of range.
    pub fn run(&self, lens: &Lens, layer: &str, channels: &[usize]) -> Result<MaximizedImages> {
        self.run_from(Start::default(), lens, layer, channels, &mut || ())
    }

    /// As [`run`](Self::run) from a given start, calling `on_step` after each step.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); [`Error::Argument`] if the images of `start` do not have the size that the network expects, or
    /// are not one per channel.
    pub fn run_from(
        &self,
        start: Start<'_>,
        lens: &Lens,
        layer: &str,
        channels: &[usize],
        on_step: &mut dyn FnMut(),
    ) -> Result<MaximizedImages> {
        check_not_zero("steps", self.steps)?;
        check_not_zero("channels", channels.len())?;
        let Distortion { shift, rotation, zoom } = self.distortion;
        let settings =
            [("rate", self.rate), ("shift", shift), ("rotation", rotation), ("diversity", self.diversity)];
        for (name, value) in settings {
            require(name, value >= 0.0 && value.is_finite(), "finite and not negative", value)?;
        }
        require("zoom", zoom >= 1.0 && zoom.is_finite(), "finite and at least 1", zoom)?;
        let [colors, height, width] = lens.image_shape();
        let scale = PixelScale::of(lens);
        let prior = Prior::of(lens, &scale, start.typical)?;
        let spectrum = Spectrum::new(&prior);
        let mut units = UnitGradients::new(lens, layer, channels, self.diversity)?;
        let mut sketches = self.sketches(start.images, lens, &spectrum, channels)?;
        let normalized = |sketches: &[Sketch]| -> Vec<f32> {
            sketches.par_iter().flat_map(|sketch| scale.normalized(sketch.pixels())).collect()
        };
        let (before, _) = units.responses(&normalized(&sketches))?;
        for step in 0..self.steps {
            let distort = |sketch: &mut Sketch| {
                let warp = Warp::random(sketch.rng(), &self.distortion, [height, width]);
                (scale.normalized(&warp.apply(sketch.pixels())), warp)
            };
            let (views, warps): (Vec<Vec<f32>>, Vec<Warp>) = sketches.par_iter_mut().map(distort).unzip();
            let gradients = units.directions(&views.concat())?;
            let rate = self.rate_at(step);
            let gradients = gradients.par_chunks_exact(lens.image_len());
            sketches.par_iter_mut().zip(warps).zip(gradients).for_each(|((sketch, warp), gradient)| {
                sketch.step(&spectrum, &warp.adjoint(&scale.gradient(gradient)), rate);
            });
            on_step();
        }
        let images = normalized(&sketches);
        let (after, largest) = units.responses(&images)?;
        let images = Tensor::f32([channels.len(), colors, height, width], images)?;
        Ok(MaximizedImages { images, before, after, largest })
    }

    fn rate_at(&self, step: usize) -> f32 {
        let progress = step as f32 / self.steps as f32;
        self.rate * 0.5 * (1.0 + (std::f32::consts::PI * progress).cos())
    }

    /// The initial image of each channel.
    fn sketches(
        &self,
        start: Option<&[f32]>,
        lens: &Lens,
        spectrum: &Spectrum<'_>,
        channels: &[usize],
    ) -> Result<Vec<Sketch>> {
        let (len, scale) = (lens.image_len(), PixelScale::of(lens));
        if let Some(images) = start.filter(|images| images.len() != channels.len() * len) {
            let problem = format!(
                "expected {} images of {len} values to start from, one per channel, found {} values",
                channels.len(),
                images.len()
            );
            return Err(Error::argument("images", problem));
        }
        let sketch = |index: usize| {
            let channel = channels[index];
            let earlier = channels[..index].iter().filter(|other| **other == channel).count();
            let key = [channel as u64, earlier as u64];
            let image = start.map(|images| scale.pixels(&images[index * len..][..len]));
            Sketch::new(spectrum, image.as_deref(), self.seed, &key)
        };
        Ok((0..channels.len()).map(sketch).collect())
    }
}

/// Converts between pixels from 0 to 1 and normalized ones.
struct PixelScale<'a> {
    normalization: &'a Normalization,
    /// Pixels per channel.
    plane: usize,
}

impl<'a> PixelScale<'a> {
    fn of(lens: &'a Lens) -> Self {
        let [_, height, width] = lens.image_shape();
        Self { normalization: &lens.preprocessing().normalization, plane: height * width }
    }

    /// Applies `convert` to each value with the mean and the deviation of its channel.
    fn convert(&self, values: &[f32], convert: impl Fn(f32, f32, f32) -> f32) -> Vec<f32> {
        let Normalization { mean, std } = self.normalization;
        let channels = mean.iter().zip(std).cycle();
        let planes = values.chunks_exact(self.plane).zip(channels);
        planes
            .flat_map(|(plane, (mean, std))| plane.iter().map(|value| convert(*value, *mean, *std)))
            .collect()
    }

    fn normalized(&self, pixels: &[f32]) -> Vec<f32> {
        self.convert(pixels, |pixel, mean, std| (pixel - mean) / std)
    }

    fn pixels(&self, normalized: &[f32]) -> Vec<f32> {
        self.convert(normalized, |value, mean, std| value * std + mean)
    }

    /// The gradient with respect to pixels, from that with respect to normalized ones.
    fn gradient(&self, normalized: &[f32]) -> Vec<f32> {
        self.convert(normalized, |value, _, std| value / std)
    }
}
