//! GoogLeNet (Szegedy et al. 2014, table 1), in torchvision's version and the original.
//!
//! | layer       | output    | 1 x 1 | 3 x 3: from, to | 5 x 5: from, to | after pooling |
//! | ----------- | --------- | ----- | --------------- | --------------- | ------------- |
//! | conv1       | 112 x 112 | 7 x 7, 64, /2                                           ||||
//! | maxpool1    | 56 x 56   | 3 x 3, /2                                               ||||
//! | conv2       | 56 x 56   | 64    |                 |                 |               |
//! | conv3       | 56 x 56   |       | 64, 192         |                 |               |
//! | maxpool2    | 28 x 28   | 3 x 3, /2                                               ||||
//! | inception3a | 28 x 28   | 64    | 96, 128         | 16, 32          | 32            |
//! | ...         |           | [`INCEPTIONS`]                                          ||||
//! | fc          | 1 x 1     | average pool, dropout, linear to the classes            ||||
//!
//! The original has biases, 5 x 5 kernels in the third branch, and local response normalization before conv2 and before
//! maxpool2. torchvision's version has batch norm, and 3 x 3 kernels in place of 5 x 5, an old mistake that its
//! pretrained weights depend on. Pooling sizes are rounded up. In training, both have auxiliary heads on inception4a
//! and inception4d. Parameter names are torchvision's.

use super::Model;
use super::inception::{ConvRelu, Inception};
use super::layers::linear;
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Mode};
use crate::op::{LocalResponseNorm, MaxPool2d};

/// GoogLeNet in one of its two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoogLeNet {
    /// The paper's version rather than torchvision's.
    pub original: bool,
    /// Channels of the input images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Filters of a module in the order of the paper's table: 1 x 1, 3 x 3 reduce, 3 x 3, 5 x 5 reduce, 5 x 5, pool proj.
type Filters = [usize; 6];

/// The modules in order.
const INCEPTIONS: [(&str, Filters); 9] = [
    ("inception3a", [64, 96, 128, 16, 32, 32]),
    ("inception3b", [128, 128, 192, 32, 96, 64]),
    ("inception4a", [192, 96, 208, 16, 48, 64]),
    ("inception4b", [160, 112, 224, 24, 64, 64]),
    ("inception4c", [128, 128, 256, 24, 64, 64]),
    ("inception4d", [112, 144, 288, 32, 64, 64]),
    ("inception4e", [256, 160, 320, 32, 128, 128]),
    ("inception5a", [256, 160, 320, 32, 128, 128]),
    ("inception5b", [384, 192, 384, 48, 128, 128]),
];

/// Weight of an auxiliary head's loss.
const AUXILIARY_WEIGHT: f32 = 0.3;

impl Model for GoogLeNet {
    fn name(&self) -> String {
        if self.original { "googlenet-original".into() } else { "googlenet".into() }
    }

    sizes!(224);

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let stem = ConvRelu { kernel: 7, filters: 64, stride: 2, batch_norm: !self.original };
        let mut x = stem.build(b, "conv1", images)?;
        x = max_pool(b, "maxpool1", x, 3)?;
        x = self.response_norm(b, "norm1", x)?;
        x = self.conv(b, "conv2", x, [1, 64])?;
        x = self.conv(b, "conv3", x, [3, 192])?;
        x = self.response_norm(b, "norm2", x)?;
        x = max_pool(b, "maxpool2", x, 3)?;
        for (name, filters) in INCEPTIONS {
            x = self.inception(b, name, x, filters)?;
            match name {
                "inception3b" => x = max_pool(b, "maxpool3", x, 3)?,
                "inception4a" => self.auxiliary(b, "aux1", x)?,
                "inception4d" => self.auxiliary(b, "aux2", x)?,
                "inception4e" => x = max_pool(b, "maxpool4", x, if self.original { 3 } else { 2 })?,
                _ => {}
            }
        }
        x = b.scoped("avgpool", |b| b.global_avg_pool2d(x))?;
        x = b.flatten(x)?;
        x = b.dropout(x, if self.original { 0.4 } else { 0.2 })?;
        linear(b, "fc", x, self.classes)
    }
}

impl GoogLeNet {
    fn inception(&self, b: &mut Builder, name: &str, x: ValueId, filters: Filters) -> Result<ValueId> {
        let [conv1x1, reduce3x3, conv3x3, reduce5x5, conv5x5, pool_proj] = filters;
        let module = Inception {
            conv1x1,
            conv3x3: [reduce3x3, conv3x3],
            conv5x5: [reduce5x5, conv5x5],
            pool_proj,
            conv5x5_kernel: if self.original { 5 } else { 3 },
            batch_norm: !self.original,
        };
        b.scoped(name, |b| module.build(b, x))
    }

    /// In training, a classifier on an intermediate layer that adds to the loss, so that early layers get gradients.
    fn auxiliary(&self, b: &mut Builder, name: &str, x: ValueId) -> Result<()> {
        if b.mode() == Mode::Eval {
            return Ok(());
        }
        let logits = b.scoped(name, |b| {
            let mut x = b.adaptive_avg_pool2d(x, [4, 4])?;
            x = self.conv(b, "conv", x, [1, 128])?;
            x = b.flatten(x)?;
            x = linear(b, "fc1", x, 1024)?;
            x = b.relu(x)?;
            x = b.dropout(x, 0.7)?;
            linear(b, "fc2", x, self.classes)
        })?;
        b.auxiliary(logits, AUXILIARY_WEIGHT);
        Ok(())
    }

    fn conv(
        &self,
        b: &mut Builder,
        name: &str,
        x: ValueId,
        [kernel, filters]: [usize; 2],
    ) -> Result<ValueId> {
        ConvRelu { kernel, filters, stride: 1, batch_norm: !self.original }.build(b, name, x)
    }

    /// Local response normalization in the original version.
    fn response_norm(&self, b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
        match self.original {
            true => b.scoped(name, |b| b.local_response_norm(x, LocalResponseNorm::default())),
            false => Ok(x),
        }
    }
}

/// Max-pooling with stride 2 whose last window may extend beyond the image.
fn max_pool(b: &mut Builder, name: &str, x: ValueId, kernel: usize) -> Result<ValueId> {
    let pool = MaxPool2d {
        kernel_size: [kernel, kernel],
        stride: Some([2, 2]),
        ceil_mode: true,
        ..Default::default()
    };
    b.scoped(name, |b| b.max_pool2d(x, pool))
}
