//! Filters of convolutions.

use super::Lens;
use super::drawing::{min_max, planar_image};
use crate::{Error, Result, Tensor};
use image::RgbImage;

/// The filters of a convolution.
#[derive(Clone, Debug)]
pub struct FilterBank {
    /// Name of the layer.
    pub layer: String,
    /// `[filters, channels, height, width]`.
    pub weights: Tensor,
}

impl FilterBank {
    /// Number of filters, input channels, height, width.
    pub fn shape(&self) -> [usize; 4] {
        self.weights.shape().try_into().expect("convolution weights have four dimensions")
    }

    /// Each filter in turn, CHW.
    pub fn filters(&self) -> impl Iterator<Item = &[f32]> {
        let [filters, ..] = self.shape();
        self.weights.as_f32().chunks_exact(self.weights.len() / filters)
    }

    /// The filters as images, if they have one channel or three: gray is 0, and white or full color the
    /// [largest](Self::largest) magnitude of all.
    pub fn images(&self) -> impl Iterator<Item = RgbImage> {
        let [_, channels, height, width] = self.shape();
        let largest = self.largest();
        self.filters().map(move |filter| {
            let byte = |_: usize, index: usize| (127.5 + 127.5 * filter[index] / largest).round() as u8;
            planar_image([channels, height, width], byte)
        })
    }

    /// The largest magnitude of a weight, or 1 if all are 0.
    pub fn largest(&self) -> f32 {
        let [low, high] = min_max(self.weights.as_f32());
        if low == 0.0 && high == 0.0 { 1.0 } else { high.max(-low) }
    }
}

/// The filters of these layers; of the first convolution if `layers` is empty.
///
/// # Errors
///
/// [`Error::Argument`] if a layer does not exist or is not a convolution, naming convolutions inside it.
pub fn filters(lens: &Lens, layers: &[String]) -> Result<Vec<FilterBank>> {
    let first = lens.layers().iter().find(|layer| layer.filters.is_some());
    let layers = match (layers, first) {
        ([], Some(first)) => vec![first.name.clone()],
        _ => layers.to_vec(),
    };
    let bank = |name: &String| {
        let layer = lens.layer(name)?;
        let weights = layer.filters.as_ref().and_then(|weights| lens.weight(weights)).ok_or_else(|| {
            let convolutions = lens.layers().iter().filter(|other| other.filters.is_some());
            let inside =
                convolutions.map(|other| other.name.as_str()).filter(|other| other.starts_with(name));
            let inside = inside.take(3).collect::<Vec<_>>().join(", ");
            let hint = if inside.is_empty() { inside } else { format!("; it contains {inside}") };
            Error::argument("layer", format!("{name} is not a convolution and has no filters{hint}"))
        })?;
        Ok(FilterBank { layer: name.clone(), weights: weights.clone() })
    };
    layers.iter().map(bank).collect()
}
