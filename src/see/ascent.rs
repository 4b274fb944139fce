//! Images that a unit responds to, made from noise by gradient ascent (Erhan et al. 2009, "Visualizing higher-layer features"), with
//! what keeps them from being noise again: jitter, blur and a pull to grey (Yosinski et al. 2015, "Understanding neural networks
//! through deep visualization").

use super::blur::blur;
use super::{Gradients, Layer, Lens};
use crate::graph::ReluRule;
use crate::rng::SplitMix64;
use crate::{Error, Result, Tensor};
use rayon::prelude::*;

/// How images are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ascent {
    /// Scales, coarse to fine: on the last, gradients are as they are; on each before, smoothed twice as wide.
    pub scales: usize,
    /// Steps on each scale.
    pub steps: usize,
    /// How far a pixel moves in a step, on a scale of 0 to 1: the root of the mean square over the image.
    pub rate: f32,
    /// The image is moved up to so many pixels each way before each step.
    pub jitter: usize,
    /// Gaussian in pixels that smooths the image after each step.
    pub blur: f32,
    /// Share by which a step pulls the image to grey: the gradient of a penalty on its norm.
    pub decay: f32,
    /// Of the noise and the jitter.
    pub seed: u64,
}

impl Default for Ascent {
    fn default() -> Self {
        Self { scales: 4, steps: 12, rate: 0.04, jitter: 4, blur: 0.4, decay: 0.01, seed: 0 }
    }
}

/// What was made for units.
#[derive(Clone, Debug)]
pub struct Ascended {
    /// Normalised images, one a unit, NCHW.
    pub images: Tensor,
    /// By unit, its mean activation on the noise.
    pub before: Vec<f32>,
    /// By unit, its mean activation on the image made of it.
    pub after: Vec<f32>,
}

impl Ascent {
    /// Makes an image for each of these channels of a layer: of the logits, for classes. The same seed makes the same images, and a
    /// channel's depends on no other channel.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there is no such layer or channel, or scales or steps are 0.
    pub fn run(&self, lens: &Lens, layer: &str, channels: &[usize]) -> Result<Ascended> {
        self.run_watched(lens, layer, channels, &mut || ())
    }

    /// The same, with a call after each of the `scales * steps` steps.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_watched(
        &self,
        lens: &Lens,
        layer: &str,
        channels: &[usize],
        stepped: &mut dyn FnMut(),
    ) -> Result<Ascended> {
        for (name, value) in [("scales", self.scales), ("steps", self.steps), ("channels", channels.len())] {
            if value == 0 {
                return Err(Error::argument(name, "must be above 0, and is 0"));
            }
        }
        let mut unit = UnitProbe {
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
                stepped();
            }
        }
        let after = unit.means(lens.layer(layer)?, &sketches)?;
        let images = sketches.iter().flat_map(|sketch| sketch.image(lens, [0, 0])).collect();
        let [colors, height, width] = lens.image_shape();
        Ok(Ascended { images: Tensor::f32([channels.len(), colors, height, width], images)?, before, after })
    }
}

/// The network, asked for one unit by each sketch.
struct UnitProbe<'a> {
    lens: &'a Lens,
    channels: &'a [usize],
    gradients: Gradients,
    layer: &'a str,
    /// Those of what the layer's ReLU takes, made when the first unit needs them.
    before_relu: Option<Gradients>,
}

impl UnitProbe<'_> {
    /// The gradient of each sketch's unit at the moved sketch. A unit that gives nothing has none: there, that of what its ReLU takes.
    fn directions(&mut self, sketches: &[Sketch], shifts: &[[usize; 2]]) -> Result<Vec<f32>> {
        let mut directions = self.ask(sketches, shifts)?.swap_remove(1).into_f32();
        let len = self.lens.image_len();
        let silent = |(_, gradient): &(usize, &[f32])| gradient.iter().all(|number| *number == 0.0);
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

    /// What the layer gives for the sketches, and the gradients of their units.
    fn ask(&mut self, sketches: &[Sketch], shifts: &[[usize; 2]]) -> Result<Vec<Tensor>> {
        let moved: Vec<Vec<f32>> =
            sketches.par_iter().zip(shifts).map(|(sketch, shift)| sketch.image(self.lens, *shift)).collect();
        self.gradients.run(&moved.concat(), self.channels)
    }

    /// The mean activation of each sketch's unit.
    fn means(&mut self, layer: &Layer, sketches: &[Sketch]) -> Result<Vec<f32>> {
        let values = self.ask(sketches, &vec![[0, 0]; sketches.len()])?.swap_remove(0);
        let pixels = layer.pixels();
        let mean = |(values, channel): (&[f32], &usize)| {
            values[channel * pixels..][..pixels].iter().sum::<f32>() / pixels as f32
        };
        Ok(values.as_f32().chunks_exact(layer.channels() * pixels).zip(self.channels).map(mean).collect())
    }
}

/// Middle grey.
const GREY: f32 = 0.5;

/// An image being made.
struct Sketch {
    /// CHW, from 0 to 1.
    pixels: Vec<f32>,
    rng: SplitMix64,
}

impl Sketch {
    /// A little noise on grey.
    fn new(lens: &Lens, seed: u64, channel: usize) -> Self {
        let mut rng = SplitMix64::keyed(seed, &[channel as u64]);
        let pixels = (0..lens.image_len()).map(|_| GREY + 0.05 * rng.normal() as f32).collect();
        Self { pixels, rng }
    }

    /// Up to `jitter` pixels down and right; images are moved around, so that this is as good as up and left.
    fn random_shift(&mut self, jitter: usize) -> [usize; 2] {
        [0; 2].map(|_: usize| (self.rng.unit() * (jitter + 1) as f64) as usize)
    }

    /// As the network takes it, moved around by a shift.
    fn image(&self, lens: &Lens, shift: [usize; 2]) -> Vec<f32> {
        let normalization = &lens.preprocessing().normalization;
        let mut image = self.pixels.clone();
        let plane = image.len() / normalization.mean.len();
        for (i, number) in image.iter_mut().enumerate() {
            let from = self.pixels[unmoved(lens, i, shift)];
            *number = (from - normalization.mean[i / plane]) / normalization.std[i / plane];
        }
        image
    }

    /// One step up the gradient at the moved image, then what keeps it an image.
    fn step(&mut self, ascent: &Ascent, lens: &Lens, shift: [usize; 2], gradient: &[f32], smoothing: f32) {
        let [_, height, width] = lens.image_shape();
        let std = &lens.preprocessing().normalization.std;
        let mut direction = vec![0.0; gradient.len()];
        for (i, number) in gradient.iter().enumerate() {
            direction[unmoved(lens, i, shift)] = number / std[i / (height * width)];
        }
        blur(&mut direction, [height, width], smoothing);
        let norm = (direction.iter().map(|n| n * n).sum::<f32>() / direction.len() as f32).sqrt();
        // Where nothing changes the unit there is no way up.
        let rate = if norm > 0.0 { ascent.rate / norm } else { 0.0 };
        for (pixel, direction) in self.pixels.iter_mut().zip(&direction) {
            *pixel += rate * direction;
        }
        blur(&mut self.pixels, [height, width], ascent.blur);
        for pixel in &mut self.pixels {
            *pixel = (GREY + (*pixel - GREY) * (1.0 - ascent.decay)).clamp(0.0, 1.0);
        }
    }
}

/// The place in an image, CHW, that a place in the image moved around by a shift comes from.
fn unmoved(lens: &Lens, place: usize, [down, right]: [usize; 2]) -> usize {
    let [_, height, width] = lens.image_shape();
    let (plane, row, column) = (place / (height * width), place / width % height, place % width);
    let (row, column) = ((row + height - down % height) % height, (column + width - right % width) % width);
    (plane * height + row) * width + column
}
