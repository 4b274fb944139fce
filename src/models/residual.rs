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
    /// Two 3 x 3 convolutions, of which the first has the stride.
    Basic,
    /// A 1 x 1 convolution down to the width, a 3 x 3 there, which has the stride, and a 1 x 1 up to the result.
    Bottleneck,
}

impl Block {
    /// Channels of a ResNet's block for each of its width.
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

/// A residual block: relu(F(x) + shortcut(x)), of any width. Parameter names are torchvision's.
///
/// ```
/// use striate::graph::ValueId;
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
    /// Channels of the result.
    pub out_channels: usize,
    /// Step of the window of the convolution that has it.
    pub stride: usize,
    /// Groups of channels of a bottleneck's 3 x 3 that do not see each other.
    pub groups: usize,
    /// What is added to F.
    pub shortcut: Shortcut,
    /// Which side of a convolution its first weights are scaled by.
    pub fan: Fan,
}

impl Residual {
    /// A ResNet's block of this width: a bottleneck's result has four times as many channels. Stride 1, shortcuts are
    /// option B.
    pub fn new(block: Block, width: usize) -> Self {
        let out_channels = width * block.expansion();
        let (shortcut, fan) = (Shortcut::Projected, Fan::In);
        Self { block, width, out_channels, stride: 1, groups: 1, shortcut, fan }
    }

    /// Adds the block to `x`, in the current scope.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`](crate::Error::Shape) if the layers do not fit `x`, or channels of zeros would have to be fewer
    /// than none.
    pub fn build(&self, b: &mut Builder, x: ValueId) -> Result<ValueId> {
        // F's convolutions.
        let layer = |kernel, filters, stride| Filters::new(kernel, filters, stride, self.fan);
        let (width, out, stride) = (self.width, self.out_channels, self.stride);
        let layers = match self.block {
            Block::Basic => vec![layer(3, width, stride), layer(3, out, 1)],
            Block::Bottleneck => {
                let middle = Filters { groups: self.groups, ..layer(3, width, stride) };
                vec![layer(1, width, 1), middle, layer(1, out, 1)]
            }
        };
        let mut y = x;
        for (i, filters) in layers.iter().enumerate() {
            if i > 0 {
                y = b.scoped(&format!("relu{i}"), |b| b.relu(y))?;
            }
            let names = [format!("conv{}", i + 1), format!("bn{}", i + 1)];
            y = conv_norm(b, [&names[0], &names[1]], y, *filters)?;
        }
        if let Some(shortcut) = self.shortcut(b, x)? {
            y = b.add(y, shortcut)?;
        }
        b.relu(y)
    }

    /// Adds so many blocks to `x`, in the scopes `0`, `1`, ... of the current one. The first has the stride.
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

    /// x in the shape of the block's result, if there is a shortcut.
    fn shortcut(&self, b: &mut Builder, x: ValueId) -> Result<Option<ValueId>> {
        let (channels, out, stride) = (b.graph.shape(x)[1], self.out_channels, self.stride);
        match self.shortcut {
            Shortcut::None => Ok(None),
            _ if stride == 1 && channels == out => Ok(Some(x)),
            Shortcut::Padded => {
                let Some(zeros) = out.checked_sub(channels) else {
                    let problem = format!(
                        "expected a result of at least {channels} channels, as many as the input has, found {out}"
                    );
                    return Err(b.graph.shape_error("shortcut", problem));
                };
                let pixels =
                    AvgPool2d { kernel_size: [1, 1], stride: Some([stride, stride]), ..Default::default() };
                let x = b.avg_pool2d(x, pixels)?;
                let before = zeros / 2;
                Ok(Some(b.apply(ChannelPad { before, after: zeros - before }, &[x])?))
            }
            Shortcut::Projected => b.scoped("downsample", |b| {
                Ok(Some(conv_norm(b, ["0", "1"], x, Filters::new(1, out, stride, self.fan))?))
            }),
        }
    }
}

/// Adds a ResNet's stages `layer1`, `layer2`, ... of these widths and numbers of blocks to `x`; each after the first halves
/// the image.
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

/// Square filters that keep the size of an image at stride 1.
#[derive(Clone, Copy)]
pub(super) struct Filters {
    kernel: usize,
    filters: usize,
    stride: usize,
    groups: usize,
    fan: Fan,
}

impl Filters {
    pub fn new(kernel: usize, filters: usize, stride: usize, fan: Fan) -> Self {
        Self { kernel, filters, stride, groups: 1, fan }
    }
}

/// A convolution without bias and its batch norm, by their names.
pub(super) fn conv_norm(
    b: &mut Builder,
    [conv, norm]: [&str; 2],
    x: ValueId,
    Filters { kernel, filters, stride, groups, fan }: Filters,
) -> Result<ValueId> {
    let layer = Conv2d {
        in_channels: b.graph.shape(x)[1],
        out_channels: filters,
        kernel_size: [kernel, kernel],
        stride: [stride, stride],
        padding: [kernel / 2, kernel / 2],
        groups,
        bias: false,
        fan,
        ..Default::default()
    };
    let x = b.conv2d(conv, x, layer)?;
    b.batch_norm2d(norm, x, BatchNorm2d { num_features: filters, ..Default::default() })
}
