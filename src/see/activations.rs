//! What a layer gives for images, and which of its units are good for nothing there.

use super::Lens;
use super::canvas::extremes;
use crate::{Result, Tensor};
use serde::Serialize;

/// What a layer gives for images.
#[derive(Clone, Debug)]
pub struct Activations {
    /// The layer's name.
    pub layer: String,
    /// `[images, channels, height, width]`, or `[images, features]`.
    pub values: Tensor,
    /// Of each channel, over all images and places.
    pub units: Vec<Unit>,
}

/// What a channel did over images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unit {
    /// The channel's number.
    pub channel: usize,
    /// Its smallest number.
    pub least: f32,
    /// Its largest number.
    pub most: f32,
    /// Its mean.
    pub mean: f64,
    /// Share of images and places where it is above 0.
    pub active: f64,
}

impl Unit {
    /// Whether it was nowhere above 0: a ReLU gave, or would give, nothing.
    pub fn is_dead(&self) -> bool {
        self.most <= 0.0
    }

    /// Whether it was above 0 everywhere: a ReLU never did anything.
    pub fn is_saturated(&self) -> bool {
        self.least > 0.0
    }
}

/// What layers give for images.
///
/// # Errors
///
/// As [`Lens::activations`].
pub fn activations(lens: &Lens, images: &[f32], layers: &[&str]) -> Result<Vec<Activations>> {
    let values = lens.activations(images, layers)?;
    let answer = |(layer, values): (&&str, Tensor)| Activations {
        layer: (*layer).to_owned(),
        units: units(&values),
        values,
    };
    Ok(layers.iter().zip(values).map(answer).collect())
}

fn units(values: &Tensor) -> Vec<Unit> {
    let (images, channels) = (values.shape()[0], values.shape()[1]);
    let pixels = values.len() / images / channels;
    let of_channel = |channel: usize| {
        let planes = values.as_f32().chunks_exact(pixels).skip(channel).step_by(channels);
        let numbers: Vec<f32> = planes.flatten().copied().collect();
        let [least, most] = extremes(&numbers);
        let count = numbers.len() as f64;
        Unit {
            channel,
            least,
            most,
            mean: numbers.iter().map(|n| f64::from(*n)).sum::<f64>() / count,
            active: numbers.iter().filter(|n| **n > 0.0).count() as f64 / count,
        }
    };
    (0..channels).map(of_channel).collect()
}
