//! What all ResNets are built of: residual blocks in stages (He et al. 2015, figures 2 and 5).

use crate::Result;
use crate::graph::ValueId;
use crate::nn::{BatchNorm2d, Builder, Conv2d, Fan};
use crate::op::{AvgPool2d, ChannelPad};

/// What is added to a block's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing: the plain network of the same layers.
    None,
    /// The block's input; where the shape changes, every other pixel and channels of zeros (option A).
    Padded,
    /// The block's input; where the shape changes, through a 1 x 1 convolution with batch norm (option B).
    Projected,
}

/// The layers of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3 x 3 convolutions.
    Basic,
    /// A 1 x 1 convolution down to the width, a 3 x 3 there, which has the stride, and a 1 x 1 up to four times the width.
    Bottleneck,
}

impl Block {
    /// Channels of a block's result for each of its width.
    const fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }

    /// Convolutions of a block.
    pub(super) const fn layers(self) -> usize {
        match self {
            Block::Basic => 2,
            Block::Bottleneck => 3,
        }
    }
}

/// Blocks in stages, from `layer1` on.
pub(super) struct Stages<'a> {
    pub block: Block,
    /// Filters of the 3 x 3 convolutions and number of blocks, by stage.
    pub stages: &'a [(usize, usize)],
    pub shortcut: Shortcut,
    /// Which side of a convolution its first weights are scaled by.
    pub fan: Fan,
}

impl Stages<'_> {
    /// Adds them to `x`; each stage after the first halves the picture.
    pub fn build(&self, b: &mut Builder, mut x: ValueId) -> Result<ValueId> {
        for (stage, (width, blocks)) in self.stages.iter().enumerate() {
            x = b.scoped(&format!("layer{}", stage + 1), |b| {
                for block in 0..*blocks {
                    let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                    x = b.scoped(&block.to_string(), |b| self.block(b, x, *width, stride))?;
                }
                Ok(x)
            })?;
        }
        Ok(x)
    }

    /// relu(F(x) + shortcut(x)).
    fn block(&self, b: &mut Builder, x: ValueId, width: usize, stride: usize) -> Result<ValueId> {
        let out = width * self.block.expansion();
        // Kernel size, filters and stride of F's convolutions.
        let layers: &[(usize, usize, usize)] = match self.block {
            Block::Basic => &[(3, width, stride), (3, out, 1)],
            Block::Bottleneck => &[(1, width, 1), (3, width, stride), (1, out, 1)],
        };
        let mut y = x;
        for (i, (kernel, filters, stride)) in layers.iter().enumerate() {
            if i > 0 {
                y = b.scoped(&format!("relu{i}"), |b| b.relu(y))?;
            }
            let names = [format!("conv{}", i + 1), format!("bn{}", i + 1)];
            y = conv_norm(b, [&names[0], &names[1]], y, Filters::new(*kernel, *filters, *stride, self.fan))?;
        }
        if let Some(shortcut) = self.shortcut(b, x, out, stride)? {
            y = b.add(y, shortcut)?;
        }
        b.relu(y)
    }

    /// x in the shape of the block's result, if there is a shortcut.
    fn shortcut(&self, b: &mut Builder, x: ValueId, out: usize, stride: usize) -> Result<Option<ValueId>> {
        let channels = b.graph.shape(x)[1];
        match self.shortcut {
            Shortcut::None => Ok(None),
            _ if stride == 1 && channels == out => Ok(Some(x)),
            Shortcut::Padded => {
                let pixels =
                    AvgPool2d { kernel_size: [1, 1], stride: Some([stride, stride]), ..Default::default() };
                let x = b.avg_pool2d(x, pixels)?;
                let before = (out - channels) / 2;
                Ok(Some(b.apply(ChannelPad { before, after: out - channels - before }, &[x])?))
            }
            Shortcut::Projected => b.scoped("downsample", |b| {
                Ok(Some(conv_norm(b, ["0", "1"], x, Filters::new(1, out, stride, self.fan))?))
            }),
        }
    }
}

/// Square filters that keep the size of a picture at stride 1.
pub(super) struct Filters {
    kernel: usize,
    filters: usize,
    stride: usize,
    fan: Fan,
}

impl Filters {
    pub fn new(kernel: usize, filters: usize, stride: usize, fan: Fan) -> Self {
        Self { kernel, filters, stride, fan }
    }
}

/// A convolution without bias and its batch norm, by their names.
pub(super) fn conv_norm(
    b: &mut Builder,
    [conv, norm]: [&str; 2],
    x: ValueId,
    Filters { kernel, filters, stride, fan }: Filters,
) -> Result<ValueId> {
    let layer = Conv2d {
        in_channels: b.graph.shape(x)[1],
        out_channels: filters,
        kernel_size: [kernel, kernel],
        stride: [stride, stride],
        padding: [kernel / 2, kernel / 2],
        bias: false,
        fan,
        ..Default::default()
    };
    let x = b.conv2d(conv, x, layer)?;
    b.batch_norm2d(norm, x, BatchNorm2d { num_features: filters, ..Default::default() })
}
