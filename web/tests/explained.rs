//! The arithmetic that a page shows for the values of a layer.

use crate::browser::Browser;
use crate::common::network::Network;
use crate::common::{Named, Outcome, Random, named};
use crate::{bytes, run};
use serde_json::json;
use striate::graph::ValueId;
use striate::interpret::LiveNetwork;
use striate::nn::{BatchNorm2d, Builder, Conv2d, Linear};
use striate::op::{AvgPool2d, LocalResponseNorm, MaxPool2d};
use striate::plan::{Family, Target};
use striate::{Result, models};

pub const TESTS: &Named<fn(&Browser) -> Outcome> =
    named![every_layer_is_explained, the_arithmetic_is_in_words];

/// Explains values of all layers, and reports those whose arithmetic gives another value than the network computed.
const EXPLAIN: &str = "
    const { layers } = await (await fetch('layers')).json();
    const executor = await opened(), images = await floats('images'), [, ...image] = executor.inputs('inspect')[0].ty.shape;
    executor.initialize(1);
    const weights = new Map();
    for (const { name, ty, persistence } of executor.persistent) {
      // Initial biases and running averages would change nothing.
      const data = (await executor.readPersistent([name]))[name].map((value, i) => value + 0.1 * Math.cos(i) ** 2);
      executor.write(name, data);
      weights.set(name, { shape: ty.shape, data });
    }
    const values = { images, ...await executor.run('inspect', { images }) }, shapes = { images: image };
    for (const { name, ty } of executor.outputs('inspect')) shapes[name] = ty.shape.slice(1);
    const wrong = [], lines = {};
    for (const { name, value, shape: [channels, rows = 1, columns = 1], steps } of layers) {
      if (!steps.length) wrong.push(`${name} is not explained`);
      const channelsToTry = [0, Math.floor(channels / 2), channels - 1], places = [[0, 0], [rows - 1, columns - 1], [Math.floor(rows / 2), Math.floor(columns / 3)]];
      for (const channel of channelsToTry) for (const [row, column] of places) {
        if (!steps.length) continue;
        const explained = explain(steps, [channel, row, column], { values, weights, shapes });
        const computed = values[value][(channel * rows + row) * columns + column];
        if (!(Math.abs(explained.value - computed) <= 1e-4 * Math.max(1, Math.abs(computed))))
          wrong.push(`${name} ${[channel, row, column]}: ${explained.value} instead of ${computed}`);
        lines[`${name} ${[channel, row, column]}`] = explained.lines;
      }
    }";

fn live(model: &dyn models::Model, size: [usize; 2]) -> Result<[(&'static str, Vec<u8>); 3]> {
    let live = LiveNetwork::new(model, size)?;
    let images = Random::new(7).uniform(&[1, model.in_channels(), size[0], size[1]], -1.0, 1.0);
    let layers = json!({ "layers": live.layers }).to_string().into_bytes();
    let plans = live.plans(&Target::browser(Family::Software))?.to_json()?.into_bytes();
    Ok([("plans", plans), ("layers", layers), ("images", bytes(images.as_f32()))])
}

/// Every kind of window, padded, rounded up and adaptive.
fn windows(b: &mut Builder, images: ValueId) -> Result<ValueId> {
    let conv = |in_channels| Conv2d {
        in_channels,
        out_channels: 5,
        kernel_size: [3; 2],
        padding: [1; 2],
        ..Default::default()
    };
    let x = b.conv2d("conv", images, conv(2))?;
    let norm = LocalResponseNorm { size: 4, alpha: 0.5, beta: 0.6, k: 2.0 };
    let x = b.scoped("norm", |b| b.local_response_norm(x, norm))?;
    let max = MaxPool2d { kernel_size: [3; 2], stride: Some([2; 2]), padding: [1; 2], ceil_mode: true };
    let pooled = b.scoped("max", |b| b.max_pool2d(x, max))?;
    let average = |count_include_pad| AvgPool2d {
        kernel_size: [3, 2],
        stride: Some([2; 2]),
        padding: [1; 2],
        ceil_mode: true,
        count_include_pad,
    };
    let padded = b.scoped("padded", |b| b.avg_pool2d(x, average(true)))?;
    let inside = b.scoped("inside", |b| b.avg_pool2d(x, average(false)))?;
    let inside = b.scoped("adaptive", |b| b.adaptive_avg_pool2d(inside, [4, 3]))?;
    let padded = b.scoped("other", |b| b.adaptive_avg_pool2d(padded, [4, 3]))?;
    let pooled = b.scoped("pooled", |b| b.adaptive_avg_pool2d(pooled, [4, 3]))?;
    let x = b.scoped("join", |b| {
        let joined = b.concat(&[pooled, padded, inside])?;
        b.relu(joined)
    })?;
    let x = b.conv2d("last", x, conv(15))?;
    let x = b.batch_norm2d("bn", x, BatchNorm2d { num_features: 5, ..Default::default() })?;
    let x = b.scoped("largest", |b| b.global_max_pool2d(x))?;
    let x = b.flatten(x)?;
    b.linear("fc", x, Linear { in_features: 5, out_features: 3, bias: true })
}

const WINDOWS: Network<fn(&mut Builder, ValueId) -> Result<ValueId>> =
    Network { name: "windows", input: [2, 11, 9], classes: 3, forward: windows };

fn every_layer_is_explained(browser: &Browser) -> Outcome {
    let lenet = models::by_name("lenet", 1, 10)?;
    let option_a = models::by_name("resnet8-a", 3, 10)?;
    let googlenet = models::by_name("googlenet-original", 3, 10)?;
    let networks: [(&dyn models::Model, [usize; 2]); 4] =
        [(&WINDOWS, [11, 9]), (&*lenet, [28, 28]), (&*option_a, [16, 16]), (&*googlenet, [48, 48])];
    for (model, size) in networks {
        let body = format!("{EXPLAIN} return wrong;");
        let wrong = run(browser, &body, &live(model, size)?);
        assert_eq!(wrong, json!([]), "{}", model.name());
    }
    Ok(())
}

fn the_arithmetic_is_in_words(browser: &Browser) -> Outcome {
    let body = format!(
        "{EXPLAIN} return ['norm 2,5,3', 'max 0,0,0', 'padded 0,0,0', 'inside 0,0,0', 'join 7,2,1'].map(at => lines[at].map(line => line.name + ': ' + line.text));"
    );
    let found = run(browser, &body, &live(&WINDOWS, [11, 9])?);
    let parts = [
        &["squares of channels 0 to 3: ", "local response normalization: ", " / (2 + 0.5 / 4 × "][..],
        &["max-pooling: the largest of 4 values of channel 0 is at row "],
        &["average pooling: the sum of 2 values of channel 0, ", " / 6 = "],
        &["average pooling: the sum of 2 values of channel 0, ", " / 2 = "],
        &["concatenation: channel 7 is channel 2 of other: ", "ReLU: max(0, "],
    ];
    for (found, parts) in found.as_array().expect("a list").iter().zip(parts) {
        let lines = found.to_string();
        assert!(parts.iter().all(|part| lines.contains(part)), "{lines} without {parts:?}");
    }
    Ok(())
}
