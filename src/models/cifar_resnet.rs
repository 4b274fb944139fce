//! The CIFAR ResNets of He et al. 2015, section 4.2.
//!
//! | layer  | output  | filters                             |
//! | ------ | ------- | ----------------------------------- |
//! | conv1  | 32 x 32 | 3 x 3, 16                           |
//! | layer1 | 32 x 32 | n blocks of two 3 x 3, 16           |
//! | layer2 | 16 x 16 | n blocks of two 3 x 3, 32, first /2 |
//! | layer3 | 8 x 8   | n blocks of two 3 x 3, 64, first /2 |
//! | fc     | 1 x 1   | average pool, linear to the classes |
//!
//! They have 6n + 2 layers. `resnetN` has shortcuts of option B ([`Shortcut::Projected`]), `resnetN-a` those of option A
//! as in the paper ([`Shortcut::Padded`]).
//!
//! The common CIFAR version of ResNet-18 follows the same scheme: four stages of two blocks with 64 to 512 filters, a
//! 3 x 3 conv1, and no max-pooling.
//!
//! Weights start from He's initialization by fan-in, as in the paper. With batch norm after each convolution, the scale
//! affects how fast a layer learns, not what it computes.

use super::layers::{conv_norm, pool_and_classify, relu, square};
use super::residual::{Block, Residual, Shortcut, stages};
use super::{Model, ResNet};
use crate::Result;
use crate::graph::ValueId;
use crate::nn::Builder;

/// A CIFAR ResNet of `6 * blocks + 2` layers, or the plain network of the same layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CifarResNet {
    /// Blocks in each of the three stages: n.
    pub blocks: usize,
    /// What is added to a block's output.
    pub shortcut: Shortcut,
    /// Channels of the input images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// ResNet-18 for CIFAR: conv1 is 3 x 3, and there is no max-pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CifarResNet18 {
    /// Channels of the input images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
}

impl Model for CifarResNet {
    fn name(&self) -> String {
        let depth = 6 * self.blocks + 2;
        let prefix = if ResNet::of_depth(depth).is_some() { "cifar-" } else { "" };
        format!("{prefix}{}", self.shortcut.network_name(depth))
    }

    sizes!(32);

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let stages = [16, 32, 64].map(|width| (width, self.blocks));
        build(b, images, &stages, self.shortcut, self.classes)
    }
}

impl Model for CifarResNet18 {
    fn name(&self) -> String {
        "resnet18-cifar".into()
    }

    sizes!(32);

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let stages = [64, 128, 256, 512].map(|width| (width, 2));
        build(b, images, &stages, Shortcut::Projected, self.classes)
    }
}

/// A 3 x 3 convolution, the stages of basic blocks, and the classifier.
fn build(
    b: &mut Builder,
    images: ValueId,
    widths: &[(usize, usize)],
    shortcut: Shortcut,
    classes: usize,
) -> Result<ValueId> {
    let conv1 = square([b.graph.shape(images)[1], widths[0].0], 3);
    let mut x = conv_norm(b, ["conv1", "bn1"], images, conv1)?;
    x = relu(b, "relu", x)?;
    x = stages(b, x, widths, |width| Residual { shortcut, ..Residual::new(Block::Basic, width) })?;
    pool_and_classify(b, x, classes)
}
