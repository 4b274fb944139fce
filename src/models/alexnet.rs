//! AlexNet, as torchvision has it (Krizhevsky 2014) and as it won (Krizhevsky et al. 2012).
//!
//! | layer | torchvision, 224 x 224    | output  | 2012, 227 x 227                | output  |
//! | ----- | ------------------------- | ------- | ------------------------------ | ------- |
//! | conv1 | 11 x 11, 64, /4, pad 2    | 55 x 55 | 11 x 11, 96, /4                | 55 x 55 |
//! | pool  | 3 x 3, /2                 | 27 x 27 | normalised, 3 x 3, /2          | 27 x 27 |
//! | conv2 | 5 x 5, 192                | 27 x 27 | 5 x 5, 256, in 2 groups        | 27 x 27 |
//! | pool  | 3 x 3, /2                 | 13 x 13 | normalised, 3 x 3, /2          | 13 x 13 |
//! | conv3 | 3 x 3, 384                | 13 x 13 | 3 x 3, 384                     | 13 x 13 |
//! | conv4 | 3 x 3, 256                | 13 x 13 | 3 x 3, 384, in 2 groups        | 13 x 13 |
//! | conv5 | 3 x 3, 256                | 13 x 13 | 3 x 3, 256, in 2 groups        | 13 x 13 |
//! | pool  | 3 x 3, /2                 | 6 x 6   | 3 x 3, /2                      | 6 x 6   |
//! | fc    | 4096, 4096, classes       | 1 x 1   | 4096, 4096, classes            | 1 x 1   |
//!
//! A relu follows every layer but the last, dropout goes with the first two linear ones. The groups were the two GPUs that
//! the network of 2012 was trained on. Names are torchvision's `features.N` and `classifier.N`; and `conv1` to
//! `fc8`.

use super::Model;
use crate::Result;
use crate::graph::ValueId;
use crate::nn::{Builder, Conv2d, Linear};
use crate::op::{LocalResponseNorm, MaxPool2d};

/// torchvision's AlexNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlexNet {
    /// Channels of the images.
    pub in_channels: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

/// The AlexNet of 2012.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlexNet2012 {
    /// Channels of the images.
    pub in_channels: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

/// Numbers between the linear layers.
const HIDDEN: usize = 4096;

/// The maximum of windows that overlap.
const POOL: MaxPool2d =
    MaxPool2d { kernel_size: [3, 3], stride: Some([2, 2]), padding: [0, 0], ceil_mode: false };

/// The paper's constants. Its formula has alpha = 1e-4 for each square; here alpha is divided by the size.
const RESPONSE_NORM: LocalResponseNorm = LocalResponseNorm { size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 };

impl Model for AlexNet {
    fn name(&self) -> String {
        "alexnet".into()
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn input_size(&self) -> [usize; 2] {
        [224, 224]
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let mut x = images;
        b.scoped("features", |b| {
            let first = Filters { kernel: 11, filters: 64, stride: 4, padding: 2, groups: 1 };
            x = conv(b, ["0", "1"], x, first)?;
            x = pool(b, "2", x)?;
            x = conv(b, ["3", "4"], x, Filters::same(5, 192, 1))?;
            x = pool(b, "5", x)?;
            x = conv(b, ["6", "7"], x, Filters::same(3, 384, 1))?;
            x = conv(b, ["8", "9"], x, Filters::same(3, 256, 1))?;
            x = conv(b, ["10", "11"], x, Filters::same(3, 256, 1))?;
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

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn input_size(&self) -> [usize; 2] {
        [227, 227]
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let first = Filters { kernel: 11, filters: 96, stride: 4, padding: 0, groups: 1 };
        let mut x = conv(b, ["conv1", "relu1"], images, first)?;
        x = response_norm(b, "norm1", x)?;
        x = pool(b, "pool1", x)?;
        x = conv(b, ["conv2", "relu2"], x, Filters::same(5, 256, 2))?;
        x = response_norm(b, "norm2", x)?;
        x = pool(b, "pool2", x)?;
        x = conv(b, ["conv3", "relu3"], x, Filters::same(3, 384, 1))?;
        x = conv(b, ["conv4", "relu4"], x, Filters::same(3, 384, 2))?;
        x = conv(b, ["conv5", "relu5"], x, Filters::same(3, 256, 2))?;
        x = pool(b, "pool5", x)?;
        x = b.flatten(x)?;
        for [name, after] in [["fc6", "relu6"], ["fc7", "relu7"]] {
            x = linear(b, name, x, HIDDEN)?;
            x = relu(b, after, x)?;
            x = b.dropout(x, 0.5)?;
        }
        linear(b, "fc8", x, self.classes)
    }
}

/// Square filters.
struct Filters {
    kernel: usize,
    filters: usize,
    stride: usize,
    padding: usize,
    groups: usize,
}

impl Filters {
    /// Those that keep the size of an image.
    fn same(kernel: usize, filters: usize, groups: usize) -> Self {
        Self { kernel, filters, stride: 1, padding: kernel / 2, groups }
    }
}

/// A convolution with bias, and relu, by their names.
fn conv(b: &mut Builder, [name, after]: [&str; 2], x: ValueId, filters: Filters) -> Result<ValueId> {
    let Filters { kernel, filters, stride, padding, groups } = filters;
    let conv = Conv2d {
        in_channels: b.graph.shape(x)[1],
        out_channels: filters,
        kernel_size: [kernel, kernel],
        stride: [stride, stride],
        padding: [padding, padding],
        groups,
        ..Default::default()
    };
    let x = b.conv2d(name, x, conv)?;
    relu(b, after, x)
}

fn relu(b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
    b.scoped(name, |b| b.relu(x))
}

fn pool(b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
    b.scoped(name, |b| b.max_pool2d(x, POOL))
}

fn response_norm(b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
    b.scoped(name, |b| b.local_response_norm(x, RESPONSE_NORM))
}

fn linear(b: &mut Builder, name: &str, x: ValueId, out_features: usize) -> Result<ValueId> {
    let in_features = b.graph.shape(x)[1];
    b.linear(name, x, Linear { in_features, out_features, bias: true })
}
