//! `striate predict`: classifies images.

use super::flags::{DeviceFlags, as_flag};
use super::images::{SKIPPED, find};
use super::json::path;
use super::network::{Network, NetworkFlags};
use super::output::{json, write};
use super::terminal::note;
use super::text;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use striate::data::Preprocessing;
use striate::infer::{Prediction, top};
use striate::{Error, Result, check_writable};

/// Prints the most likely class of each image.
///
/// Images that cannot be read are reported and skipped; the exit code is then 3.
#[derive(clap::Args)]
pub struct Args {
    /// Model name, which may be omitted if the weights contain it; then the weights, unless --pretrained: a safetensors file,
    /// a .pth archive or a run folder of `striate train`; then images and folders of images
    #[arg(required = true, num_args = 1.., value_names = ["[MODEL] WEIGHTS", "IMAGE"])]
    what: Vec<PathBuf>,
    /// Print the COUNT most likely classes of each image [default: 1, with --json 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Images per batch
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// Print CSV: path, index, name and probability of the class; with --top, the last three again for each further class
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    csv: bool,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Write the results to this file instead of printing them; an earlier file is replaced
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,
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

/// Width that the lines of the table are meant to fit into.
const COLUMNS: usize = 80;

pub fn run(args: Args) -> Result<i32> {
    let answer = predict(&args).map_err(as_flag::<Args>)?;
    for skipped in &answer.skipped {
        note(&format!("skipped: {}", text::name(&skipped.error)));
    }
    let text = match &args {
        Args { json: true, .. } => json(&answer),
        Args { csv: true, .. } => csv(&answer),
        _ => table(&answer),
    };
    write(&text, args.out.as_deref())?;
    Ok(if answer.skipped.is_empty() { 0 } else { SKIPPED })
}

fn predict(args: &Args) -> Result<Answer> {
    args.out.as_deref().map(check_writable).transpose()?;
    let count = args.top.unwrap_or(if args.json { 5 } else { 1 }) as usize;
    let (network, images) = Network::open(&args.what, &args.network)?;
    let images = find(images)?;
    if let Some(out) = &args.out
        && let Ok(file) = out.canonicalize()
        && images.iter().any(|image| image.canonicalize().is_ok_and(|image| image == file))
    {
        let problem = format!("{} is one of the images; give another file", out.display());
        return Err(Error::argument("out", problem));
    }
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
            let top = top(&logits, count).into_iter().map(class).collect();
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

/// A line per image, or with several classes a paragraph.
fn table(answer: &Answer) -> String {
    let mut text = format!("device   {}\nmodel    {}\n", answer.device, answer.model);
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string cannot fail");
    line(format!("images   {} ({})\n", answer.preprocessing, answer.preprocessing_origin));
    let class = |class: &Class| format!("{:5.1} %  {}", 100.0 * class.probability, text::name(&class.name));
    let row = |Image { image, top }: &Image| {
        (text::name(&image.to_string_lossy()).into_owned(), top.iter().map(class).collect())
    };
    let rows: Vec<(String, Vec<String>)> = answer.images.iter().map(row).collect();
    let width = path_width(&rows);
    for (i, (path, classes)) in rows.iter().enumerate() {
        match &classes[..] {
            [best] => line(format!("{path:width$}  {best}")),
            classes => {
                let gap = if i == 0 { "" } else { "\n" };
                line(format!("{gap}{path}"));
                classes.iter().for_each(|class| line(format!("  {class}")));
            }
        }
    }
    text
}

/// Width of the column of paths. If lines would be too long, it is less than the longest path, whose line is then not aligned.
fn path_width(rows: &[(String, Vec<String>)]) -> usize {
    let paths = rows.iter().map(|(path, _)| path.chars().count()).max().unwrap_or(0);
    let classes = rows.iter().flat_map(|(_, classes)| classes).map(|class| class.chars().count());
    paths.min(COLUMNS.saturating_sub(2 + classes.max().unwrap_or(0)))
}

/// A line per image below a header.
fn csv(answer: &Answer) -> String {
    let mut header = vec!["path".to_owned()];
    for rank in 1..=answer.images.first().map_or(0, |image| image.top.len()) {
        let suffix = if rank == 1 { String::new() } else { format!("_{rank}") };
        header.extend(["class", "name", "probability"].map(|column| format!("{column}{suffix}")));
    }
    let mut table = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let written = table.write_record(header).and_then(|()| {
        answer.images.iter().try_for_each(|Image { image, top }| {
            let classes = top.iter().map(|class| (class.class, &class.name, class.probability));
            table.serialize((image.to_string_lossy(), classes.collect::<Vec<_>>()))
        })
    });
    written.expect("all lines have as many columns, and writing to memory cannot fail");
    let bytes = table.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("all columns are text")
}
