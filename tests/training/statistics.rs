//! Batch norm's statistics after an epoch.

use crate::common::network::Network;
use crate::common::*;
use crate::support::{epoch, get, split};
use striate::nn::{BatchNorm2d, Builder, Linear, Rules};
use striate::train::{Recipe, TrainConfig, Trainer};
use striate::{Device, Result};

/// Mean and variance of the single channel after an epoch with `config`, in which batch norm comes first, so that they only
/// depend on the images.
fn statistics(device: &Device, images: usize, config: TrainConfig) -> Result<[f32; 2]> {
    with_momentum(device, images, config, 0.1)
}

fn with_momentum(device: &Device, images: usize, config: TrainConfig, momentum: f32) -> Result<[f32; 2]> {
    let forward = move |b: &mut Builder, x| {
        let x = b.batch_norm2d("bn", x, BatchNorm2d { momentum, ..Default::default() })?;
        let x = b.flatten(x)?;
        b.linear("fc", x, Linear { in_features: 64, out_features: 3, bias: true })
    };
    let model = Network { name: "norm first", input: [1, 8, 8], classes: 3, forward };
    let mut trainer = Trainer::new(device, &model, split(images, 3), config)?;
    epoch(&mut trainer)?;
    let state = trainer.weights()?;
    Ok(["bn.running_mean", "bn.running_var"].map(|name| get(&state, name).as_f32()[0]))
}

/// Mean and unbiased variance of the normalized pixels of all training images.
fn of_images(images: usize) -> [f32; 2] {
    let data = split(images, 3).train;
    let pixels: Vec<f64> = (0..images)
        .flat_map(|i| data.image(i).iter().map(|v| (f64::from(*v) / 255.0 - 0.5) / 0.25).collect::<Vec<_>>())
        .collect();
    let count = pixels.len() as f64;
    let mean = pixels.iter().sum::<f64>() / count;
    let squares: f64 = pixels.iter().map(|v| (v - mean).powi(2)).sum();
    [mean as f32, (squares / (count - 1.0)) as f32]
}

fn expect(what: &str, found: [f32; 2], wanted: [f32; 2], tolerance: f32) -> Outcome {
    let near = |(a, b): (f32, f32)| (a - b).abs() <= tolerance;
    match found.into_iter().zip(wanted).all(near) {
        true => Ok(()),
        false => Err(format!("{what}: mean and variance are {found:?}, expected {wanted:?}").into()),
    }
}

fn config(batch: usize) -> TrainConfig {
    TrainConfig { epochs: 1, batch, lr: 0.01, ..Default::default() }
}

pub fn statistics_are_those_of_the_images(device: &Device) -> Outcome {
    expect("one batch", statistics(device, 12, config(12))?, of_images(12), 1e-5)?;
    // Variances within batches miss those between them.
    expect("batches", statistics(device, 12, config(4))?, of_images(12), 0.05)?;
    expect("a short last batch", statistics(device, 13, config(6))?, of_images(13), 0.2)?;
    let accumulate = TrainConfig { accumulate: 2, ..config(12) };
    expect("micro-batches", statistics(device, 12, accumulate)?, of_images(12), 0.05)?;
    let averaged = Recipe { ema: Some(0.9), ..Default::default() };
    expect(
        "averaged weights",
        statistics(device, 12, TrainConfig { recipe: averaged, ..config(12) })?,
        of_images(12),
        1e-5,
    )
}

pub fn statistics_stay_where_they_should(device: &Device) -> Outcome {
    for ema in [None, Some(0.9)] {
        let rules = Rules { freeze: Rules::patterns(&["bn.*"])?, ..Default::default() };
        let recipe = Recipe { rules, ema, ..Default::default() };
        let frozen = statistics(device, 12, TrainConfig { recipe, ..config(12) })?;
        expect(&format!("frozen, ema {ema:?}"), frozen, [0.0, 1.0], 0.0)?;
    }
    expect("momentum 0", with_momentum(device, 12, config(12), 0.0)?, [0.0, 1.0], 0.0)?;
    let running = statistics(device, 12, TrainConfig { precise_bn: false, ..config(12) })?;
    let [mean, var] = of_images(12);
    expect("running averages", running, [0.1 * mean, 0.9 + 0.1 * var], 1e-5)
}
