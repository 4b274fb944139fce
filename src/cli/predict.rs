//! `striate predict`: classifies images.

use super::flags::{DeviceFlags, as_flag};
use super::images::{SKIPPED, find};
use super::json::path;
use super::network::{Network, NetworkFlags};
use super::output::{json, print};
use super::terminal::note;
use super::text;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use striate::data::Preprocessing;
use striate::infer::{Prediction, top};
use striate::{Error, Result};

/// Classifies images.
///
/// Images that cannot be read are reported and skipped; the exit code is then 3.
#[derive(clap::Args)]
pub struct Args {
    /// Model name, which may be omitted if the weights contain it; then the weights, unless --pretrained: a safetensors file,
    /// a .pth archive or a run folder of `striate train`; then images and folders of images
    #[arg(required = true, num_args = 1.., value_names = ["[MODEL] WEIGHTS", "IMAGE"])]
    what: Vec<PathBuf>,
    /// Classes to print for each image
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Images per batch
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    model: String,
    #[serde(serialize_with = "path")]
    weights: PathBuf,
    device: String,
    preprocessing: Preprocessing,
    /// Where the preprocessing comes from.
    #[serde(skip)]
    preprocessing_origin: String,
    #[serde(rename = "pictures")]
    images: Vec<Image>,
    /// Images that could not be read.
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct Image {
    #[serde(serialize_with = "path")]
    #[serde(rename = "picture")]
    image: PathBuf,
    /// The most likely classes, best first.
    top: Vec<Class>,
}

#[derive(Serialize)]
struct Class {
    class: usize,
    name: String,
    logit: f32,
    probability: f64,
}

#[derive(Serialize)]
struct Skipped {
    #[serde(serialize_with = "path")]
    #[serde(rename = "picture")]
    image: PathBuf,
    error: String,
}

pub fn run(args: Args) -> Result<i32> {
    let answer = predict(&args).map_err(as_flag::<Args>)?;
    for skipped in &answer.skipped {
        note(&format!("skipped: {}", text::name(&skipped.error)));
    }
    print(&if args.json { json(&answer) } else { table(&answer) })?;
    Ok(if answer.skipped.is_empty() { 0 } else { SKIPPED })
}

fn predict(args: &Args) -> Result<Answer> {
    let (network, images) = Network::open(&args.what, &args.network)?;
    let images = find(images)?;
    let preprocessing = network.preprocessing(&args.network, None)?;
    let names = network.names(&args.network)?;
    let classes = network.classes(&args.network, names.as_deref())?;
    let device = args.device.open()?;
    let model = network.model(preprocessing.channels(), classes)?;
    let batch = args.batch.min(images.len());
    let mut predictor = network.predictor(&device, &*model, &args.network, preprocessing.size, batch)?;
    args.device.choices.check(predictor.session().plans())?;
    let class = |guess: Prediction| {
        let name = names
            .as_ref()
            .map_or_else(|| format!("class {}", guess.class), |names| names[guess.class].clone());
        Class { class: guess.class, name, logit: guess.logit, probability: guess.probability }
    };
    let (mut answered, mut skipped) = (Vec::new(), Vec::new());
    for images in images.chunks(batch) {
        let (mut paths, mut pixels) = (Vec::new(), Vec::new());
        for (image, read) in images.iter().zip(preprocessing.read_all(images)) {
            match read {
                Ok(values) => {
                    paths.push(image);
                    pixels.extend(values);
                }
                Err(error) => skipped.push(Skipped { image: image.clone(), error: error.to_string() }),
            }
        }
        for (path, logits) in paths.into_iter().zip(predictor.logits(&pixels)?) {
            let top = top(&logits, args.top).into_iter().map(class).collect();
            answered.push(Image { image: path.clone(), top });
        }
    }
    match (answered.is_empty(), skipped.first()) {
        (true, Some(first)) => Err(Error::argument(
            "images",
            format!("none of the {} images could be read; the first error: {}", skipped.len(), first.error),
        )),
        _ => Ok(Answer {
            model: model.name(),
            weights: network.weights.path().to_owned(),
            device: device.describe(),
            preprocessing,
            preprocessing_origin: network.preprocessing_origin(&args.network),
            images: answered,
            skipped,
        }),
    }
}

fn table(answer: &Answer) -> String {
    let mut text = format!("device   {}\nmodel    {}\n", answer.device, answer.model);
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string cannot fail");
    line(format!("images   {} ({})", answer.preprocessing, answer.preprocessing_origin));
    for Image { image, top } in &answer.images {
        line(format!("\n{}", text::name(&image.display().to_string())));
        for class in top {
            line(format!("  {:5.1} %  {}", 100.0 * class.probability, text::name(&class.name)));
        }
    }
    text
}
