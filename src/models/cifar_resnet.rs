//! The ResNets for small images of He et al. 2015, section 4.2.
//!
//! | layer  | output  | filters                             |
//! | ------ | ------- | ----------------------------------- |
//! | conv1  | 32 x 32 | 3 x 3, 16                           |
//! | layer1 | 32 x 32 | n blocks of two 3 x 3, 16           |
//! | layer2 | 16 x 16 | n blocks of two 3 x 3, 32, first /2 |
//! | layer3 | 8 x 8   | n blocks of two 3 x 3, 64, first /2 |
//! | fc     | 1 x 1   | average pool, linear to the classes |
//!
//! 6n + 2 layers. The paper's shortcuts are option A ([`Shortcut::Padded`]); here option B
//! ([`Shortcut::Projected`]) has the plain name. Parameter names are torchvision's.
//!
//! ResNet-18, made for large images, is known for small ones in a form of the same plan: four stages of two
//! blocks, from 64 to 512 filters, and no pooling after conv1, which is 3 x 3.
//!
//! First weights are He's by fan-in, the paper's own reference; with batch norm after each convolution it
//! changes how fast a layer learns, not what it computes.

use super::Model;
use super::residual::{Block, Filters, Residual, Shortcut, conv_norm, stages};
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Fan, Linear};

/// A ResNet of `6 * blocks + 2` layers for small images, or its plain twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CifarResNet {
    /// Residual blocks in each of the three stages: n.
    pub blocks: usize,
    /// What is added to a block's result.
    pub shortcut: Shortcut,
    /// Channels of the images.
    pub in_channels: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

/// ResNet-18 as it is used on small images: conv1 is 3 x 3, and no max-pooling follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CifarResNet18 {
    /// Channels of the images.
    pub in_channels: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Model for CifarResNet {
    fn name(&self) -> String {
        let depth = 6 * self.blocks + 2;
        let cifar = if super::resnet::is_depth(depth) { "cifar-" } else { "" };
        match self.shortcut {
            Shortcut::None => format!("{cifar}plain{depth}"),
            Shortcut::Padded => format!("{cifar}resnet{depth}-a"),
            Shortcut::Projected => format!("{cifar}resnet{depth}"),
        }
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn input_size(&self) -> [usize; 2] {
        [32, 32]
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let stages = [16, 32, 64].map(|width| (width, self.blocks));
        small(b, images, &stages, self.shortcut, self.classes)
    }
}

impl Model for CifarResNet18 {
    fn name(&self) -> String {
        "resnet18-cifar".into()
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn input_size(&self) -> [usize; 2] {
        [32, 32]
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let stages = [64, 128, 256, 512].map(|width| (width, 2));
        small(b, images, &stages, Shortcut::Projected, self.classes)
    }
}

/// A 3 x 3 convolution, the stages of basic blocks, and the classifier.
fn small(
    b: &mut Builder,
    images: ValueId,
    widths: &[(usize, usize)],
    shortcut: Shortcut,
    classes: usize,
) -> Result<ValueId> {
    let mut x = conv_norm(b, ["conv1", "bn1"], images, Filters::new(3, widths[0].0, 1, Fan::In))?;
    x = b.scoped("relu", |b| b.relu(x))?;
    x = stages(b, x, widths, |width| Residual { shortcut, ..Residual::new(Block::Basic, width) })?;
    x = b.scoped("avgpool", |b| b.global_avg_pool2d(x))?;
    x = b.flatten(x)?;
    let in_features = b.graph.shape(x)[1];
    b.linear("fc", x, Linear { in_features, out_features: classes, bias: true })
}
