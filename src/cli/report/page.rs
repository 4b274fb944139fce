//! From what a run left behind to what is on its page.

use super::mistakes::{Answers, Mistake};
use crate::cli::html::{Fact, Figure, svg_uri};
use crate::cli::profile::LayerTimes;
use crate::cli::train::{Metrics, Row};
use image::{Rgb, RgbImage};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use striate::Device;
use striate::data::Dataset;

/// What the page is made of.
pub struct Sources<'a> {
    pub run: &'a Path,
    pub metrics: &'a Metrics,
    pub config: &'a Value,
    /// Training images.
    pub learned_from: usize,
    pub test: &'a Dataset,
    pub answers: &'a Answers,
    pub times: &'a LayerTimes,
    pub device: &'a Device,
    pub batch: usize,
    /// SVGs.
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
    wrong: Vec<Figure>,
    times: Times,
    settings: Vec<Fact>,
}

/// A row of `metrics.csv`, as text.
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
    taken_for: String,
}

/// Two classes that are taken for each other.
#[derive(Serialize)]
struct Pair {
    heading: String,
    figures: Vec<Figure>,
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
    /// Of the step, in percent.
    share: String,
    rate: String,
}

/// Pairs of classes that are shown, and images of each; images that are the most wrong.
const PAIRS: usize = 6;
const OF_PAIR: usize = 7;
const WRONG: usize = 24;

pub fn page(sources: &Sources<'_>) -> Page {
    let Sources { run, metrics, config, test, answers, times, .. } = sources;
    let names = test.classes();
    let evaluation = &answers.evaluation;
    let model = config["model"]["name"].as_str().unwrap_or("a network");
    let pair = |mistakes: &Vec<Mistake>| {
        let Mistake { class, taken_for, .. } = mistakes[0];
        let all = evaluation.images_of(class);
        Pair {
            heading: format!("{} taken for {}: {} of {all}", names[class], names[taken_for], mistakes.len()),
            figures: mistakes.iter().take(OF_PAIR).map(|mistake| figure(test, mistake)).collect(),
        }
    };
    Page {
        title: format!("{model} on {}", test.name()),
        lead: format!("How it was trained, and what it gets wrong: {}.", run.display()),
        facts: facts(sources),
        curves: svg_uri(sources.curves.as_bytes()),
        epochs: metrics.rows().iter().map(epoch).collect(),
        matrix: svg_uri(sources.matrix.as_bytes()),
        classes: (0..names.len()).map(|class| self::class(answers, names, class)).collect(),
        confused: answers.confused(PAIRS).iter().map(pair).collect(),
        wrong: answers.worst(WRONG).iter().map(|mistake| figure(test, mistake)).collect(),
        times: self::times(times, sources.batch, sources.device),
        settings: settings(&config["settings"]),
    }
}

fn facts(Sources { metrics, config, learned_from, test, answers, .. }: &Sources<'_>) -> Vec<Fact> {
    let evaluation = &answers.evaluation;
    let seconds: f64 = metrics.rows().iter().map(|row| row.train_seconds + row.test_seconds).sum();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut facts = vec![
        Fact::new("Test accuracy", percent(evaluation.top1())),
        Fact::new("Among the first five", percent(evaluation.top5())),
        Fact::new("Test loss", format!("{:.4}", evaluation.loss())),
        Fact::new("Parameters", text(&config["model"]["parameters"])),
        Fact::new("Images", format!("{learned_from} to learn from, {} to test with", test.len())),
        Fact::new("Epochs", metrics.rows().len().to_string()),
        Fact::new("Time", format!("{seconds:.0} s")),
        Fact::new("Trained by", text(&config["device"]["name"])),
    ];
    if let Some(memory) = config["device"]["memory_bytes"].as_f64() {
        facts.push(Fact::new("Memory", format!("{:.1} MiB", memory / f64::from(1 << 20))));
    }
    facts
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn epoch(row: &Row) -> Epoch {
    let or_none = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
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

fn class(answers: &Answers, names: &[String], class: usize) -> Class {
    let evaluation = &answers.evaluation;
    let or_none = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let taken_for = evaluation.mistaken_for(class);
    Class {
        name: names[class].clone(),
        recall: or_none(evaluation.recall(class)),
        precision: or_none(evaluation.precision(class)),
        taken_for: taken_for.map_or_else(String::new, |(other, count)| format!("{} ({count})", names[other])),
    }
}

fn figure(data: &Dataset, mistake: &Mistake) -> Figure {
    let Mistake { image, class, taken_for, sure, .. } = *mistake;
    let names = data.classes();
    let (own, other) = (&names[class], &names[taken_for]);
    let label = format!("{own}, taken for {other} ({:.0} %)", 100.0 * sure);
    Figure::new(&photo(data, image), label, format!("Test image {image}, of class {own}, taken for {other}"))
}

/// An image of a data set: red, green, blue, or grey.
fn photo(data: &Dataset, image: usize) -> RgbImage {
    let [channels, height, width] = data.shape();
    let bytes = &data.images()[image * data.image_len()..][..data.image_len()];
    let pixels = height * width;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let place = y as usize * width + x as usize;
        Rgb(std::array::from_fn(|color| bytes[color.min(channels - 1) * pixels + place]))
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
            "A training step of {batch} images, measured for this page on {}: {:.1} ms, of which the launches take {:.1} ms. \
             Optimiser: SGD with momentum, whatever the run used.",
            device.describe(),
            times.step_ms,
            times.launches_ms
        ),
        rows: rows.collect(),
    }
}

/// All settings that the run was begun with and that say something.
fn settings(settings: &Value) -> Vec<Fact> {
    let all = settings.as_object().into_iter().flatten();
    let said =
        all.filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    said.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Fact::new(format!("--{}", name.replace('_', "-")), text)
    })
    .collect()
}
