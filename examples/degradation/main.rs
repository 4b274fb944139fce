//! Do deeper networks learn better? The degradation experiment of He et al. 2015, section 4.2 and figures 1 and 6: plain and
//! residual networks of several depths on the same images from the same seed.
//! `cargo run --release --example degradation`
//!
//! Writes `curves.svg`, `curves.csv` and `report.md` to `--out` after each network. `docs/degradation.md` has the results.

mod curves;
mod findings;
mod work;

use clap::Parser;
use findings::{Family, Net};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use striate::data::{self, Augment, Split};
use striate::nn::{Decay, Milestone, Optimizer, SgdConfig};
use striate::train::{Recipe, TrainConfig};
use striate::{Device, Error, OutputFolder, Result};
use work::{Work, part};

/// Trains plain and residual networks of several depths in the same way, and compares them.
#[derive(Parser)]
struct Args {
    /// Layers of the networks, 6n + 2
    #[arg(long, value_delimiter = ',', value_parser = depth, default_value = "8,20,32,56")]
    depths: Vec<usize>,
    /// auto, gpu, cpu, or a number or part of a name from `striate devices`
    #[arg(long, default_value = "auto")]
    device: String,
    /// fashion-mnist (built in), mnist, cifar10 or cifar100
    #[arg(long, default_value = "fashion-mnist")]
    dataset: String,
    /// Folder of the data set's files
    #[arg(long)]
    data: Option<PathBuf>,
    /// Train on the first N images, test on a quarter as many [default: 2000, or all with --paper]
    #[arg(long, alias = "pictures", value_parser = clap::value_parser!(u32).range(4..))]
    images: Option<u32>,
    /// Number of epochs [default: 5, or fewer to fit --minutes; 164 with --paper]
    #[arg(long)]
    epochs: Option<usize>,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Learning rate; divided by ten after 1/2 and 3/4 of all steps
    #[arg(long, default_value_t = 0.03)]
    lr: f32,
    /// Time limit: epochs, then images are reduced until the work fits
    #[arg(long, default_value_t = 15.0, conflicts_with = "epochs")]
    minutes: f64,
    /// The paper's recipe: 64,000 steps of 128 images with random crops and flips; for --dataset cifar10 on a GPU
    #[arg(long, conflicts_with_all = ["batch", "lr", "minutes"])]
    paper: bool,
    /// Seed of initial weights, order of images and augmentation
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the results
    #[arg(long, default_value = "runs/degradation")]
    out: PathBuf,
}

fn depth(text: &str) -> std::result::Result<usize, &'static str> {
    let depth = text.parse().ok().filter(|depth| *depth >= 8 && depth % 6 == 2);
    depth.ok_or("expected 6n + 2 layers: 8, 14, 20, ...")
}

const IMAGES: u32 = 2000;
const EPOCHS: usize = 5;
const PAPER_STEPS: usize = 64_000;
/// Exit code of a program stopped by Ctrl-C.
const INTERRUPTED: i32 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

/// Whether Ctrl-C was pressed.
fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

fn main() {
    // The first Ctrl-C ends the training and keeps finished results, a second one exits.
    let caught = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    });
    let ran = caught.map_err(|e| Error::argument("Ctrl-C", format!("cannot be caught: {e}")));
    match ran.and_then(|()| run(&Args::parse())) {
        Ok(_) if stopped() => std::process::exit(INTERRUPTED),
        Ok(_) => {}
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}

/// Trains all networks in order of depth.
fn run(args: &Args) -> Result<Vec<Net>> {
    let started = Instant::now();
    let out = OutputFolder::open(&args.out, "degradation")?;
    out.check(&["curves.svg", "curves.csv", "report.md"])?;
    let device = Device::select(&args.device)?;
    println!("on {}", device.describe());
    let mut work = Work { device, split: open(args)?, config: config(args) };
    let both = |depth: &usize| [Family::Plain, Family::Residual].map(|family| (family, *depth));
    let wanted: Vec<(Family, usize)> = args.depths.iter().flat_map(both).collect();
    if args.paper && args.epochs.is_none() {
        work.config.epochs = PAPER_STEPS.div_ceil(work.split.train.len().div_ceil(work.config.batch));
    }
    if args.epochs.is_none() {
        work.fit(&wanted, (!args.paper).then_some(args.minutes * 60.0), started)?;
    }
    let mut nets = Vec::new();
    for (family, depth) in wanted {
        if stopped() {
            println!("interrupted; finished results are kept");
            break;
        }
        nets.push(work.train(family, depth)?);
        write(args, &out, &work, &nets)?;
    }
    println!("\n{}", findings::report(&nets));
    println!("{} s in total; results are in {}", started.elapsed().as_secs(), args.out.display());
    Ok(nets)
}

fn open(args: &Args) -> Result<Split> {
    let split = data::open(&args.dataset, args.data.as_deref(), None)?;
    match args.images.or((!args.paper).then_some(IMAGES)) {
        Some(images) => part(&split, images as usize),
        None => Ok(split),
    }
}

fn config(args: &Args) -> TrainConfig {
    let optimizer = Optimizer::Sgd(SgdConfig::HE_2015);
    TrainConfig {
        epochs: args.epochs.unwrap_or(EPOCHS),
        batch: if args.paper { 128 } else { args.batch },
        lr: if args.paper { 0.1 } else { args.lr },
        decay: Decay::Steps { at: vec![Milestone::Fraction(1, 2), Milestone::Fraction(3, 4)], factor: 0.1 },
        recipe: Recipe { optimizer, ..Default::default() },
        augment: args.paper.then_some(Augment { crop_padding: 4, flip: true, ..Default::default() }),
        // Half of the cores keep a GPU busy.
        threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        seed: args.seed,
        ..Default::default()
    }
}

/// Writes plot, numbers and conclusion so far.
fn write(args: &Args, out: &OutputFolder, work: &Work, nets: &[Net]) -> Result<()> {
    let (TrainConfig { epochs, batch, lr, seed, .. }, split) = (&work.config, &work.split);
    let [train, test] = [&split.train, &split.test].map(|set| set.len());
    let how = format!(
        "{}: {epochs} epochs of {train} images in batches of {batch} at a learning rate of {lr}, tested on {test}; seed {seed}; on {}",
        args.dataset,
        work.device.name()
    );
    let drawn = curves::curves(nets).map_err(|e| Error::argument("the plot", e.to_string()))?;
    out.write("curves.svg", drawn.as_bytes())?;
    out.write("curves.csv", findings::csv(nets).as_bytes())?;
    out.write("report.md", format!("{how}\n\n{}", findings::report(nets)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_run_on_the_cpu_writes_plot_table_and_report() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().to_str().unwrap();
        let flags = "degradation --depths 8,14 --images 64 --device cpu --epochs 1 --out";
        let nets = run(&Args::parse_from(flags.split(' ').chain([out]))).unwrap();
        let names: Vec<String> = nets.iter().map(Net::name).collect();
        assert_eq!(names, ["plain8", "resnet8-a", "plain14", "resnet14-a"]);
        assert!(nets.iter().all(|net| net.finished && net.images == [64, 16]));
        // Option A adds no parameters.
        assert_eq!(nets[0].parameters, nets[1].parameters);

        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(read("curves.svg").contains("resnet14-a"));
        assert_eq!(read("curves.csv"), findings::csv(&nets));
        assert!(read("report.md").contains("plain14's training error is"));
    }

    #[test]
    fn work_is_reduced_to_fit_the_time() {
        let args = Args::parse_from("degradation --depths 8 --images 256 --device cpu".split(' '));
        let device = Device::select("cpu").unwrap();
        let mut work = Work { device, split: open(&args).unwrap(), config: config(&args) };
        work.fit(&[(Family::Plain, 8)], Some(0.0), Instant::now()).unwrap();
        assert_eq!((work.config.epochs, work.split.train.len()), (1, work.config.batch));
    }
}
