//! Networks people know by name.

mod alexnet;
mod cifar_resnet;
mod googlenet;
mod inception;
mod lenet;
mod names;
mod residual;
mod resnet;

pub use alexnet::{AlexNet, AlexNet2012};
pub use cifar_resnet::{CifarResNet, CifarResNet18};
pub use googlenet::GoogLeNet;
pub use inception::Inception;
pub use lenet::LeNet;
pub use names::{NAMES, by_name};
pub use residual::{Block, Residual, Shortcut};
pub use resnet::ResNet;

use crate::Result;
use crate::graph::ValueId;
use crate::nn::Builder;

/// A network: from images to logits.
pub trait Model {
    /// The name that [`by_name`] knows it by.
    fn name(&self) -> String;

    /// Channels of the images it takes.
    fn in_channels(&self) -> usize;

    /// Height and width of the images it was made for. Most networks take others too.
    fn input_size(&self) -> [usize; 2];

    /// Classes it tells apart.
    fn classes(&self) -> usize;

    /// Builds the network on `images` `[batch, channels, height, width]`; returns logits `[batch, classes]`.
    /// Heads that help in training are given to [`Builder::auxiliary`].
    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId>;
}
