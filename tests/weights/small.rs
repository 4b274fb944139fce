//! The network of `tests/goldens/weights.py`, with deterministic weights.

use crate::network::Network;
use striate::graph::ValueId;
use striate::infer::Predictor;
use striate::models::Model;
use striate::nn::{BatchNorm2d, Builder, Conv2d, Linear};
use striate::{Device, Tensor};

fn network() -> impl Model {
    let forward = |b: &mut Builder, images: ValueId| {
        let conv = Conv2d {
            in_channels: 3,
            out_channels: 4,
            kernel_size: [3, 3],
            padding: [1, 1],
            ..Default::default()
        };
        let x = b.conv2d("conv1", images, Conv2d { bias: false, ..conv })?;
        let x = b.batch_norm2d("bn1", x, BatchNorm2d { num_features: 4, ..Default::default() })?;
        let x = b.relu(x)?;
        let x = b.global_avg_pool2d(x)?;
        let x = b.flatten(x)?;
        b.linear("fc", x, Linear { in_features: 4, out_features: 3, bias: true })
    };
    Network { name: "small", input: [3, 5, 5], classes: 3, forward }
}

/// Weights that are exact in half precision; variances are positive.
pub fn tensors() -> Vec<(String, Tensor)> {
    let shapes: [(&str, &[usize]); 7] = [
        ("conv1.weight", &[4, 3, 3, 3]),
        ("bn1.weight", &[4]),
        ("bn1.bias", &[4]),
        ("bn1.running_mean", &[4]),
        ("bn1.running_var", &[4]),
        ("fc.weight", &[3, 4]),
        ("fc.bias", &[3]),
    ];
    let tensor = |(number, (name, shape)): (usize, &(&str, &[usize]))| {
        let any = |i: usize| (((i + number) * 37 % 101) as f32 - 50.0) / 64.0;
        let positive = |i: usize| 0.5 + (i % 5) as f32 / 8.0;
        let len = shape.iter().product();
        let values = (0..len).map(|i| if name.ends_with("var") { positive(i) } else { any(i) });
        ((*name).to_owned(), Tensor::f32(*shape, values.collect()).unwrap())
    };
    shapes.iter().enumerate().map(tensor).collect()
}

/// Two images of 5 x 5.
pub fn images() -> Vec<f32> {
    (0..2 * 3 * 5 * 5).map(|i| ((i * 29 % 97) as f32 - 48.0) / 32.0).collect()
}

/// The network on the CPU, with zero weights.
pub fn predictor() -> Predictor {
    Predictor::new(&Device::select("cpu").unwrap(), &network(), [5, 5], 2).unwrap()
}
