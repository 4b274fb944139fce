//! A small data set, two small networks, and shared helpers.

use crate::common::network::Network;
use std::ops::ControlFlow;
use std::sync::Arc;
use striate::data::{Dataset, Normalization, Split};
use striate::graph::ValueId;
use striate::models::Model;
use striate::nn::{BatchNorm2d, Builder, Conv2d, Linear};
use striate::rng::SplitMix64;
use striate::train::{EpochReport, TrainConfig, Trainer};
use striate::{Device, Result, Tensor};

pub type State = Vec<(String, Tensor)>;

/// Noise images that are brighter for higher classes.
pub fn split(train: usize, classes: usize) -> Split {
    let set = |count: usize, seed: u64| {
        let mut rng = SplitMix64::new(seed);
        let labels: Vec<u32> = (0..count).map(|i| (i % classes) as u32).collect();
        let images =
            labels.iter().flat_map(|l| (0..64).map(|_| (rng.below(150) + 30 * l) as u8).collect::<Vec<_>>());
        let names = (0..classes).map(|i| format!("class {i}")).collect();
        Arc::new(Dataset::new("noise", [1, 8, 8], images.collect(), labels, names).unwrap())
    };
    let normalization = Normalization { mean: vec![0.5], std: vec![0.25] };
    Split {
        train: set(train, 1),
        validation: None,
        test: set(6, 2),
        normalization,
        notes: Vec::new(),
        skipped: Vec::new(),
    }
}

/// Two convolutions and a linear layer, optionally with batch norm.
pub fn small(norm: bool, classes: usize) -> impl Model {
    let forward = move |b: &mut Builder, mut x: ValueId| {
        for (i, [in_channels, out_channels]) in [[1, 6], [6, 5]].into_iter().enumerate() {
            let (kernel_size, padding) = ([3, 3], [1, 1]);
            let conv = Conv2d { in_channels, out_channels, kernel_size, padding, ..Default::default() };
            x = b.conv2d(&format!("conv{i}"), x, conv)?;
            if norm {
                let batch_norm = BatchNorm2d { num_features: out_channels, ..Default::default() };
                x = b.batch_norm2d(&format!("bn{i}"), x, batch_norm)?;
            }
            x = b.relu(x)?;
        }
        x = b.global_avg_pool2d(x)?;
        x = b.flatten(x)?;
        b.linear("fc", x, Linear { in_features: 5, out_features: classes, bias: true })
    };
    Network { name: "small", input: [1, 8, 8], classes, forward }
}

pub fn trainer(device: &Device, norm: bool, images: usize, config: &TrainConfig) -> Result<Trainer> {
    Trainer::new(device, &small(norm, 3), split(images, 3), config.clone())
}

pub fn epoch(trainer: &mut Trainer) -> Result<EpochReport> {
    trainer.epoch(&mut |_| ControlFlow::Continue(()))
}

/// Trains all epochs and returns the weights.
pub fn trained(trainer: &mut Trainer) -> Result<State> {
    while trainer.epochs_left() > 0 {
        epoch(trainer)?;
    }
    trainer.session().state_dict()
}

pub fn get<'a>(state: &'a State, name: &str) -> &'a Tensor {
    &state.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("there is no {name}")).1
}
