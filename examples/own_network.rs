//! Defines and trains a network with a residual block and branches, on synthetic images of stripes.
//! `cargo run --release --example own_network`
//!
//! The optional argument is the device, as for `--device`: `auto`, `cpu`, or part of the name of a GPU.

use striate::graph::ValueId;
use striate::models::Model;
use striate::nn::{BatchNorm2d, Builder, Conv2d, Linear, Optimizer, SgdConfig};
use striate::op::MaxPool2d;
use striate::plan::{Plan, Summary};
use striate::train::{Recipe, training_graph};
use striate::{Device, Input, Result, Session};

/// Classifies stripes as horizontal or vertical.
struct Stripes;

impl Model for Stripes {
    fn name(&self) -> String {
        "stripes".into()
    }

    fn in_channels(&self) -> usize {
        1
    }

    fn input_size(&self) -> [usize; 2] {
        [16, 16]
    }

    fn classes(&self) -> usize {
        2
    }

    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId> {
        let x = conv(b, "conv1", images, [1, 8], [3, 3])?;
        let x = b.max_pool2d(x, MaxPool2d::default())?;
        // Scopes prefix names: `block.conv.weight`.
        let x = b.scoped("block", |b| {
            let y = conv(b, "conv", x, [8, 8], [3, 3])?;
            let y = b.batch_norm2d("bn", y, BatchNorm2d { num_features: 8, ..Default::default() })?;
            let y = b.add(y, x)?;
            b.relu(y)
        })?;
        let tall = conv(b, "tall", x, [8, 4], [5, 1])?;
        let wide = conv(b, "wide", x, [8, 4], [1, 5])?;
        let x = b.concat(&[tall, wide])?;
        let x = b.global_avg_pool2d(x)?;
        let x = b.flatten(x)?;
        b.linear("fc", x, Linear { in_features: 8, out_features: 2, bias: true })
    }
}

/// A convolution that keeps the image size, followed by ReLU.
fn conv(
    b: &mut Builder,
    name: &str,
    x: ValueId,
    [from, to]: [usize; 2],
    kernel: [usize; 2],
) -> Result<ValueId> {
    let conv = Conv2d {
        in_channels: from,
        out_channels: to,
        kernel_size: kernel,
        padding: kernel.map(|size| size / 2),
        ..Default::default()
    };
    let x = b.conv2d(name, x, conv)?;
    b.relu(x)
}

fn main() -> Result<()> {
    let device = Device::select(std::env::args().nth(1).as_deref().unwrap_or("auto"))?;
    println!("on {}", device.describe());

    let recipe = Recipe { optimizer: Optimizer::Sgd(SgdConfig::HE_2015), ..Default::default() };
    let graph = training_graph(&Stripes, [16, 1, 16, 16], &recipe)?;
    println!("{} parameters", Summary::of(&graph).parameters);
    let mut session = Session::new(&device, vec![Plan::new(&graph, device.target())?])?;
    session.initialize(1)?;

    // Sixteen images, with vertical stripes in the odd ones, of various widths and phases.
    let pixel = |i: usize, y: usize, x: usize| {
        let across = if i % 2 == 1 { x } else { y };
        ((across + i) as f32 * (0.8 + 0.1 * (i / 2) as f32)).sin()
    };
    let images: Vec<f32> = (0..16 * 256).map(|at| pixel(at / 256, at / 16 % 16, at % 16)).collect();
    let labels: Vec<u32> = (0..16).map(|i| i % 2).collect();
    let mut last = f32::INFINITY;
    for step in 0..30 {
        let schedule = recipe.optimizer.schedule(0.05, step);
        let feed: [(&str, Input); 3] = [
            (Builder::IMAGES, (&images).into()),
            (Recipe::LABELS, (&labels).into()),
            (Optimizer::SCHEDULE, (&schedule).into()),
        ];
        let outputs = session.run(0, &feed)?;
        let scalar = |name| outputs.scalar(name).expect("it is an output of the training step");
        last = scalar(Recipe::LOSS);
        if step % 5 == 0 {
            println!("step {step:2}: loss {last:.4}, {} of 16 correct", scalar(Recipe::CORRECT));
        }
    }
    println!("final loss {last:.4}");
    Ok(())
}
