//! Activation maximization: images that excite a unit, made from noise by gradient ascent (Erhan et al. 2009, "Visualizing
//! higher-layer features"). Jitter, blur and decay towards gray keep them from turning into high-frequency noise (Yosinski
//! et al. 2015, "Understanding neural networks through deep visualization").

use super::blur::blur;
use super::{Gradients, Layer, Lens, check_not_zero};
use crate::graph::ReluRule;
use crate::rng::SplitMix64;
use crate::{Result, Tensor};
use rayon::prelude::*;

/// Gradient ascent from noise to images that excite a channel or a class.
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
/// let ascent = ActivationMaximization { scales: 2, steps: 4, ..Default::default() };
/// // Images for classes 3 and 7.
/// let made = ascent.run(&lens, Lens::LOGITS, &[3, 7])?;
/// assert_eq!(made.images.shape(), [2, 1, 28, 28]);
/// assert!(made.after[0] > made.before[0] && made.after[1] > made.before[1]);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationMaximization {
    /// Number of scales, coarse to fine. Gradients are not smoothed on the last one, and twice as much on each one before it.
    pub scales: usize,
    /// Steps per scale.
    pub steps: usize,
    /// Step length on a pixel scale of 0 to 1: the root mean square over the image.
    pub rate: f32,
    /// The image is shifted by up to this many pixels before each step.
    pub jitter: usize,
    /// Sigma, in pixels, of the Gaussian that smooths the image after each step.
    pub blur: f32,
    /// Fraction by which each step pulls the image towards gray, which is the gradient of an L2 penalty.
    pub decay: f32,
    /// Seed for the initial noise and the jitter.
    pub seed: u64,
}

impl Default for ActivationMaximization {
    fn default() -> Self {
        Self { scales: 4, steps: 12, rate: 0.04, jitter: 4, blur: 0.4, decay: 0.01, seed: 0 }
    }
}

/// The images and how much they excite their units.
#[derive(Clone, Debug)]
pub struct MaximizedImages {
    /// One normalized image per channel, NCHW.
    pub images: Tensor,
    /// Mean activation of each channel on the initial noise.
    pub before: Vec<f32>,
    /// Mean activation of each channel on its final image.
    pub after: Vec<f32>,
}

impl ActivationMaximization {
    /// Makes an image for each of these channels of a layer; channels of [`Lens::LOGITS`] are classes. The result depends on
    /// the seed and the channel alone, not on which other channels are in the batch.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) if the layer or a channel does not exist, or `scales`, `steps` or the number
    /// of channels is 0.
    pub fn run(&self, lens: &Lens, layer: &str, channels: &[usize]) -> Result<MaximizedImages> {
        self.run_with_progress(lens, layer, channels, &mut || ())
    }

    /// As [`run`](Self::run), calling `on_step` after each of the `scales * steps` steps.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_with_progress(
        &self,
        lens: &Lens,
        layer: &str,
        channels: &[usize],
        on_step: &mut dyn FnMut(),
    ) -> Result<MaximizedImages> {
        check_not_zero("scales", self.scales)?;
        check_not_zero("steps", self.steps)?;
        check_not_zero("channels", channels.len())?;
        let mut unit = UnitGradients {
            lens,
            channels,
            gradients: lens.gradients(layer, &[Lens::IMAGES], ReluRule::Exact)?,
            layer,
            before_relu: None,
        };
        let mut sketches: Vec<Sketch> =
            channels.iter().map(|channel| Sketch::new(lens, self.seed, *channel)).collect();
        let before = unit.means(lens.layer(layer)?, &sketches)?;
        for scale in (0..self.scales).rev() {
            let smoothing = if scale == 0 { 0.0 } else { 0.5 * (1 << scale) as f32 };
            for _ in 0..self.steps {
                let shifts: Vec<[usize; 2]> =
                    sketches.iter_mut().map(|sketch| sketch.random_shift(self.jitter)).collect();
                let directions = unit.directions(&sketches, &shifts)?;
                let directions = directions.par_chunks_exact(lens.image_len());
                sketches.par_iter_mut().zip(shifts).zip(directions).for_each(
                    |((sketch, shift), gradient)| {
                        sketch.step(self, lens, shift, gradient, smoothing);
                    },
                );
                on_step();
            }
        }
        let after = unit.means(lens.layer(layer)?, &sketches)?;
        let images = sketches.iter().flat_map(|sketch| sketch.image(lens, [0, 0])).collect();
        let [colors, height, width] = lens.image_shape();
        Ok(MaximizedImages {
            images: Tensor::f32([channels.len(), colors, height, width], images)?,
            before,
            after,
        })
    }
}

/// Computes the gradient of each sketch's own channel.
struct UnitGradients<'a> {
    lens: &'a Lens,
    channels: &'a [usize],
    gradients: Gradients,
    layer: &'a str,
    /// Gradients of the layer's pre-activations, built when a channel first needs them.
    before_relu: Option<Gradients>,
}

impl UnitGradients<'_> {
    /// The gradient of each sketch's channel at the shifted sketch. Where ReLU zeroes the whole channel the gradient is zero
    /// too, so the pre-activation is maximized instead.
    fn directions(&mut self, sketches: &[Sketch], shifts: &[[usize; 2]]) -> Result<Vec<f32>> {
        let mut directions = self.evaluate(sketches, shifts)?.swap_remove(1).into_f32();
        let len = self.lens.image_len();
        let silent = |(_, gradient): &(usize, &[f32])| gradient.iter().all(|value| *value == 0.0);
        let silent: Vec<usize> =
            directions.chunks_exact(len).enumerate().filter(silent).map(|(unit, _)| unit).collect();
        if silent.is_empty() {
            return Ok(directions);
        }
        if self.before_relu.is_none() {
            self.before_relu = self.lens.gradients_before_relu(self.layer)?;
        }
        if let Some(before_relu) = &mut self.before_relu {
            let images: Vec<f32> =
                silent.iter().flat_map(|unit| sketches[*unit].image(self.lens, shifts[*unit])).collect();
            let channels: Vec<usize> = silent.iter().map(|unit| self.channels[*unit]).collect();
            let found = before_relu.run(&images, &channels)?.swap_remove(1);
            for (unit, gradient) in silent.iter().zip(found.as_f32().chunks_exact(len)) {
                directions[unit * len..][..len].copy_from_slice(gradient);
            }
        }
        Ok(directions)
    }

    /// The layer's output for the shifted sketches, then the gradients of their channels.
    fn evaluate(&mut self, sketches: &[Sketch], shifts: &[[usize; 2]]) -> Result<Vec<Tensor>> {
        let moved: Vec<Vec<f32>> =
            sketches.par_iter().zip(shifts).map(|(sketch, shift)| sketch.image(self.lens, *shift)).collect();
        self.gradients.run(&moved.concat(), self.channels)
    }

    /// The mean activation of each sketch's channel.
    fn means(&mut self, layer: &Layer, sketches: &[Sketch]) -> Result<Vec<f32>> {
        let values = self.evaluate(sketches, &vec![[0, 0]; sketches.len()])?.swap_remove(0);
        let pixels = layer.pixels();
        let mean = |(values, channel): (&[f32], &usize)| {
            values[channel * pixels..][..pixels].iter().sum::<f32>() / pixels as f32
        };
        Ok(values.as_f32().chunks_exact(layer.channels() * pixels).zip(self.channels).map(mean).collect())
    }
}

/// Mid-gray.
const GRAY: f32 = 0.5;

/// An image being optimized.
struct Sketch {
    /// CHW, from 0 to 1.
    pixels: Vec<f32>,
    rng: SplitMix64,
}

impl Sketch {
    /// Faint noise on gray.
    fn new(lens: &Lens, seed: u64, channel: usize) -> Self {
        let mut rng = SplitMix64::keyed(seed, &[channel as u64]);
        let pixels = (0..lens.image_len()).map(|_| GRAY + 0.05 * rng.normal() as f32).collect();
        Self { pixels, rng }
    }

    /// Up to `jitter` pixels down and to the right. Shifts wrap around, so up and to the left would add nothing.
    fn random_shift(&mut self, jitter: usize) -> [usize; 2] {
        [0; 2].map(|_: usize| (self.rng.unit() * (jitter + 1) as f64) as usize)
    }

    /// The sketch as network input: shifted with wrap-around, then normalized.
    fn image(&self, lens: &Lens, shift: [usize; 2]) -> Vec<f32> {
        let normalization = &lens.preprocessing().normalization;
        let mut image = self.pixels.clone();
        let plane = image.len() / normalization.mean.len();
        for (i, value) in image.iter_mut().enumerate() {
            let from = self.pixels[unshifted(lens, i, shift)];
            *value = (from - normalization.mean[i / plane]) / normalization.std[i / plane];
        }
        image
    }

    /// One ascent step along the gradient at the shifted image, then the regularizers.
    fn step(
        &mut self,
        ascent: &ActivationMaximization,
        lens: &Lens,
        shift: [usize; 2],
        gradient: &[f32],
        smoothing: f32,
    ) {
        let [_, height, width] = lens.image_shape();
        let std = &lens.preprocessing().normalization.std;
        let mut direction = vec![0.0; gradient.len()];
        for (i, value) in gradient.iter().enumerate() {
            direction[unshifted(lens, i, shift)] = value / std[i / (height * width)];
        }
        blur(&mut direction, [height, width], smoothing);
        let norm = (direction.iter().map(|n| n * n).sum::<f32>() / direction.len() as f32).sqrt();
        // A zero gradient has no direction.
        let rate = if norm > 0.0 { ascent.rate / norm } else { 0.0 };
        for (pixel, direction) in self.pixels.iter_mut().zip(&direction) {
            *pixel += rate * direction;
        }
        blur(&mut self.pixels, [height, width], ascent.blur);
        for pixel in &mut self.pixels {
            *pixel = (GRAY + (*pixel - GRAY) * (1.0 - ascent.decay)).clamp(0.0, 1.0);
        }
    }
}

/// The index, in the original CHW image, of the pixel at `index` in the image shifted with wrap-around.
fn unshifted(lens: &Lens, index: usize, [down, right]: [usize; 2]) -> usize {
    let [_, height, width] = lens.image_shape();
    let (plane, row, column) = (index / (height * width), index / width % height, index % width);
    let (row, column) = ((row + height - down % height) % height, (column + width - right % width) % width);
    (plane * height + row) * width + column
}
