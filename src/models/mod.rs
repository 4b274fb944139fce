//! Networks people know by name.

mod lenet;
mod resnet;

pub use lenet::LeNet;
pub use resnet::{CifarResNet, CifarResNet18};

use crate::graph::ValueId;
use crate::nn::Builder;
use crate::{Error, Result};

/// A network: from pictures to logits.
pub trait Model {
    /// The name that [`by_name`] knows it by.
    fn name(&self) -> String;

    /// Channels of the pictures it takes.
    fn in_channels(&self) -> usize;

    /// Classes it tells apart.
    fn classes(&self) -> usize;

    /// Builds the network on `images` `[batch, channels, height, width]`; returns logits `[batch, classes]`.
    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId>;
}

/// What [`by_name`] knows, for messages.
pub const NAMES: &str = "lenet, resnet18-cifar and resnetN with N = 6n + 2 (resnet8, resnet14, resnet20, resnet32, resnet44, resnet56, resnet110, ...)";

/// A network by its name: `lenet`; the CIFAR-style ResNets of He et al. 2015, `resnetN` with N = 6n + 2
/// layers, of which those whose depths other ResNets are known by (50, 152) are called `cifar-resnet50`; and
/// `resnet18-cifar`, the ResNet-18 for small pictures.
pub fn by_name(name: &str, in_channels: usize, classes: usize) -> Result<Box<dyn Model>> {
    let unknown = |why: &str| Error::argument("model", format!("{name:?} {why}; there are {NAMES}"));
    match name {
        "lenet" => return Ok(Box::new(LeNet { in_channels, classes })),
        "resnet18-cifar" => return Ok(Box::new(CifarResNet18 { in_channels, classes })),
        _ => {}
    }
    let depth = name.strip_prefix("cifar-").unwrap_or(name).strip_prefix("resnet");
    let depth: usize = depth.and_then(|d| d.parse().ok()).ok_or_else(|| unknown("is not known"))?;
    if depth < 8 || depth % 6 != 2 {
        return Err(unknown("has no such depth"));
    }
    if (depth == 50 || depth == 152) && !name.starts_with("cifar-") {
        return Err(unknown(&format!(
            "names a network for large pictures; for the small one say cifar-{name}"
        )));
    }
    Ok(Box::new(CifarResNet { blocks: (depth - 2) / 6, in_channels, classes }))
}
