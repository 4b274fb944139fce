//! Activations of layers, and statistics that reveal dead and saturated channels.

use super::Lens;
use super::drawing::min_max;
use crate::{Result, Tensor};
use serde::Serialize;

/// A layer's activations over a set of images.
#[derive(Clone, Debug)]
pub struct Activations {
    /// The layer's name.
    pub layer: String,
    /// `[images, channels, height, width]`, or `[images, features]`.
    pub values: Tensor,
    /// Statistics of each channel over all images and positions.
    pub channels: Vec<ChannelStats>,
}

/// Statistics of a channel over a set of images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChannelStats {
    /// Index of the channel.
    pub channel: usize,
    /// Smallest activation.
    #[serde(rename = "least")]
    pub min: f32,
    /// Largest activation.
    #[serde(rename = "most")]
    pub max: f32,
    /// Mean activation.
    pub mean: f64,
    /// Fraction of images and positions with an activation above 0.
    pub active: f64,
}

impl ChannelStats {
    /// Whether no activation is above 0, so that a ReLU outputs nothing but zeros.
    pub fn is_dead(&self) -> bool {
        self.max <= 0.0
    }

    /// Whether every activation is above 0, so that a ReLU never clips.
    pub fn is_saturated(&self) -> bool {
        self.min > 0.0
    }
}

/// Activations of several layers, with their statistics.
///
/// # Errors
///
/// As [`Lens::activations`].
pub fn activations(lens: &Lens, images: &[f32], layers: &[&str]) -> Result<Vec<Activations>> {
    let values = lens.activations(images, layers)?;
    let with_stats = |(layer, values): (&&str, Tensor)| Activations {
        layer: (*layer).to_owned(),
        channels: channel_stats(&values),
        values,
    };
    Ok(layers.iter().zip(values).map(with_stats).collect())
}

fn channel_stats(values: &Tensor) -> Vec<ChannelStats> {
    let (images, channels) = (values.shape()[0], values.shape()[1]);
    let pixels = values.len() / images / channels;
    let stats = |channel: usize| {
        let planes = values.as_f32().chunks_exact(pixels).skip(channel).step_by(channels);
        let values: Vec<f32> = planes.flatten().copied().collect();
        let [min, max] = min_max(&values);
        let count = values.len() as f64;
        ChannelStats {
            channel,
            min,
            max,
            mean: values.iter().map(|n| f64::from(*n)).sum::<f64>() / count,
            active: values.iter().filter(|n| **n > 0.0).count() as f64 / count,
        }
    };
    (0..channels).map(stats).collect()
}
