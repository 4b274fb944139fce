//! The networks that the views are tested on, with weights by rule.

use striate::data::{Normalization, Preprocessing};
use striate::graph::ValueId;
use striate::infer::Predictor;
use striate::models::Model;
use striate::nn::{BatchNorm2d, Builder, Conv2d, Linear};
use striate::op::MaxPool2d;
use striate::see::Lens;
use striate::{Device, Result, Tensor};

/// Side of the pictures.
pub const SIDE: usize = 8;

/// The network of `tests/goldens/see.py`.
pub struct Net;

/// One linear layer on all numbers of a picture.
pub struct Flat;

impl Model for Net {
    fn name(&self) -> String {
        "net".into()
    }

    fn in_channels(&self) -> usize {
        3
    }

    fn input_size(&self) -> [usize; 2] {
        [SIDE; 2]
    }

    fn classes(&self) -> usize {
        3
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let conv = |in_channels, bias| Conv2d {
            in_channels,
            out_channels: 4,
            kernel_size: [3, 3],
            padding: [1, 1],
            bias,
            ..Default::default()
        };
        let block = b.scoped("block", |b| {
            let x = b.conv2d("conv1", images, conv(3, true))?;
            let x = b.relu(x)?;
            let y = b.conv2d("conv2", x, conv(4, false))?;
            let y = b.batch_norm2d("bn2", y, BatchNorm2d { num_features: 4, ..Default::default() })?;
            let y = b.add(y, x)?;
            b.relu(y)
        })?;
        let x = b.max_pool2d(block, MaxPool2d::default())?;
        let x = b.global_avg_pool2d(x)?;
        let x = b.flatten(x)?;
        b.linear("fc", x, Linear { in_features: 4, out_features: 3, bias: true })
    }
}

impl Model for Flat {
    fn name(&self) -> String {
        "flat".into()
    }

    fn in_channels(&self) -> usize {
        3
    }

    fn input_size(&self) -> [usize; 2] {
        [SIDE; 2]
    }

    fn classes(&self) -> usize {
        3
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let x = b.flatten(images)?;
        b.linear("fc", x, Linear { in_features: 3 * SIDE * SIDE, out_features: 3, bias: true })
    }
}

/// Numbers by the rule of `tests/goldens/see.py`.
pub fn numbers(len: usize, seed: usize, scale: f32) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 11) % 101) as f32 - 50.0).map(|n| n / 64.0 * scale).collect()
}

/// Two pictures.
pub fn images() -> Vec<f32> {
    numbers(2 * 3 * SIDE * SIDE, 9, 2.0)
}

/// A model with weights by rule, three pictures at a time, so that a batch is never full of the two.
pub fn lens(device: &Device, model: &dyn Model) -> Result<Lens> {
    let mut predictor = Predictor::new(&Device::select("cpu")?, model, [SIDE; 2], 1)?;
    let weights = predictor.session().state_dict()?.into_iter().enumerate().map(|(i, (name, tensor))| {
        let mut values = numbers(tensor.len(), i + 1, 0.5);
        if name.ends_with("var") {
            values.iter_mut().for_each(|n| *n = n.abs() + 0.5);
        }
        Ok((name, Tensor::f32(tensor.shape(), values)?))
    });
    let weights = weights.collect::<Result<_>>()?;
    let normalization = Normalization { mean: vec![0.5, 0.4, 0.3], std: vec![0.25, 0.2, 0.3] };
    Lens::new(device, model, weights, Preprocessing { size: [SIDE; 2], resize: None, normalization }, 3)
}
