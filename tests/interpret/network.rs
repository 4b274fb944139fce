//! Networks for these tests.

use crate::common::network::Network;
use striate::data::{Normalization, Preprocessing};
use striate::graph::ValueId;
use striate::infer::Predictor;
use striate::interpret::Lens;
use striate::models::Model;
use striate::nn::{BatchNorm2d, Builder, Conv2d, Linear};
use striate::op::{LocalResponseNorm, MaxPool2d};
use striate::rng::SplitMix64;
use striate::{Device, Result, Tensor};

/// Side of the images.
pub const SIDE: usize = 8;

type Forward = fn(&mut Builder, ValueId) -> Result<ValueId>;

/// Two convolutions, the second with batch norm and a residual; also in `tests/goldens/interpret.py`.
pub const NET: Network<Forward> = small("net", |b, images| {
    let block = b.scoped("block", |b| {
        let x = b.conv2d("conv1", images, conv(3, 3, 4))?;
        let x = b.relu(x)?;
        let y = b.conv2d("conv2", x, Conv2d { bias: false, ..conv(3, 4, 4) })?;
        let y = b.batch_norm2d("bn2", y, BatchNorm2d { num_features: 4, ..Default::default() })?;
        let y = b.add(y, x)?;
        b.relu(y)
    })?;
    let x = b.max_pool2d(block, MaxPool2d::default())?;
    classifier(b, x)
});

/// Local response normalization, overlapping max pooling, and concatenated branches; also in `tests/goldens/interpret.py`.
pub const BRANCHES: Network<Forward> = small("branches", |b, images| {
    let x = b.conv2d("conv1", images, conv(3, 3, 6))?;
    let x = b.relu(x)?;
    let norm = LocalResponseNorm { size: 3, alpha: 0.5, ..Default::default() };
    let x = b.scoped("norm", |b| b.local_response_norm(x, norm))?;
    let overlapping = |stride, padding| MaxPool2d {
        kernel_size: [3; 2],
        stride: Some([stride; 2]),
        padding: [padding; 2],
        ceil_mode: true,
    };
    let x = b.scoped("pool", |b| b.max_pool2d(x, overlapping(2, 0)))?;
    let block = b.scoped("block", |b| {
        let first = b.conv2d("branch1", x, conv(1, 6, 2))?;
        let second = b.conv2d("branch2", x, conv(3, 6, 3))?;
        let third = b.max_pool2d(x, overlapping(1, 1))?;
        let third = b.conv2d("branch3", third, conv(1, 6, 2))?;
        let joined = b.concat(&[first, second, third])?;
        b.relu(joined)
    })?;
    classifier(b, block)
});

/// Concatenated branches that end with ReLUs.
pub const RECTIFIED: Network<Forward> = small("rectified", |b, images| {
    let block = b.scoped("block", |b| {
        let first = b.conv2d("branch1", images, conv(1, 3, 2))?;
        let second = b.conv2d("branch2", images, conv(3, 3, 2))?;
        let branches = [b.relu(first)?, b.relu(second)?];
        b.concat(&branches)
    })?;
    classifier(b, block)
});

/// A linear layer on all pixels.
pub const FLAT: Network<Forward> = small("flat", |b, images| {
    let x = b.flatten(images)?;
    b.linear("fc", x, Linear { in_features: 3 * SIDE * SIDE, out_features: 3, bias: true })
});

/// A network with three classes for images of 3 x [`SIDE`] x [`SIDE`].
const fn small(name: &'static str, forward: Forward) -> Network<Forward> {
    Network { name, input: [3, SIDE, SIDE], classes: 3, forward }
}

fn conv(kernel: usize, in_channels: usize, out_channels: usize) -> Conv2d {
    let (kernel_size, padding) = ([kernel; 2], [kernel / 2; 2]);
    Conv2d { in_channels, out_channels, kernel_size, padding, ..Default::default() }
}

fn classifier(b: &mut Builder, x: ValueId) -> Result<ValueId> {
    let x = b.global_avg_pool2d(x)?;
    let x = b.flatten(x)?;
    let in_features = b.graph.shape(x)[1];
    b.linear("fc", x, Linear { in_features, out_features: 3, bias: true })
}

/// Deterministic values, by the formula in `tests/goldens/interpret.py`.
pub fn pattern(len: usize, seed: usize, scale: f32) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 11) % 101) as f32 - 50.0).map(|n| n / 64.0 * scale).collect()
}

/// Two images by the same formula.
pub fn images() -> Vec<f32> {
    pattern(2 * 3 * SIDE * SIDE, 9, 2.0)
}

/// Random images, normalized.
pub fn noise(lens: &Lens, images: usize) -> Vec<f32> {
    let mut random = SplitMix64::new(5);
    (0..images * lens.image_len()).map(|_| random.normal() as f32).collect()
}

/// A model with weights by formula. Batches of three, so that two images never fill one.
pub fn lens(device: &Device, model: &dyn Model) -> Result<Lens> {
    let mut number = 0;
    lens_of(device, model, SIDE, 3, |name, len, _| {
        number += 1;
        let mut values = pattern(len, number, 0.5);
        if name.ends_with("var") {
            values.iter_mut().for_each(|n| *n = n.abs() + 0.5);
        }
        values
    })
}

/// [`RECTIFIED`] with biases that keep all its channels at 0 on images near gray.
pub fn silent(device: &Device) -> Result<Lens> {
    let mut number = 0;
    lens_of(device, &RECTIFIED, SIDE, 3, |name, len, _| {
        number += 1;
        if name.ends_with("bias") { vec![-0.6; len] } else { pattern(len, number, 0.25) }
    })
}

/// A freshly initialized model, with running statistics and biases that matter.
pub fn untrained(device: &Device, model: &dyn Model, side: usize) -> Result<Lens> {
    let mut random = SplitMix64::new(2);
    lens_of(device, model, side, 24, |name, len, first| match name {
        _ if name.ends_with("var") => (0..len).map(|_| 0.5 + random.unit() as f32).collect(),
        _ if name.ends_with("mean") || name.ends_with("bias") => {
            (0..len).map(|_| 0.2 * random.normal() as f32).collect()
        }
        _ => first.to_vec(),
    })
}

/// A freshly initialized model in which 0 stays 0: biases and running means are 0.
pub fn unbiased(device: &Device, model: &dyn Model, side: usize) -> Result<Lens> {
    lens_of(device, model, side, 2, |name, len, first| match name {
        _ if name.ends_with("mean") || name.ends_with("bias") => vec![0.0; len],
        _ => first.to_vec(),
    })
}

/// A model whose weights are made from their name, length and initial values.
fn lens_of(
    device: &Device,
    model: &dyn Model,
    side: usize,
    batch: usize,
    mut weigh: impl FnMut(&str, usize, &[f32]) -> Vec<f32>,
) -> Result<Lens> {
    let mut predictor = Predictor::new(&Device::select("cpu")?, model, [side; 2], 1)?;
    predictor.session().initialize(1)?;
    let weights = predictor.session().state_dict()?.into_iter().map(|(name, tensor)| {
        let values = weigh(&name, tensor.len(), tensor.as_f32());
        Ok((name, Tensor::f32(tensor.shape(), values)?))
    });
    let weights = weights.collect::<Result<_>>()?;
    let normalization = Normalization { mean: vec![0.5, 0.4, 0.3], std: vec![0.25, 0.2, 0.3] };
    Lens::new(device, model, weights, Preprocessing::new([side; 2], normalization), batch)
}
