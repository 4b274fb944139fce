//! `striate report`: a page about a training run, or one that compares several.

mod compare;
mod page;

use super::eval::confusion;
use super::flags::{DeviceFlags, as_flag, recipe};
use super::html::{self, megabytes};
use super::images::report_skipped;
use super::mistakes::TestResults;
use super::network::{Network, NetworkFlags};
use super::output::print;
use super::profile::layer_times;
use super::shell::quoted;
use super::source::{TestImages, fit};
use super::train::{Metrics, config, curve_panels, open_run, original_args, source_of};
use page::RunResults;
use std::path::{Path, PathBuf};
use striate::data::{Source, Split};
use striate::train::training_graph;
use striate::{Result, check_writable, write_file};

/// Draws a page about a run: curves, settings, confusion matrix, the worst mistakes, and timings by layer. Of several runs, the
/// page compares curves, results, settings and the recall of each class.
#[derive(clap::Args)]
#[command(mut_arg("pretrained", |arg| arg.hide(true)))]
pub struct Args {
    /// Run folders written by `striate train`
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Folder with the data set's files, if they have moved since the run began
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    data: Option<PathBuf>,
    /// Images per batch
    #[arg(long, default_value_t = BATCH)]
    batch: usize,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// File to write; an earlier page of the same kind is replaced, any other file is not [default: report.html in the run
    /// folder; of several runs, compare.html in the current folder]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,
}

/// The default of --batch.
const BATCH: usize = 200;
const PAGE: &str = "report.html";
const TEMPLATE: &str = "run.html";
/// Most pairs of classes named on the terminal.
const CONFUSED: usize = 3;

pub fn run(args: Args) -> Result<()> {
    let made = match &args.runs[..] {
        [run] => args.make(run),
        _ => compare::make(&args),
    };
    made.map_err(as_flag::<Args>)
}

/// Writes the page of a run that has just ended, and says what to do next.
pub fn after_training(run: PathBuf, device: DeviceFlags) -> Result<()> {
    let args = Args {
        runs: vec![run.clone()],
        data: None,
        batch: BATCH,
        network: NetworkFlags::default(),
        device,
        out: None,
    };
    print("report   testing the best weights, and timing each layer\n")?;
    args.make(&run)?;
    let run = quoted(&run);
    print(&format!("next     striate predict {run} IMAGE\nnext     striate see {run}\n"))
}

/// The trained network of a run, with its test images.
struct Trained {
    network: Network,
    test: TestImages,
    /// Number of training images.
    training_images: usize,
    dataset: String,
}

/// The data set that was opened last, since compared runs often have the same.
type LastSplit = Option<(Source, Split)>;

impl Args {
    fn open(&self, run: &Path, last: &mut LastSplit) -> Result<Trained> {
        let (network, _) = Network::open(&[run.to_owned()], &self.network)?;
        let mut source = source_of(run)?;
        source.dir = self.data.clone().or(source.dir);
        let dataset = source.name.clone();
        let split = match last {
            Some((known, split)) if *known == source => split.clone(),
            _ => {
                let split = source.open()?;
                report_skipped(&split.notes, &split.skipped);
                last.insert((source, split)).1.clone()
            }
        };
        let training_images = split.train.len();
        let test = fit(split.into(), String::new(), &network, &self.network, &dataset)?;
        Ok(Trained { network, test, training_images, dataset })
    }

    fn make(&self, run: &Path) -> Result<()> {
        let original = original_args(run)?;
        let metrics = Metrics::read(run)?;
        let Trained { network, test, training_images, .. } = self.open(run, &mut None)?;
        let TestImages { data: test, preprocessing, names, .. } = test;
        let [channels, height, width] = test.shape();
        // Fail before the expensive work.
        let run_folder = match &self.out {
            Some(out) => {
                html::check_replaceable(out, TEMPLATE).and_then(|()| check_writable(out)).map(|()| None)?
            }
            None => Some(open_run(run)?),
        };
        run_folder.iter().try_for_each(|folder| folder.check(&[PAGE]))?;
        let device = self.device.open()?;
        let model = network.model(channels, names.len())?;
        let batch = self.batch.min(test.len());
        let mut predictor = network.predictor(&device, &*model, &self.network, [height, width], batch)?;
        let results = TestResults::compute(&mut predictor, &test, &preprocessing.normalization, batch)?;
        drop(predictor);
        let input = [original.schedule.batch, channels, height, width];
        let times =
            layer_times(&device, &training_graph(&*model, input, &recipe())?, input, model.classes())?;

        let out = self.out.clone().unwrap_or_else(|| run.join(PAGE));
        let curves = curve_panels(&out, &metrics)?;
        let matrix = confusion::matrix(&out, "True class by predicted class", &names, &results.evaluation)?;
        let page = page::page(&RunResults {
            run,
            metrics: &metrics,
            config: &config(run)?,
            training_images,
            test: &test,
            results: &results,
            times: &times,
            device: &device,
            batch: original.schedule.batch,
            curves: &curves,
            matrix: &matrix,
        });
        let page = html::render(TEMPLATE, &page);
        match run_folder {
            Some(folder) => folder.write(PAGE, page.as_bytes())?,
            None => write_file(&out, page.as_bytes())?,
        }
        let confused = results.confused_most(&names, CONFUSED);
        let mistakes = confused.map(|text| format!("mistakes {text}\n")).unwrap_or_default();
        print(&format!("{mistakes}written  {}, {}\n", out.display(), megabytes(page.len())))
    }
}
