//! An image in the making.

use super::Spectrum;
use crate::rng::SplitMix64;

/// An image whose coefficients are optimized by Adam (Kingma and Ba 2015).
pub(super) struct Sketch {
    coefficients: Vec<f32>,
    /// CHW, from 0 to 1.
    pixels: Vec<f32>,
    /// For each coefficient, moving averages of its gradient and of the square of it.
    moments: Vec<[f32; 2]>,
    steps: i32,
    rng: SplitMix64,
}

/// Deviation of the initial coefficients, where those of typical images have 1.
const NOISE: f32 = 0.01;
/// Adam's decay rates.
const DECAYS: [f32; 2] = [0.9, 0.99];
/// Added to the root mean square of a coefficient's gradient. Gradients have a root mean square of 1 over all coefficients,
/// so that this large value leaves the step of coefficients with small gradients, which are mostly noise, small.
const EPSILON: f32 = 1.0;

impl Sketch {
    /// Starts with an image, or with faint noise around the mean of typical ones.
    pub fn new(spectrum: &Spectrum<'_>, image: Option<&[f32]>, seed: u64, key: &[u64]) -> Self {
        let mut rng = SplitMix64::keyed(seed, key);
        let coefficients: Vec<f32> = match image {
            Some(pixels) => spectrum.coefficients(pixels),
            None => (0..spectrum.len()).map(|_| NOISE * rng.normal() as f32).collect(),
        };
        let (pixels, moments) = (spectrum.pixels(&coefficients), vec![[0.0; 2]; coefficients.len()]);
        Self { coefficients, pixels, moments, steps: 0, rng }
    }

    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// The image's own random numbers.
    pub fn rng(&mut self) -> &mut SplitMix64 {
        &mut self.rng
    }

    /// One step along the gradient with respect to the pixels.
    pub fn step(&mut self, spectrum: &Spectrum<'_>, gradient: &[f32], rate: f32) {
        let gradient = spectrum.gradient(&self.pixels, gradient);
        let rms = (gradient.iter().map(|n| n * n).sum::<f32>() / gradient.len() as f32).sqrt();
        // A zero gradient has no direction.
        if rms == 0.0 {
            return;
        }
        self.steps += 1;
        let [mean_weight, square_weight] = DECAYS.map(|decay| 1.0 - decay.powi(self.steps));
        let state = self.coefficients.iter_mut().zip(&mut self.moments);
        for ((coefficient, [mean, square]), gradient) in state.zip(gradient) {
            let gradient = gradient / rms;
            *mean += (1.0 - DECAYS[0]) * (gradient - *mean);
            *square += (1.0 - DECAYS[1]) * (gradient * gradient - *square);
            *coefficient += rate * (*mean / mean_weight) / ((*square / square_weight).sqrt() + EPSILON);
        }
        self.pixels = spectrum.pixels(&self.coefficients);
    }
}
