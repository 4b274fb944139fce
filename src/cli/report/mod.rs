//! `striate report`: a page about a training run.

mod mistakes;
mod page;

use super::eval::confusion;
use super::flags::{DeviceFlags, as_flag, recipe};
use super::html::{self, megabytes};
use super::images::report_skipped;
use super::network::{Network, NetworkFlags};
use super::output::print;
use super::profile::layer_times;
use super::source::{TestImages, fit};
use super::train::{Metrics, config, curves, open_run, original_args, source_of};
use mistakes::TestResults;
use page::RunResults;
use std::path::PathBuf;
use striate::train::training_graph;
use striate::{Result, check_writable, write_file};

/// Draws a page about a run: curves, settings, confusion matrix, the worst mistakes, and timings by layer.
#[derive(clap::Args)]
#[command(mut_arg("pretrained", |arg| arg.hide(true)))]
pub struct Args {
    /// Run folder written by `striate train`
    run: PathBuf,
    /// Folder with the data set's files, if they have moved since the run began
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Images per batch
    #[arg(long, default_value_t = 200)]
    batch: usize,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// File to write; an earlier page is replaced, any other file is not [default: report.html in the run folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const PAGE: &str = "report.html";

pub fn run(args: Args) -> Result<()> {
    args.make().map_err(as_flag::<Args>)
}

impl Args {
    fn make(&self) -> Result<()> {
        let original = original_args(&self.run)?;
        let metrics = Metrics::read(&self.run)?;
        let (network, _) = Network::open(std::slice::from_ref(&self.run), &self.network)?;
        let mut source = source_of(&self.run)?;
        source.dir = self.data.clone().or(source.dir);
        let split = source.open()?;
        report_skipped(&split.notes, &split.skipped);
        let training_images = split.train.len();
        let set = fit(split.into(), String::new(), &network, &self.network, &source.name)?;
        let TestImages { data: test, preprocessing, names, .. } = set;
        let [channels, height, width] = test.shape();
        // Fail before the expensive work.
        let run_folder = match &self.out {
            Some(out) => html::check_replaceable(out).and_then(|()| check_writable(out)).map(|()| None)?,
            None => Some(open_run(&self.run)?),
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

        let out = self.out.clone().unwrap_or_else(|| self.run.join(PAGE));
        let curves = curves(&out, &format!("{} on {}", model.name(), source.name), &metrics)?;
        let matrix = confusion::matrix(&out, "True class by predicted class", &names, &results.evaluation)?;
        let page = page::page(&RunResults {
            run: &self.run,
            metrics: &metrics,
            config: &config(&self.run)?,
            training_images,
            test: &test,
            results: &results,
            times: &times,
            device: &device,
            batch: original.schedule.batch,
            curves: &curves,
            matrix: &matrix,
        });
        let page = html::render("run.html", &page);
        match run_folder {
            Some(folder) => folder.write(PAGE, page.as_bytes())?,
            None => write_file(&out, page.as_bytes())?,
        }
        print(&format!("written  {}, {}\n", out.display(), megabytes(page.len())))
    }
}
