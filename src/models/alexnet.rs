//! AlexNet in torchvision's version (Krizhevsky 2014) and the one that won ImageNet in 2012 (Krizhevsky et al. 2012).
//!
//! | layer | torchvision, 224 x 224    | output  | 2012, 227 x 227                | output  |
//! | ----- | ------------------------- | ------- | ------------------------------ | ------- |
//! | conv1 | 11 x 11, 64, /4, pad 2    | 55 x 55 | 11 x 11, 96, /4                | 55 x 55 |
//! | pool  | 3 x 3, /2                 | 27 x 27 | LRN, 3 x 3, /2                 | 27 x 27 |
//! | conv2 | 5 x 5, 192                | 27 x 27 | 5 x 5, 256, in 2 groups        | 27 x 27 |
//! | pool  | 3 x 3, /2                 | 13 x 13 | LRN, 3 x 3, /2                 | 13 x 13 |
//! | conv3 | 3 x 3, 384                | 13 x 13 | 3 x 3, 384                     | 13 x 13 |
//! | conv4 | 3 x 3, 256                | 13 x 13 | 3 x 3, 384, in 2 groups        | 13 x 13 |
//! | conv5 | 3 x 3, 256                | 13 x 13 | 3 x 3, 256, in 2 groups        | 13 x 13 |
//! | pool  | 3 x 3, /2                 | 6 x 6   | 3 x 3, /2                      | 6 x 6   |
//! | fc    | 4096, 4096, classes       | 1 x 1   | 4096, 4096, classes            | 1 x 1   |
//!
//! ReLU follows every layer except the last; the first two linear layers have dropout. The two groups ran on two GPUs in
//! 2012. Names are `features.N` and `classifier.N` as in torchvision, and `conv1` to `fc8` in the 2012 version.

use super::Model;
use super::layers::{linear, relu, square};
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Conv2d};
use crate::op::{LocalResponseNorm, MaxPool2d};

/// torchvision's AlexNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlexNet {
    /// Channels of the input images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// The AlexNet of 2012.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlexNet2012 {
    /// Channels of the input images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Features between the linear layers.
const HIDDEN: usize = 4096;

/// Overlapping max-pooling.
const POOL: MaxPool2d =
    MaxPool2d { kernel_size: [3, 3], stride: Some([2, 2]), padding: [0, 0], ceil_mode: false };

/// The paper's constants. Its alpha of 1e-4 multiplies the sum of squares; ours multiplies their mean, as in PyTorch.
const RESPONSE_NORM: LocalResponseNorm = LocalResponseNorm { size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 };

impl Model for AlexNet {
    fn name(&self) -> String {
        "alexnet".into()
    }

    sizes!(224);

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let mut x = images;
        b.scoped("features", |b| {
            let conv1 = square([self.in_channels, 64], 11);
            x = conv(b, ["0", "1"], x, Conv2d { stride: [4, 4], padding: [2, 2], ..conv1 })?;
            x = pool(b, "2", x)?;
            x = conv(b, ["3", "4"], x, square([64, 192], 5))?;
            x = pool(b, "5", x)?;
            x = conv(b, ["6", "7"], x, square([192, 384], 3))?;
            x = conv(b, ["8", "9"], x, square([384, 256], 3))?;
            x = conv(b, ["10", "11"], x, square([256, 256], 3))?;
            x = pool(b, "12", x)?;
            Ok(())
        })?;
        x = b.scoped("avgpool", |b| b.adaptive_avg_pool2d(x, [6, 6]))?;
        x = b.flatten(x)?;
        b.scoped("classifier", |b| {
            x = b.dropout(x, 0.5)?;
            x = linear(b, "1", x, HIDDEN)?;
            x = relu(b, "2", x)?;
            x = b.dropout(x, 0.5)?;
            x = linear(b, "4", x, HIDDEN)?;
            x = relu(b, "5", x)?;
            linear(b, "6", x, self.classes)
        })
    }
}

impl Model for AlexNet2012 {
    fn name(&self) -> String {
        "alexnet-2012".into()
    }

    sizes!(227);

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let conv1 = square([self.in_channels, 96], 11);
        let grouped = |channels, kernel| Conv2d { groups: 2, ..square(channels, kernel) };
        let mut x = conv(b, ["conv1", "relu1"], images, Conv2d { stride: [4, 4], padding: [0, 0], ..conv1 })?;
        x = response_norm(b, "norm1", x)?;
        x = pool(b, "pool1", x)?;
        x = conv(b, ["conv2", "relu2"], x, grouped([96, 256], 5))?;
        x = response_norm(b, "norm2", x)?;
        x = pool(b, "pool2", x)?;
        x = conv(b, ["conv3", "relu3"], x, square([256, 384], 3))?;
        x = conv(b, ["conv4", "relu4"], x, grouped([384, 384], 3))?;
        x = conv(b, ["conv5", "relu5"], x, grouped([384, 256], 3))?;
        x = pool(b, "pool5", x)?;
        x = b.flatten(x)?;
        for [fc, activation] in [["fc6", "relu6"], ["fc7", "relu7"]] {
            x = linear(b, fc, x, HIDDEN)?;
            x = relu(b, activation, x)?;
            x = b.dropout(x, 0.5)?;
        }
        linear(b, "fc8", x, self.classes)
    }
}

/// A convolution and its ReLU.
fn conv(b: &mut Builder, [name, activation]: [&str; 2], x: ValueId, layer: Conv2d) -> Result<ValueId> {
    let x = b.conv2d(name, x, layer)?;
    relu(b, activation, x)
}

fn pool(b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
    b.scoped(name, |b| b.max_pool2d(x, POOL))
}

fn response_norm(b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
    b.scoped(name, |b| b.local_response_norm(x, RESPONSE_NORM))
}
