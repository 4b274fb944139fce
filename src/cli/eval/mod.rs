//! `striate eval`: accuracy on the test images of a data set.

pub mod confusion;

use super::flags::{DeviceFlags, as_flag};
use super::json::path;
use super::network::{Network, NetworkFlags};
use super::output::{json, print};
use super::source::{TestFlags, TestImages};
use super::text;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use striate::data::Normalization;
use striate::infer::Evaluation;
use striate::{Result, check_writable, write_file};

/// Measures accuracy on the test images of a data set.
#[derive(clap::Args)]
pub struct Args {
    /// Model name, which may be omitted if the weights contain it; then the weights, unless --pretrained: a safetensors file,
    /// a .pth archive or a run folder of `striate train`
    #[arg(required = true, num_args = 1.., value_names = ["[MODEL] WEIGHTS"])]
    what: Vec<PathBuf>,
    #[command(flatten)]
    data: TestFlags,
    /// Images per batch
    #[arg(long, default_value_t = 200)]
    batch: usize,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// Write the confusion matrix as SVG, replacing the file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    confusion: Option<PathBuf>,
    /// Print JSON, including the confusion matrix
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    model: String,
    #[serde(serialize_with = "path")]
    weights: PathBuf,
    device: String,
    dataset: &'a str,
    /// Where the images come from.
    #[serde(rename = "pictures_from")]
    images_from: &'a str,
    normalization: &'a Normalization,
    #[serde(rename = "pictures")]
    images: u64,
    /// Fractions from 0 to 1.
    top1: f64,
    top5: f64,
    loss: f64,
    classes: Vec<Class<'a>>,
    /// Counts by true class, then by predicted class.
    confusion: &'a [Vec<u64>],
}

#[derive(Serialize)]
struct Class<'a> {
    name: &'a str,
    #[serde(rename = "pictures")]
    images: u64,
    /// Fraction of its images that are predicted as this class.
    recall: Option<f64>,
    /// Fraction of the images predicted as this class that belong to it.
    precision: Option<f64>,
    /// The most frequent wrong prediction for its images, and how often.
    mistaken_for: Option<(&'a str, u64)>,
}

pub fn run(args: Args) -> Result<()> {
    evaluate(&args).map_err(as_flag::<Args>)
}

fn evaluate(args: &Args) -> Result<()> {
    args.confusion.as_deref().map(check_writable).transpose()?;
    let network = Network::open_only(&args.what, &args.network, "[MODEL] WEIGHTS")?;
    let TestImages { data, preprocessing, names, about, .. } = args.data.open(&network, &args.network)?;
    let [channels, height, width] = data.shape();
    let device = args.device.open()?;
    let model = network.model(channels, names.len())?;
    let batch = args.batch.min(data.len());
    let mut predictor = network.predictor(&device, &*model, &args.network, [height, width], batch)?;
    args.device.choices.check(predictor.session().plans())?;
    let evaluation = predictor.evaluate(&data, &preprocessing.normalization)?;
    let answer = Answer {
        model: model.name(),
        weights: network.weights.path().to_owned(),
        device: device.describe(),
        dataset: data.name(),
        images_from: &about,
        normalization: &preprocessing.normalization,
        images: evaluation.images(),
        top1: evaluation.top1(),
        top5: evaluation.top5(),
        loss: evaluation.loss(),
        classes: (0..names.len()).map(|class| Class::new(&evaluation, &names, class)).collect(),
        confusion: &evaluation.confusion,
    };
    if let Some(path) = &args.confusion {
        let title = format!("{} on {}: {:.2} %", answer.model, answer.dataset, 100.0 * answer.top1);
        write_file(path, confusion::matrix(path, &title, &names, &evaluation)?.as_bytes())?;
    }
    print(&if args.json { json(&answer) } else { table(&answer) })
}

impl<'a> Class<'a> {
    fn new(evaluation: &Evaluation, names: &'a [String], class: usize) -> Self {
        Self {
            name: &names[class],
            images: evaluation.images_of(class),
            recall: evaluation.recall(class),
            precision: evaluation.precision(class),
            mistaken_for: evaluation.mistaken_for(class).map(|(other, count)| (names[other].as_str(), count)),
        }
    }
}

fn table(answer: &Answer) -> String {
    let normalization = answer.normalization;
    let mut table = format!(
        "device   {}\ndata     {}: {} test images ({}), mean {:?}, std {:?}\nmodel    {}\n\n",
        answer.device,
        text::name(answer.dataset),
        answer.images,
        text::name(answer.images_from),
        normalization.mean,
        normalization.std,
        answer.model
    );
    let mut line =
        |line: String| writeln!(table, "{}", line.trim_end()).expect("writing to a string cannot fail");
    let names: Vec<_> = answer.classes.iter().map(|class| text::name(class.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    line(format!(
        "{:width$} {:>8} {:>8} {:>9}  most often mistaken for",
        "class", "images", "recall", "precision"
    ));
    let percent = |fraction: Option<f64>| {
        fraction.map_or_else(|| "-".to_owned(), |fraction| format!("{:.2} %", 100.0 * fraction))
    };
    for (class, name) in answer.classes.iter().zip(&names) {
        let mistake = class
            .mistaken_for
            .map_or_else(String::new, |(other, count)| format!("{} ({count})", text::name(other)));
        let (recall, precision) = (percent(class.recall), percent(class.precision));
        line(format!("{name:width$} {:8} {recall:>8} {precision:>9}  {mistake}", class.images));
    }
    line(format!(
        "\ntop-1 {:.2} %, top-5 {:.2} %, loss {:.4}",
        100.0 * answer.top1,
        100.0 * answer.top5,
        answer.loss
    ));
    table
}
