//! Images as spectra: the parametrization of Olah, Mordvintsev and Schubert (2017, "Feature visualization").

use super::Prior;
use super::prior::logit;
use nalgebra::DMatrix;

/// Maps coefficients to the pixels of an image, and gradients back.
///
/// Each plane of coefficients is the Hartley spectrum of a plane of decorrelated color, relative to a typical image. Steps of
/// equal length in all coefficients therefore change an image the way images differ: large shapes more than details,
/// brightness more than hue. A logistic function keeps pixels between 0 and 1.
pub(super) struct Spectrum<'a> {
    prior: &'a Prior,
    /// Transforms along columns and along rows.
    transforms: [DMatrix<f32>; 2],
    /// Amplitude of each frequency.
    amplitudes: Vec<f32>,
}

/// Amplitudes fall with this power of the frequency. In natural images it is about 1; a larger one suppresses noise.
const FALL: f32 = 1.25;

impl<'a> Spectrum<'a> {
    /// Coefficients of standard normal noise give images with the mean and the colors of `prior`.
    pub fn new(prior: &'a Prior) -> Self {
        let [height, width] = prior.size;
        let transforms = [hartley(height), hartley(width)];
        Self { prior, transforms, amplitudes: amplitudes(prior.size) }
    }

    /// Number of coefficients.
    pub fn len(&self) -> usize {
        self.prior.mean.len()
    }

    /// The pixels of an image, CHW, from 0 to 1.
    pub fn pixels(&self, coefficients: &[f32]) -> Vec<f32> {
        let planes = self.transform(&self.weighted(coefficients));
        let mut pixels = mix(&self.prior.colors, &planes);
        for (value, mean) in pixels.iter_mut().zip(&self.prior.mean) {
            *value = 1.0 / (1.0 + (-*value - mean).exp());
        }
        pixels
    }

    /// The gradient with respect to the coefficients, from that with respect to the pixels.
    pub fn gradient(&self, pixels: &[f32], upstream: &[f32]) -> Vec<f32> {
        let logits: Vec<f32> =
            pixels.iter().zip(upstream).map(|(pixel, gradient)| gradient * pixel * (1.0 - pixel)).collect();
        self.weighted(&self.transform(&mix(&self.prior.colors.transpose(), &logits)))
    }

    /// The coefficients of an image; the inverse of [`pixels`](Self::pixels), except for black and white.
    pub fn coefficients(&self, pixels: &[f32]) -> Vec<f32> {
        let logits: Vec<f32> =
            pixels.iter().zip(&self.prior.mean).map(|(pixel, mean)| logit(*pixel) - mean).collect();
        let inverse = self.prior.colors.clone().try_inverse().expect("no color has a deviation of 0");
        let planes = self.transform(&mix(&inverse, &logits));
        planes
            .iter()
            .zip(self.amplitudes.iter().cycle())
            .map(|(value, amplitude)| value / amplitude)
            .collect()
    }

    fn weighted(&self, planes: &[f32]) -> Vec<f32> {
        planes
            .iter()
            .zip(self.amplitudes.iter().cycle())
            .map(|(value, amplitude)| value * amplitude)
            .collect()
    }

    /// The two-dimensional Hartley transform of each plane, which is its own inverse and its own adjoint.
    fn transform(&self, planes: &[f32]) -> Vec<f32> {
        let [height, width] = self.prior.size;
        let [down, along] = &self.transforms;
        let of_plane = |plane: &[f32]| {
            // nalgebra stores matrices in column-major order, so this is the transposed plane.
            let plane = DMatrix::from_column_slice(width, height, plane);
            (along * plane * down).as_slice().to_vec()
        };
        planes.chunks_exact(height * width).flat_map(of_plane).collect()
    }
}

/// The orthonormal Hartley transform as a matrix, a Fourier transform in real numbers: symmetric and its own inverse.
fn hartley(len: usize) -> DMatrix<f32> {
    DMatrix::from_fn(len, len, |row, column| {
        let angle = std::f64::consts::TAU * (row * column % len) as f64 / len as f64;
        ((angle.cos() + angle.sin()) / (len as f64).sqrt()) as f32
    })
}

/// The amplitude of each frequency, with a mean square of 1.
fn amplitudes([height, width]: [usize; 2]) -> Vec<f32> {
    let frequency = |index: usize, len: usize| index.min(len - index) as f32 / len as f32;
    let lowest = 1.0 / height.max(width) as f32;
    let amplitude =
        |i: usize| frequency(i / width, height).hypot(frequency(i % width, width)).max(lowest).powf(-FALL);
    let amplitudes: Vec<f32> = (0..height * width).map(amplitude).collect();
    let rms = (amplitudes.iter().map(|a| a * a).sum::<f32>() / amplitudes.len() as f32).sqrt();
    amplitudes.iter().map(|amplitude| amplitude / rms).collect()
}

/// Mixes planes by a matrix.
fn mix(matrix: &DMatrix<f32>, planes: &[f32]) -> Vec<f32> {
    let planes = DMatrix::from_column_slice(planes.len() / matrix.ncols(), matrix.ncols(), planes);
    (planes * matrix.transpose()).as_slice().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;

    const SIZE: [usize; 2] = [5, 8];

    fn prior() -> Prior {
        let mean = (0..120).map(|i| (i % 7) as f32 / 7.0 - 0.5).collect();
        let colors = DMatrix::from_row_slice(3, 3, &[0.9, 0.4, 0.1, 1.0, 0.0, -0.2, 1.1, -0.4, 0.1]);
        Prior { size: SIZE, mean, colors }
    }

    #[test]
    fn coefficients_invert_pixels() {
        let (prior, mut rng) = (prior(), SplitMix64::new(1));
        let spectrum = Spectrum::new(&prior);
        let coefficients: Vec<f32> = (0..spectrum.len()).map(|_| 0.5 * rng.normal() as f32).collect();
        let found = spectrum.coefficients(&spectrum.pixels(&coefficients));
        for (found, expected) in found.iter().zip(&coefficients) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
    }

    #[test]
    fn gradients_match_central_differences() {
        let (prior, mut rng) = (prior(), SplitMix64::new(2));
        let spectrum = Spectrum::new(&prior);
        let mut draw = || (0..120).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
        let (coefficients, upstream) = (draw(), draw());
        let gradient = spectrum.gradient(&spectrum.pixels(&coefficients), &upstream);
        let value = |coefficients: &[f32]| -> f64 {
            let pixels = spectrum.pixels(coefficients);
            pixels.iter().zip(&upstream).map(|(a, b)| f64::from(a * b)).sum()
        };
        for index in [0, 1, 17, 39, 40, 77, 119] {
            let moved = |by: f32| {
                let mut moved = coefficients.clone();
                moved[index] += by;
                value(&moved)
            };
            let expected = (moved(0.05) - moved(-0.05)) / 0.1;
            let found = f64::from(gradient[index]);
            assert!((found - expected).abs() < 2e-3, "{index}: {found} {expected}");
        }
    }
}
