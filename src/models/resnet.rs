//! The ImageNet ResNets (He et al. 2015, table 1) in torchvision's version.
//!
//! | layer   | output    | 18           | 34           | 50                   | 101                   | 152                   |
//! | ------- | --------- | ------------ | ------------ | -------------------- | --------------------- | --------------------- |
//! | conv1   | 112 x 112 | 7 x 7, 64, /2                                                                                       |||||
//! | maxpool | 56 x 56   | 3 x 3, /2                                                                                           |||||
//! | layer1  | 56 x 56   | 2 of 3-3, 64 | 3 of 3-3, 64 | 3 of 1-3-1, 64, 256  | 3 of 1-3-1, 64, 256   | 3 of 1-3-1, 64, 256   |
//! | layer2  | 28 x 28   | 2, 128       | 4, 128       | 4, 128, 512          | 4, 128, 512           | 8, 128, 512           |
//! | layer3  | 14 x 14   | 2, 256       | 6, 256       | 6, 256, 1024         | 23, 256, 1024         | 36, 256, 1024         |
//! | layer4  | 7 x 7     | 2, 512       | 3, 512       | 3, 512, 2048         | 3, 512, 2048          | 3, 512, 2048          |
//! | fc      | 1 x 1     | average pool, linear to the classes                                                                 |||||
//!
//! 3-3 is a basic block, 1-3-1 a bottleneck. As in torchvision, the stride of a bottleneck is in its 3 x 3 convolution;
//! the paper has it in the first 1 x 1. Shortcuts are option B. Weights start from He's initialization by fan-out.

use super::Model;
use super::layers::{conv_norm, pool_and_classify, relu, square};
use super::residual::{Block, Residual, Shortcut, stages};
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Conv2d, Fan};
use crate::op::MaxPool2d;

/// An ImageNet ResNet, or the plain network of the same layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNet {
    /// Kind of block.
    pub block: Block,
    /// Blocks in each of the four stages.
    pub blocks: [usize; 4],
    /// What is added to a block's output.
    pub shortcut: Shortcut,
    /// Channels of the input images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Depth, kind of block, and blocks per stage.
const DEPTHS: [(usize, Block, [usize; 4]); 5] = [
    (18, Block::Basic, [2, 2, 2, 2]),
    (34, Block::Basic, [3, 4, 6, 3]),
    (50, Block::Bottleneck, [3, 4, 6, 3]),
    (101, Block::Bottleneck, [3, 4, 23, 3]),
    (152, Block::Bottleneck, [3, 8, 36, 3]),
];

impl ResNet {
    /// The network of depth 18, 34, 50, 101 or 152 for ImageNet: shortcuts of option B, 3 channels, 1000 classes. `None` for
    /// any other depth.
    ///
    /// ```
    /// use striate::models::{Model, ResNet, Shortcut};
    /// let plain = ResNet { shortcut: Shortcut::None, classes: 10, ..ResNet::of_depth(34).unwrap() };
    /// assert_eq!(plain.name(), "plain34");
    /// ```
    pub fn of_depth(depth: usize) -> Option<Self> {
        let (_, block, blocks) = *DEPTHS.iter().find(|(known, ..)| *known == depth)?;
        Some(Self { block, blocks, shortcut: Shortcut::Projected, in_channels: 3, classes: 1000 })
    }
}

impl Model for ResNet {
    fn name(&self) -> String {
        // Layers with weights, not counting shortcuts.
        self.shortcut.network_name(2 + self.block.layers() * self.blocks.iter().sum::<usize>())
    }

    sizes!(224);

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let (shortcut, fan) = (self.shortcut, Fan::Out);
        let widths: Vec<(usize, usize)> = [64, 128, 256, 512].into_iter().zip(self.blocks).collect();
        let conv1 = Conv2d { stride: [2, 2], fan, ..square([self.in_channels, 64], 7) };
        let mut x = conv_norm(b, ["conv1", "bn1"], images, conv1)?;
        x = relu(b, "relu", x)?;
        let pool =
            MaxPool2d { kernel_size: [3, 3], stride: Some([2, 2]), padding: [1, 1], ..Default::default() };
        x = b.scoped("maxpool", |b| b.max_pool2d(x, pool))?;
        x = stages(b, x, &widths, |width| Residual { shortcut, fan, ..Residual::new(self.block, width) })?;
        pool_and_classify(b, x, self.classes)
    }
}
