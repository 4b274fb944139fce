//! Builds the page from the files and results of a run.

use crate::cli::html::{self, EmbeddedImage, Fact, list, svg_uri};
use crate::cli::mistakes::{Mistake, TestResults};
use crate::cli::profile::{self, LayerTimes};
use crate::cli::train::{Metrics, Row};
use serde_json::{Value, json};
use std::path::Path;
use striate::Device;
use striate::data::Dataset;
use striate::infer::Evaluation;
use striate::interpret::drawing;

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
    /// SVGs.
    pub curves: &'a [String],
    pub matrix: &'a str,
}

/// Confused pairs shown, images per pair, and worst mistakes shown.
const PAIRS: usize = 6;
const OF_PAIR: usize = 7;
const WRONG: usize = 24;

/// The values for the template.
pub fn page(run_results: &RunResults<'_>) -> Value {
    let RunResults { run, metrics, config, test, results, times, .. } = run_results;
    let names = test.classes();
    let evaluation = &results.evaluation;
    let model = config["model"]["name"].as_str().unwrap_or("a network");
    let pair = |mistakes: &Vec<Mistake>| {
        let Mistake { class, predicted, .. } = mistakes[0];
        let (own, other, all) = (&names[class], &names[predicted], evaluation.images_of(class));
        json!({
            "heading": format!("{own} mistaken for {other}: {} of {all}", mistakes.len()),
            "figures": list(mistakes.iter().take(OF_PAIR).map(|mistake| figure(test, mistake))),
        })
    };
    json!({
        "title": format!("{model} on {}", test.name()),
        "lead": format!("How {} was trained, and what it gets wrong.", run.display()),
        "facts": facts(run_results),
        "curves": list(run_results.curves.iter().map(|svg| json!(svg_uri(svg.as_bytes())))),
        "held_out": metrics.held_out(),
        "epochs": list(metrics.rows.iter().map(epoch)),
        "confusion": html::confusion(names, evaluation),
        "matrix": svg_uri(run_results.matrix.as_bytes()),
        "classes": list((0..names.len()).map(|class| self::class(evaluation, names, class))),
        "confused": list(results.confused(PAIRS).iter().map(pair)),
        "wrong": list(results.worst(WRONG).iter().map(|mistake| figure(test, mistake))),
        "times": self::times(times, run_results.batch, run_results.device),
        "settings": settings(&config["settings"]),
    })
}

fn facts(RunResults { metrics, config, training_images, test, results, .. }: &RunResults<'_>) -> Vec<Fact> {
    let evaluation = &results.evaluation;
    let seconds: f64 = metrics.rows.iter().map(|row| row.train_seconds + row.test_seconds).sum();
    let mut facts = vec![
        Fact::new("Test accuracy", percent(evaluation.top1())),
        Fact::new("Top-5 accuracy", percent(evaluation.top5())),
        Fact::new("Test loss", format!("{:.4}", evaluation.loss())),
        Fact::new("Parameters", text(&config["model"]["parameters"])),
        Fact::new("Images", format!("{training_images} for training, {} for testing", test.len())),
        Fact::new("Epochs", metrics.rows.len().to_string()),
        Fact::new("Time", format!("{seconds:.0} s")),
        Fact::new("Device", text(&config["device"]["name"])),
    ];
    if let Some(memory) = config["device"]["memory_bytes"].as_f64() {
        facts.push(Fact::new("Memory", format!("{:.1} MiB", memory / f64::from(1 << 20))));
    }
    facts
}

/// A JSON value as plain text, strings without quotes.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

pub fn or_dash<T>(value: Option<T>, format: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), format)
}

fn epoch(row: &Row) -> Value {
    let held_out = row.held_out();
    json!({
        "epoch": row.epoch,
        "lr": format!("{:.4}", row.lr),
        "train": [format!("{:.4}", row.train_loss), percent(row.train_accuracy)],
        "held_out": [or_dash(held_out.map(|s| s.0), |loss| format!("{loss:.4}")), or_dash(held_out.map(|s| s.1), percent)],
        "seconds": format!("{:.1}", row.train_seconds + row.test_seconds),
    })
}

fn class(evaluation: &Evaluation, names: &[String], class: usize) -> Value {
    let mistaken_for = evaluation.mistaken_for(class);
    json!({
        "name": names[class],
        "recall": or_dash(evaluation.recall(class), percent),
        "precision": or_dash(evaluation.precision(class), percent),
        "mistaken_for": mistaken_for.map(|(other, count)| format!("{} ({count})", names[other])).unwrap_or_default(),
    })
}

fn figure(data: &Dataset, mistake: &Mistake) -> Value {
    let Mistake { image, class, predicted, confidence, .. } = *mistake;
    let (own, other) = (&data.classes()[class], &data.classes()[predicted]);
    let label = format!("{own}, mistaken for {other} ({:.0} %)", 100.0 * confidence);
    let alt = format!("Test image {image} of class {own}, mistaken for {other}");
    let (shape, bytes) = (data.shape(), data.image(image));
    json!(EmbeddedImage::new(&drawing::planar_image(shape, |_, value| bytes[value]), label, alt))
}

fn times(times: &LayerTimes, batch: usize, device: &Device) -> Value {
    let about = format!(
        "A training step with {batch} images, measured for this page on {}: {:.1} ms, {:.1} ms of them in kernel launches. \
         The optimizer is SGD with momentum, whatever the run used.",
        device.describe(),
        times.step_ms,
        times.launches_ms
    );
    let row = |row: &profile::Row| {
        json!({
            "layer": row.name,
            "phase": row.phase,
            "ms": format!("{:.3}", row.ms),
            "share": format!("{:.1}", 100.0 * row.share),
            "rate": format!("{:.1}", row.gflop_per_s),
        })
    };
    json!({ "about": about, "rows": list(times.rows.iter().map(row)) })
}

/// The settings that the run began with, without empty ones.
fn settings(settings: &Value) -> Vec<Fact> {
    let all = settings.as_object().into_iter().flatten();
    let set =
        all.filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    set.map(|(name, value)| Fact::new(format!("--{}", name.replace('_', "-")), text(value))).collect()
}
