//! `striate web`: a page that trains networks in the reader's browser.

use super::flags::{as_flag, parse_size, recipe};
use super::html::{self, Fact, list, megabytes};
use super::images::{images_of_all_classes, report_skipped};
use super::output::print;
use super::svg::class_color_css;
use super::text;
use serde_json::{Value, json};
use std::path::PathBuf;
use striate::data::{self, Dataset, Preprocessing, Source, Split};
use striate::graph::Graph;
use striate::infer::{Card, features, inference_graph};
use striate::models::{self, Model};
use striate::plan::{Family, Plan, PlanFile, Target};
use striate::train::{statistics_graph, training_graph};
use striate::{Error, Result, check_writable, write_file};

const TEMPLATE: &str = "web.html";

/// Batch sizes that the page offers.
const BATCHES: [usize; 4] = [16, 32, 64, 128];
/// Images per step of a test.
const TEST_BATCH: usize = 100;
/// Images per batch for batch norm's statistics, if there are as many.
const STATISTICS_BATCH: usize = 64;
/// Larger images make a page slow.
const LARGEST: usize = 64;

/// Makes a page that trains small networks in the browser, on the reader's own GPU (WebGPU).
///
/// The page is one file that can be opened from disk or sent. It contains the images, and the same kernels that train everywhere else. It
/// shows learning curves, filters, a map of the test images and the confusion matrix while they form, side by side for two networks,
/// and saves weights that `striate eval`, `predict` and `see` read.
#[derive(clap::Args)]
pub struct Args {
    /// Folder with a folder of images per class, or with the files of MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100 [default: the
    /// built-in images of clothes]
    path: Option<PathBuf>,
    /// HEIGHTxWIDTH to which images of a folder are cropped and scaled [default: 32x32]
    #[arg(long, value_parser = parse_size, value_name = "HxW")]
    image_size: Option<[usize; 2]>,
    /// Networks to choose from; the first two are shown at the start
    #[arg(long, value_delimiter = ',', value_name = "NAMES", default_value = "resnet8,plain8,lenet")]
    models: Vec<String>,
    /// Maximum number of training images in the page
    #[arg(long, value_name = "N", default_value_t = 4000)]
    images: usize,
    /// Maximum number of test images in the page
    #[arg(long, value_name = "N", default_value_t = 1000)]
    test_images: usize,
    /// File to write
    #[arg(short, long, value_name = "FILE", default_value = "web.html")]
    out: PathBuf,
}

pub fn run(args: &Args) -> Result<()> {
    make(args).map_err(as_flag::<Args>)
}

fn make(args: &Args) -> Result<()> {
    html::check_replaceable(&args.out, TEMPLATE)?;
    check_writable(&args.out)?;
    let split = open(args)?;
    let train = chosen("images", &split.train, args.images)?;
    let test = chosen("test-images", &split.test, args.test_images)?;
    let batches: Vec<usize> = BATCHES.into_iter().filter(|batch| *batch <= train.len()).collect();
    if batches.is_empty() {
        let problem = format!("{} are too few; give at least {}", train.len(), BATCHES[0]);
        return Err(Error::argument("images", problem));
    }
    let (shape, classes) = (split.train.shape(), split.train.classes().len());
    let networks = args.models.iter().map(|name| Network::new(name, shape, classes, &batches));
    let networks: Vec<Network> = networks.collect::<Result<_>>()?;
    let page = json!({
        "title": "Train a network in this page",
        "lead": "The networks below learn in this browser, on your own computer. Nothing is sent anywhere.",
        "facts": facts(&split, train.len(), test.len()),
        "about": html::embedded("about", about(&split, &batches).to_string().as_bytes()),
        "data": embedded_images("train", &split.train, &train) + &embedded_images("test", &split.test, &test),
        "plans": networks.iter().map(|network| network.embedded.as_str()).collect::<String>(),
        "models": list(networks.iter().map(Network::values)),
        "batches": batches,
        "batch": batches.iter().rposition(|batch| *batch <= 32).unwrap_or(0),
    });
    let page = html::render(TEMPLATE, &page);
    let size = megabytes(page.len());
    if page.len() > html::LARGE {
        let limit = megabytes(html::LARGE);
        let problem = format!("give a page of {size}, more than {limit}; give fewer, or smaller ones");
        return Err(Error::argument("images", problem));
    }
    write_file(&args.out, page.as_bytes())?;
    let models = args.models.join(", ");
    print(&format!("written  {}, {size}: trains {models} in a browser with WebGPU\n", args.out.display()))
}

/// Up to `count` images, of all classes; `flag` gave the number.
fn chosen(flag: &str, data: &Dataset, count: usize) -> Result<Vec<usize>> {
    match count {
        0 => Err(Error::argument(flag, "must be positive, got 0")),
        _ => Ok(images_of_all_classes(data, count)),
    }
}

/// What the script needs to know about the images.
fn about(split: &Split, batches: &[usize]) -> Value {
    let [channels, height, width] = split.train.shape();
    let (classes, normalization) = (split.train.classes(), &split.normalization);
    let card = Card {
        classes: Some(classes.to_vec()),
        preprocessing: Some(Preprocessing::new([height, width], normalization.clone())),
        ..Card::default()
    };
    json!({
        "classes": classes,
        "colors": list((0..classes.len()).map(|class| json!(class_color_css(class, classes.len())))),
        "shape": [channels, height, width],
        "mean": normalization.mean,
        "std": normalization.std,
        "batches": batches,
        "metadata": card.metadata(),
    })
}

/// Opens the images, and reports skipped ones.
fn open(args: &Args) -> Result<Split> {
    let name = args.path.as_deref().map_or(Ok(data::NAMES[0]), data::recognize)?;
    let image_size = (name == "folder").then(|| args.image_size.unwrap_or([32, 32]));
    let source = Source {
        name: name.to_owned(),
        dir: args.path.clone(),
        image_size,
        skip_broken: true,
        ..Source::default()
    };
    let split = source.open()?;
    report_skipped(&split.notes, &split.skipped);
    let [_, height, width] = split.train.shape();
    match height.max(width) {
        size if size > LARGEST => {
            let problem =
                format!("{height}x{width} is too large for a page; give at most {LARGEST}x{LARGEST}");
            Err(Error::argument("image-size", problem))
        }
        _ => Ok(split),
    }
}

fn facts(split: &Split, train: usize, test: usize) -> Vec<Fact> {
    let [channels, height, width] = split.train.shape();
    let color = if channels == 1 { "gray" } else { "color" };
    vec![
        Fact::new("Images to learn from", text::grouped(train as u64)),
        Fact::new("Test images", text::grouped(test as u64)),
        Fact::new("Each", format!("{height} x {width} pixels, {color}")),
        Fact::new("Classes", split.train.classes().join(", ")),
    ]
}

/// The bytes and labels of some images.
fn embedded_images(name: &str, data: &Dataset, chosen: &[usize]) -> String {
    let images: Vec<u8> = chosen.iter().flat_map(|index| data.image(*index)).copied().collect();
    let labels: Vec<u8> = chosen.iter().flat_map(|index| data.labels()[*index].to_le_bytes()).collect();
    html::embedded(&format!("{name}-images"), &images) + &html::embedded(&format!("{name}-labels"), &labels)
}

/// A network and its plans.
struct Network {
    name: String,
    parameters: usize,
    /// Its plans for GPUs and for software adapters.
    embedded: String,
}

impl Network {
    fn new(name: &str, shape: [usize; 3], classes: usize, batches: &[usize]) -> Result<Self> {
        let model = models::by_name(name, shape[0], classes)?;
        // A test runs many images at once, so it uses the same large tiles as training; software adapters compile them too slowly.
        let targets =
            [("gpu", Target::baseline(Family::Gpu)), ("software", Target::browser(Family::Software))];
        let mut embedded = String::new();
        for (family, target) in targets {
            let file = plans(&*model, shape, batches, &target)?.to_json()?;
            embedded += &html::embedded(&format!("{name}-{family}"), file.as_bytes());
        }
        let graph = inference_graph(&*model, [1, shape[0], shape[1], shape[2]])?;
        let parameters = graph.parameters().iter().map(|p| graph.shape(*p).iter().product::<usize>()).sum();
        Ok(Self { name: name.to_owned(), parameters, embedded })
    }

    fn values(&self) -> Value {
        json!({ "name": self.name, "parameters": text::grouped(self.parameters as u64) })
    }
}

/// Training for each batch size, the statistics of batch norm if there is any, and a test.
fn plans(model: &dyn Model, shape: [usize; 3], batches: &[usize], target: &Target) -> Result<PlanFile> {
    let [channels, height, width] = shape;
    let mut plans = Vec::new();
    for batch in batches {
        let graph = training_graph(model, [*batch, channels, height, width], &recipe())?;
        plans.push((format!("train {batch}"), Plan::new(&graph, target)?));
    }
    let batch = STATISTICS_BATCH.min(batches[batches.len() - 1]);
    if let Some(graph) = statistics_graph(model, [batch, channels, height, width], &recipe())? {
        plans.push(("statistics".to_owned(), Plan::new(&graph, target)?));
    }
    plans.push((
        "test".to_owned(),
        Plan::new(&test_graph(model, [TEST_BATCH, channels, height, width])?, target)?,
    ));
    Ok(PlanFile { plans, subgroup: target.subgroup })
}

/// The logits and the features.
fn test_graph(model: &dyn Model, shape: [usize; 4]) -> Result<Graph> {
    let mut graph = inference_graph(model, shape)?;
    let features = features(&graph)?;
    graph.output("features", features);
    Ok(graph)
}
