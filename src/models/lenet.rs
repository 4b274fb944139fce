//! A LeNet after LeCun et al. 1998, with the widths common in current tutorials.
//!
//! | layer | output on 28 x 28 | layers                              |
//! | ----- | ----------------- | ----------------------------------- |
//! | conv1 | 12 x 12           | 5 x 5, 32, relu, 2 x 2 max-pooling  |
//! | conv2 | 4 x 4             | 5 x 5, 64, relu, 2 x 2 max-pooling  |
//! | fc1   | 1 x 1             | linear to 128, relu                 |
//! | fc2   | 1 x 1             | linear to the classes               |

use super::Model;
use super::layers::{linear, relu};
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Conv2d};
use crate::op::MaxPool2d;

/// Two convolutions and two linear layers, for images of at least 16 x 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeNet {
    /// Channels of the input images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Features between the two linear layers.
const HIDDEN: usize = 128;

impl Model for LeNet {
    fn name(&self) -> String {
        "lenet".into()
    }

    sizes!(28);

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let mut x = stage(b, 1, images, [self.in_channels, 32])?;
        x = stage(b, 2, x, [32, 64])?;
        x = b.flatten(x)?;
        x = linear(b, "fc1", x, HIDDEN)?;
        x = relu(b, "relu3", x)?;
        linear(b, "fc2", x, self.classes)
    }
}

/// A 5 x 5 convolution, ReLU and max-pooling.
fn stage(b: &mut Builder, number: usize, x: ValueId, [from, to]: [usize; 2]) -> Result<ValueId> {
    let conv = Conv2d { in_channels: from, out_channels: to, kernel_size: [5, 5], ..Default::default() };
    let x = b.conv2d(&format!("conv{number}"), x, conv)?;
    let x = relu(b, &format!("relu{number}"), x)?;
    b.scoped(&format!("pool{number}"), |b| b.max_pool2d(x, MaxPool2d::default()))
}
