//! A LeNet in the manner of LeCun et al. 1998, with the widths that today's tutorials give it.
//!
//! | layer | output on 28 x 28 | what                                |
//! | ----- | ----------------- | ----------------------------------- |
//! | conv1 | 12 x 12           | 5 x 5, 32, relu, 2 x 2 maximum      |
//! | conv2 | 4 x 4             | 5 x 5, 64, relu, 2 x 2 maximum      |
//! | fc1   | 1 x 1             | linear to 128, relu                 |
//! | fc2   | 1 x 1             | linear to the classes               |

use super::Model;
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Conv2d, Linear};
use crate::op::MaxPool2d;

/// Two convolutions and two linear layers, for images of 16 x 16 and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeNet {
    /// Channels of the images.
    pub in_channels: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

/// Numbers between the two linear layers.
const HIDDEN: usize = 128;

impl Model for LeNet {
    fn name(&self) -> String {
        "lenet".into()
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn input_size(&self) -> [usize; 2] {
        [28, 28]
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let mut x = stage(b, 1, images, [self.in_channels, 32])?;
        x = stage(b, 2, x, [32, 64])?;
        x = b.flatten(x)?;
        let features = b.graph.shape(x)[1];
        x = b.linear("fc1", x, Linear { in_features: features, out_features: HIDDEN, bias: true })?;
        x = b.scoped("relu3", |b| b.relu(x))?;
        b.linear("fc2", x, Linear { in_features: HIDDEN, out_features: self.classes, bias: true })
    }
}

/// A 5 x 5 convolution, relu, and the maximum of each 2 x 2, by their number.
fn stage(b: &mut Builder, number: usize, x: ValueId, [from, to]: [usize; 2]) -> Result<ValueId> {
    let conv = Conv2d { in_channels: from, out_channels: to, kernel_size: [5, 5], ..Default::default() };
    let x = b.conv2d(&format!("conv{number}"), x, conv)?;
    let x = b.scoped(&format!("relu{number}"), |b| b.relu(x))?;
    b.scoped(&format!("pool{number}"), |b| b.max_pool2d(x, MaxPool2d::default()))
}
