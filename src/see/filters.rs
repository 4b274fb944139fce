//! The filters of convolutions as they are.

use super::Lens;
use super::canvas::extremes;
use crate::{Error, Result, Tensor};

/// The filters of a convolution.
#[derive(Clone, Debug)]
pub struct FilterBank {
    /// The layer's name.
    pub layer: String,
    /// `[filters, channels, height, width]`.
    pub weights: Tensor,
}

impl FilterBank {
    /// Filters, channels that each looks at, height, width.
    pub fn shape(&self) -> [usize; 4] {
        self.weights.shape().try_into().expect("filters of a convolution have four sides")
    }

    /// Whether filters look at red, green and blue.
    pub fn is_colour(&self) -> bool {
        self.shape()[1] == 3
    }

    /// The filters one by one, CHW.
    pub fn filters(&self) -> impl Iterator<Item = &[f32]> {
        let [filters, ..] = self.shape();
        self.weights.as_f32().chunks_exact(self.weights.len() / filters)
    }

    /// The largest magnitude of a weight, or 1 if all are 0.
    pub fn largest(&self) -> f32 {
        let [low, high] = extremes(self.weights.as_f32());
        if low == 0.0 && high == 0.0 { 1.0 } else { high.max(-low) }
    }
}

/// The filters of convolutions by the names of their layers; of the first convolution if there is no name.
///
/// # Errors
///
/// [`Error::Argument`] if there is no such layer, or it is no convolution; it names those that are near.
pub fn filters(lens: &Lens, layers: &[String]) -> Result<Vec<FilterBank>> {
    let first = lens.layers().iter().find(|layer| layer.filters.is_some());
    let layers = match (layers, first) {
        ([], Some(first)) => vec![first.name.clone()],
        _ => layers.to_vec(),
    };
    let bank = |name: &String| {
        let layer = lens.layer(name)?;
        let inside = || {
            let within = lens.layers().iter().filter(|other| other.filters.is_some());
            let near =
                within.filter(|other| other.name.starts_with(name.as_str())).map(|other| other.name.as_str());
            near.take(3).collect::<Vec<_>>().join(", ")
        };
        let weights = layer.filters.as_ref().and_then(|weights| lens.weight(weights)).ok_or_else(|| {
            let near = match inside() {
                none if none.is_empty() => String::new(),
                names => format!("; in it are {names}"),
            };
            Error::argument("layer", format!("{name} is no convolution and has no filters{near}"))
        })?;
        Ok(FilterBank { layer: name.clone(), weights: weights.clone() })
    };
    layers.iter().map(bank).collect()
}
