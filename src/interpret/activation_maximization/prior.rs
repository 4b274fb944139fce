//! What typical images look like.

use super::PixelScale;
use crate::interpret::{Lens, blur::blur};
use crate::{Error, Result};
use nalgebra::{DMatrix, SymmetricEigen};

/// The mean and the colors of typical images. All values are logits, so that any of them is a valid image.
pub(super) struct Prior {
    /// Height and width.
    pub size: [usize; 2],
    /// The mean image, CHW.
    pub mean: Vec<f32>,
    /// A square root of the covariance of the channels: from planes of independent colors to channels.
    pub colors: DMatrix<f32>,
}

/// The colors of photographs, measured on the test images of CIFAR-10: for red, green and blue, the brightness, orange against
/// blue, and purple against green.
#[rustfmt::skip]
const PHOTOGRAPHS: [f32; 9] = [
    1.32, 0.46, 0.13,
    1.35, 0.04, -0.24,
    1.43, -0.46, 0.11,
];
/// Deviation of the brightness of photographs.
const GRAY: f32 = 1.35;
/// Least deviation of a color relative to the largest one, as gray images have just one.
const LEAST: f32 = 0.01;

impl Prior {
    /// Like these normalized images. Without images, like photographs with the mean of the network's normalization.
    pub fn of(lens: &Lens, scale: &PixelScale<'_>, images: &[f32]) -> Result<Self> {
        let [channels, height, width] = lens.image_shape();
        let size = [height, width];
        if images.is_empty() {
            let colors = match channels {
                3 => DMatrix::from_row_slice(3, 3, &PHOTOGRAPHS),
                _ => DMatrix::identity(channels, channels) * GRAY,
            };
            let mean = &lens.preprocessing().normalization.mean;
            let mean = mean.iter().flat_map(|mean| vec![logit(*mean); height * width]).collect();
            return Ok(Self { size, mean, colors });
        }
        let len = lens.image_len();
        if !images.len().is_multiple_of(len) {
            let problem =
                format!("{} values are not a multiple of {len}, the size of an image", images.len());
            return Err(Error::argument("images", problem));
        }
        let mut logits: Vec<f32> = scale.pixels(images).into_iter().map(logit).collect();
        let count = logits.len() / len;
        let mut mean = vec![0.0; len];
        for image in logits.chunks_exact(len) {
            mean.iter_mut().zip(image).for_each(|(mean, value)| *mean += value / count as f32);
        }
        // The mean of a few images still shows each of them; that of many is smooth.
        blur(&mut mean, size, height.max(width) as f32 / (count as f32).sqrt());
        logits.chunks_exact_mut(len).for_each(|image| {
            image.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
        });
        Ok(Self { size, mean, colors: colors(&logits, channels, height * width) })
    }
}

/// A square root of the covariance of the channels of centered images.
fn colors(centered: &[f32], channels: usize, plane: usize) -> DMatrix<f32> {
    let mut covariance = DMatrix::<f32>::zeros(channels, channels);
    for image in centered.chunks_exact(channels * plane) {
        let image = DMatrix::from_column_slice(plane, channels, image);
        covariance += image.tr_mul(&image) / centered.len() as f32 * channels as f32;
    }
    let eigen = SymmetricEigen::new(covariance);
    let deviations = eigen.eigenvalues.map(|variance: f32| variance.max(0.0).sqrt());
    let least = (LEAST * deviations.max()).max(f32::MIN_POSITIVE);
    eigen.eigenvectors * DMatrix::from_diagonal(&deviations.map(|deviation| deviation.max(least)))
}

/// The logit of a pixel from 0 to 1. Black and white, whose logits are infinite, become almost black and white.
pub(super) fn logit(pixel: f32) -> f32 {
    let pixel = pixel.clamp(0.02, 0.98);
    (pixel / (1.0 - pixel)).ln()
}
