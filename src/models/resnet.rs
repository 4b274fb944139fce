//! The ResNets for small pictures of He et al. 2015, section 4.2.
//!
//! | layer  | output  | filters                             |
//! | ------ | ------- | ----------------------------------- |
//! | conv1  | 32 x 32 | 3 x 3, 16                           |
//! | layer1 | 32 x 32 | n blocks of two 3 x 3, 16           |
//! | layer2 | 16 x 16 | n blocks of two 3 x 3, 32, first /2 |
//! | layer3 | 8 x 8   | n blocks of two 3 x 3, 64, first /2 |
//! | fc     | 1 x 1   | average pool, linear to the classes |
//!
//! 6n + 2 layers. Where a block changes the shape, its shortcut is a 1 x 1 convolution with batch norm
//! (option B). Parameter names are torchvision's.
//!
//! ResNet-18, made for large pictures, is known for small ones in a form of the same plan: four stages of two
//! blocks, from 64 to 512 filters, and no pooling after conv1, which is 3 x 3.

use super::Model;
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{BatchNorm2d, Builder, Conv2d, Linear};

/// A ResNet of `6 * blocks + 2` layers for small pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CifarResNet {
    /// Residual blocks in each of the three stages: n.
    pub blocks: usize,
    /// Channels of the pictures.
    pub in_channels: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

/// ResNet-18 as it is used on small pictures: conv1 is 3 x 3, and no max-pooling follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CifarResNet18 {
    /// Channels of the pictures.
    pub in_channels: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Model for CifarResNet {
    fn name(&self) -> String {
        let depth = 6 * self.blocks + 2;
        if depth == 50 || depth == 152 { format!("cifar-resnet{depth}") } else { format!("resnet{depth}") }
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        residual(b, images, [self.in_channels, self.classes], &[16, 32, 64], self.blocks)
    }
}

impl Model for CifarResNet18 {
    fn name(&self) -> String {
        "resnet18-cifar".into()
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        residual(b, images, [self.in_channels, self.classes], &[64, 128, 256, 512], 2)
    }
}

/// The network: `widths` are the filters by stage, each of which has `blocks` blocks.
fn residual(
    b: &mut Builder,
    images: ValueId,
    [in_channels, classes]: [usize; 2],
    widths: &[usize],
    blocks: usize,
) -> Result<ValueId> {
    let mut channels = widths[0];
    let mut x = conv3x3(b, "conv1", images, [in_channels, channels], 1)?;
    x = norm(b, "bn1", x, channels)?;
    x = b.relu(x)?;
    for (stage, width) in widths.iter().enumerate() {
        x = b.scoped(&format!("layer{}", stage + 1), |b| {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = b.scoped(&block.to_string(), |b| basic_block(b, x, [channels, *width], stride))?;
                channels = *width;
            }
            Ok(x)
        })?;
    }
    x = b.global_avg_pool2d(x)?;
    x = b.flatten(x)?;
    b.linear("fc", x, Linear { in_features: channels, out_features: classes, ..Default::default() })
}

/// relu(F(x) + shortcut(x)), F two 3 x 3 convolutions with batch norm.
fn basic_block(b: &mut Builder, x: ValueId, channels: [usize; 2], stride: usize) -> Result<ValueId> {
    let [from, to] = channels;
    let mut y = conv3x3(b, "conv1", x, channels, stride)?;
    y = norm(b, "bn1", y, to)?;
    y = b.relu(y)?;
    y = conv3x3(b, "conv2", y, [to, to], 1)?;
    y = norm(b, "bn2", y, to)?;
    let shortcut = if stride == 1 && from == to { x } else { project(b, x, channels, stride)? };
    y = b.add(y, shortcut)?;
    b.relu(y)
}

/// A 1 x 1 convolution that brings the shortcut to the block's shape.
fn project(b: &mut Builder, x: ValueId, [from, to]: [usize; 2], stride: usize) -> Result<ValueId> {
    b.scoped("downsample", |b| {
        let conv = Conv2d {
            in_channels: from,
            out_channels: to,
            stride: [stride, stride],
            bias: false,
            ..Default::default()
        };
        let x = b.conv2d("0", x, conv)?;
        norm(b, "1", x, to)
    })
}

fn conv3x3(
    b: &mut Builder,
    name: &str,
    x: ValueId,
    [from, to]: [usize; 2],
    stride: usize,
) -> Result<ValueId> {
    let conv = Conv2d {
        in_channels: from,
        out_channels: to,
        kernel_size: [3, 3],
        stride: [stride, stride],
        padding: [1, 1],
        bias: false,
        ..Default::default()
    };
    b.conv2d(name, x, conv)
}

fn norm(b: &mut Builder, name: &str, x: ValueId, channels: usize) -> Result<ValueId> {
    b.batch_norm2d(name, x, BatchNorm2d { num_features: channels, ..Default::default() })
}
