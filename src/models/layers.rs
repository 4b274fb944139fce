//! Layers that several networks use.

use crate::Result;
use crate::graph::ValueId;
use crate::nn::{BatchNorm2d, Builder, Conv2d, Linear};

/// A convolution with a square kernel of odd size, padded so that stride 1 keeps the image size.
pub fn square([in_channels, out_channels]: [usize; 2], kernel: usize) -> Conv2d {
    Conv2d {
        in_channels,
        out_channels,
        kernel_size: [kernel, kernel],
        padding: [kernel / 2, kernel / 2],
        ..Default::default()
    }
}

/// A convolution without bias and its batch norm.
pub fn conv_norm(b: &mut Builder, [conv, norm]: [&str; 2], x: ValueId, layer: Conv2d) -> Result<ValueId> {
    let num_features = layer.out_channels;
    let x = b.conv2d(conv, x, Conv2d { bias: false, ..layer })?;
    b.batch_norm2d(norm, x, BatchNorm2d { num_features, ..Default::default() })
}

pub fn relu(b: &mut Builder, name: &str, x: ValueId) -> Result<ValueId> {
    b.scoped(name, |b| b.relu(x))
}

/// A linear layer with bias on `x` `[batch, in_features]`.
pub fn linear(b: &mut Builder, name: &str, x: ValueId, out_features: usize) -> Result<ValueId> {
    let in_features = b.graph.shape(x)[1];
    b.linear(name, x, Linear { in_features, out_features, bias: true })
}

/// Global average pooling and a linear layer: the classifier of every ResNet.
pub fn pool_and_classify(b: &mut Builder, x: ValueId, classes: usize) -> Result<ValueId> {
    let x = b.scoped("avgpool", |b| b.global_avg_pool2d(x))?;
    let x = b.flatten(x)?;
    linear(b, "fc", x, classes)
}
