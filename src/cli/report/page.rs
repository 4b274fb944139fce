//! Builds the page from the files and results of a run.

use super::mistakes::{Mistake, TestResults};
use crate::cli::html::{EmbeddedImage, Fact, svg_uri};
use crate::cli::profile::LayerTimes;
use crate::cli::train::{Metrics, Row};
use image::{Rgb, RgbImage};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use striate::Device;
use striate::data::Dataset;

/// Everything that goes into the page.
pub struct RunResults<'a> {
    pub run: &'a Path,
    pub metrics: &'a Metrics,
    pub config: &'a Value,
    /// Number of training images.
    pub training_images: usize,
    pub test: &'a Dataset,
    pub results: &'a TestResults,
    pub times: &'a LayerTimes,
    pub device: &'a Device,
    pub batch: usize,
    /// SVG.
    pub curves: &'a str,
    pub matrix: &'a str,
}

#[derive(Serialize)]
pub struct Page {
    title: String,
    lead: String,
    facts: Vec<Fact>,
    curves: String,
    epochs: Vec<Epoch>,
    matrix: String,
    classes: Vec<Class>,
    confused: Vec<Pair>,
    wrong: Vec<EmbeddedImage>,
    times: Times,
    settings: Vec<Fact>,
}

/// A row of `metrics.csv`, formatted.
#[derive(Serialize)]
struct Epoch {
    epoch: usize,
    lr: String,
    train: [String; 2],
    test: [String; 2],
    seconds: String,
}

#[derive(Serialize)]
struct Class {
    name: String,
    recall: String,
    precision: String,
    mistaken_for: String,
}

/// A class, and a class that it is mistaken for.
#[derive(Serialize)]
struct Pair {
    heading: String,
    figures: Vec<EmbeddedImage>,
}

#[derive(Serialize)]
struct Times {
    about: String,
    rows: Vec<Time>,
}

#[derive(Serialize)]
struct Time {
    layer: String,
    phase: &'static str,
    ms: String,
    /// Percentage of the step.
    share: String,
    rate: String,
}

/// Confused pairs shown, images per pair, and worst mistakes shown.
const PAIRS: usize = 6;
const OF_PAIR: usize = 7;
const WRONG: usize = 24;

pub fn page(run_results: &RunResults<'_>) -> Page {
    let RunResults { run, metrics, config, test, results, times, .. } = run_results;
    let names = test.classes();
    let evaluation = &results.evaluation;
    let model = config["model"]["name"].as_str().unwrap_or("a network");
    let pair = |mistakes: &Vec<Mistake>| {
        let Mistake { class, predicted, .. } = mistakes[0];
        let all = evaluation.images_of(class);
        Pair {
            heading: format!(
                "{} mistaken for {}: {} of {all}",
                names[class],
                names[predicted],
                mistakes.len()
            ),
            figures: mistakes.iter().take(OF_PAIR).map(|mistake| figure(test, mistake)).collect(),
        }
    };
    Page {
        title: format!("{model} on {}", test.name()),
        lead: format!("How {} was trained, and what it gets wrong.", run.display()),
        facts: facts(run_results),
        curves: svg_uri(run_results.curves.as_bytes()),
        epochs: metrics.rows().iter().map(epoch).collect(),
        matrix: svg_uri(run_results.matrix.as_bytes()),
        classes: (0..names.len()).map(|class| self::class(results, names, class)).collect(),
        confused: results.confused(PAIRS).iter().map(pair).collect(),
        wrong: results.worst(WRONG).iter().map(|mistake| figure(test, mistake)).collect(),
        times: self::times(times, run_results.batch, run_results.device),
        settings: settings(&config["settings"]),
    }
}

fn facts(RunResults { metrics, config, training_images, test, results, .. }: &RunResults<'_>) -> Vec<Fact> {
    let evaluation = &results.evaluation;
    let seconds: f64 = metrics.rows().iter().map(|row| row.train_seconds + row.test_seconds).sum();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut facts = vec![
        Fact::new("Test accuracy", percent(evaluation.top1())),
        Fact::new("Top-5 accuracy", percent(evaluation.top5())),
        Fact::new("Test loss", format!("{:.4}", evaluation.loss())),
        Fact::new("Parameters", text(&config["model"]["parameters"])),
        Fact::new("Images", format!("{training_images} for training, {} for testing", test.len())),
        Fact::new("Epochs", metrics.rows().len().to_string()),
        Fact::new("Time", format!("{seconds:.0} s")),
        Fact::new("Device", text(&config["device"]["name"])),
    ];
    if let Some(memory) = config["device"]["memory_bytes"].as_f64() {
        facts.push(Fact::new("Memory", format!("{:.1} MiB", memory / f64::from(1 << 20))));
    }
    facts
}

fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

fn epoch(row: &Row) -> Epoch {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    Epoch {
        epoch: row.epoch,
        lr: format!("{:.4}", row.lr),
        train: [format!("{:.4}", row.train_loss), percent(row.train_accuracy)],
        test: [
            or_none(row.test_loss.map(|loss| format!("{loss:.4}"))),
            or_none(row.test_accuracy.map(percent)),
        ],
        seconds: format!("{:.1}", row.train_seconds + row.test_seconds),
    }
}

fn class(results: &TestResults, names: &[String], class: usize) -> Class {
    let evaluation = &results.evaluation;
    let or_none = |fraction: Option<f64>| fraction.map_or_else(|| "-".to_owned(), percent);
    let mistaken_for = evaluation.mistaken_for(class);
    Class {
        name: names[class].clone(),
        recall: or_none(evaluation.recall(class)),
        precision: or_none(evaluation.precision(class)),
        mistaken_for: mistaken_for
            .map_or_else(String::new, |(other, count)| format!("{} ({count})", names[other])),
    }
}

fn figure(data: &Dataset, mistake: &Mistake) -> EmbeddedImage {
    let Mistake { image, class, predicted, confidence, .. } = *mistake;
    let names = data.classes();
    let (own, other) = (&names[class], &names[predicted]);
    let label = format!("{own}, mistaken for {other} ({:.0} %)", 100.0 * confidence);
    EmbeddedImage::new(
        &photo(data, image),
        label,
        format!("Test image {image} of class {own}, mistaken for {other}"),
    )
}

/// An image of a data set, in color or gray.
fn photo(data: &Dataset, image: usize) -> RgbImage {
    let [channels, height, width] = data.shape();
    let bytes = &data.images()[image * data.image_len()..][..data.image_len()];
    let pixels = height * width;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let index = y as usize * width + x as usize;
        Rgb(std::array::from_fn(|color| bytes[color.min(channels - 1) * pixels + index]))
    })
}

fn times(times: &LayerTimes, batch: usize, device: &Device) -> Times {
    let rows = times.rows.iter().map(|row| Time {
        layer: row.name.clone(),
        phase: row.phase,
        ms: format!("{:.3}", row.ms),
        share: format!("{:.1}", 100.0 * row.share),
        rate: format!("{:.1}", row.gflop_per_s),
    });
    Times {
        about: format!(
            "A training step with {batch} images, measured for this page on {}: {:.1} ms, {:.1} ms of them in kernel \
             launches. The optimizer is SGD with momentum, whatever the run used.",
            device.describe(),
            times.step_ms,
            times.launches_ms
        ),
        rows: rows.collect(),
    }
}

/// The settings that the run began with, without empty ones.
fn settings(settings: &Value) -> Vec<Fact> {
    let all = settings.as_object().into_iter().flatten();
    let set =
        all.filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    set.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Fact::new(format!("--{}", name.replace('_', "-")), text)
    })
    .collect()
}
