//! Residual blocks and stages of blocks (He et al. 2015, figures 2 and 5).

use super::layers::{conv_norm, relu, square};
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Conv2d, Fan};
use crate::op::{AvgPool2d, ChannelPad};

/// What is added to a block's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing, as in the paper's plain networks.
    None,
    /// The block's input, subsampled and padded with zero channels if the shape changes (option A).
    Padded,
    /// The block's input, projected by a 1 x 1 convolution with batch norm if the shape changes (option B).
    Projected,
}

impl Shortcut {
    /// Name of a ResNet of this depth: `plain20`, `resnet20-a` or `resnet20`.
    pub(super) fn network_name(self, depth: usize) -> String {
        match self {
            Shortcut::None => format!("plain{depth}"),
            Shortcut::Padded => format!("resnet{depth}-a"),
            Shortcut::Projected => format!("resnet{depth}"),
        }
    }
}

/// The layers of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3 x 3 convolutions; the first has the stride.
    Basic,
    /// A 1 x 1, a 3 x 3 and a 1 x 1 convolution; the 3 x 3 has the stride.
    Bottleneck,
}

impl Block {
    /// Output channels divided by width in a ResNet.
    const fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }

    /// Convolutions per block.
    pub(super) const fn layers(self) -> usize {
        match self {
            Block::Basic => 2,
            Block::Bottleneck => 3,
        }
    }
}

/// A residual block, relu(F(x) + shortcut(x)), of any width. Parameter names are torchvision's.
///
/// ```
/// use striate::models::{Block, Residual};
/// use striate::nn::{Builder, Mode};
///
/// // The first stage of a ResNeXt-50 (32 x 4d), and a wide basic block.
/// let mut b = Builder::new(Mode::Train);
/// let images = b.images([2, 64, 16, 16])?;
/// let next = Residual { out_channels: 256, groups: 32, ..Residual::new(Block::Bottleneck, 128) };
/// let x = b.scoped("layer1", |b| next.repeat(b, images, 3))?;
/// let wide = Residual { stride: 2, ..Residual::new(Block::Basic, 160) };
/// let y = b.scoped("layer2", |b| wide.build(b, x))?;
/// assert_eq!(b.graph.shape(y), [2, 160, 8, 8]);
/// assert!(b.graph.find_persistent("layer1.2.conv2.weight").is_some());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residual {
    /// The layers of F.
    pub block: Block,
    /// Filters of the first convolution, and of a bottleneck's 3 x 3.
    pub width: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride of the block; [`Block`] says which convolution has it.
    pub stride: usize,
    /// Groups of a bottleneck's 3 x 3 convolution.
    pub groups: usize,
    /// What is added to F(x).
    pub shortcut: Shortcut,
    /// Scaling of the initial weights.
    pub fan: Fan,
}

impl Residual {
    /// The block of a ResNet: a bottleneck has `4 * width` output channels, a basic block `width`. Stride 1, shortcuts
    /// of option B.
    pub fn new(block: Block, width: usize) -> Self {
        let out_channels = width * block.expansion();
        let (shortcut, fan) = (Shortcut::Projected, Fan::In);
        Self { block, width, out_channels, stride: 1, groups: 1, shortcut, fan }
    }

    /// Adds the block to `x`, in the current scope.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`](crate::Error::Shape) if the layers do not fit `x`, or if a [`Shortcut::Padded`] would have to
    /// remove channels.
    pub fn build(&self, b: &mut Builder, x: ValueId) -> Result<ValueId> {
        let (width, out) = (self.width, self.out_channels);
        let channels = b.graph.shape(x)[1];
        let conv = |channels, kernel| Conv2d { fan: self.fan, ..square(channels, kernel) };
        let strided = Conv2d { stride: [self.stride, self.stride], ..conv([channels, width], 3) };
        let layers = match self.block {
            Block::Basic => vec![strided, conv([width, out], 3)],
            Block::Bottleneck => {
                let middle = Conv2d { in_channels: width, groups: self.groups, ..strided };
                vec![conv([channels, width], 1), middle, conv([width, out], 1)]
            }
        };
        let mut y = x;
        for (i, layer) in layers.into_iter().enumerate() {
            if i > 0 {
                y = relu(b, &format!("relu{i}"), y)?;
            }
            let names = [format!("conv{}", i + 1), format!("bn{}", i + 1)];
            y = conv_norm(b, [&names[0], &names[1]], y, layer)?;
        }
        if let Some(shortcut) = self.shortcut(b, x)? {
            y = b.add(y, shortcut)?;
        }
        b.relu(y)
    }

    /// Adds a stage of `blocks` blocks to `x`, in the scopes `0`, `1`, ... of the current one. Only the first has the
    /// stride.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn repeat(&self, b: &mut Builder, mut x: ValueId, blocks: usize) -> Result<ValueId> {
        for i in 0..blocks {
            let block = Self { stride: if i == 0 { self.stride } else { 1 }, ..*self };
            x = b.scoped(&i.to_string(), |b| block.build(b, x))?;
        }
        Ok(x)
    }

    /// `x` in the shape of the block's output, if there is a shortcut.
    fn shortcut(&self, b: &mut Builder, x: ValueId) -> Result<Option<ValueId>> {
        let (channels, out, stride) = (b.graph.shape(x)[1], self.out_channels, self.stride);
        match self.shortcut {
            Shortcut::None => Ok(None),
            _ if stride == 1 && channels == out => Ok(Some(x)),
            Shortcut::Padded => {
                let Some(zeros) = out.checked_sub(channels) else {
                    let problem =
                        format!("expected at least {channels} output channels, the input's, found {out}");
                    return Err(b.graph.shape_error("shortcut", problem));
                };
                let subsample =
                    AvgPool2d { kernel_size: [1, 1], stride: Some([stride, stride]), ..Default::default() };
                let x = b.avg_pool2d(x, subsample)?;
                let before = zeros / 2;
                Ok(Some(b.apply(ChannelPad { before, after: zeros - before }, &[x])?))
            }
            Shortcut::Projected => {
                let conv = Conv2d { stride: [stride, stride], fan: self.fan, ..square([channels, out], 1) };
                b.scoped("downsample", |b| conv_norm(b, ["0", "1"], x, conv)).map(Some)
            }
        }
    }
}

/// Adds the stages `layer1`, `layer2`, ... of a ResNet to `x`, given their widths and numbers of blocks. All but the first
/// halve the image size.
pub(super) fn stages(
    b: &mut Builder,
    mut x: ValueId,
    stages: &[(usize, usize)],
    of: impl Fn(usize) -> Residual,
) -> Result<ValueId> {
    for (i, (width, blocks)) in stages.iter().enumerate() {
        let block = Residual { stride: if i == 0 { 1 } else { 2 }, ..of(*width) };
        x = b.scoped(&format!("layer{}", i + 1), |b| block.repeat(b, x, *blocks))?;
    }
    Ok(x)
}
