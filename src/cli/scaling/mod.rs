//! `striate scaling`: how fast training would be on many ranks.

mod measure;
mod model;
mod plot;

use super::flags::DeviceFlags;
use super::output::print;
use super::ranks::{RankFlags, fail, join, launch, open_device};
use measure::Workload;
use model::{Link, Timeline};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;
use striate::distributed::Ranks;
use striate::{Error, Result, write_file};

/// How fast training is on up to 4,096 GPUs.
///
/// The time of a step and of its parts is measured on this device; that of the network is computed from the flags. Under mpirun
/// with --distributed, the network is measured too, and the prediction compared with real steps.
#[derive(clap::Args)]
pub struct Args {
    /// The networks
    #[arg(default_values = ["resnet18", "resnet50", "resnet152"])]
    models: Vec<String>,
    /// Images per step on each rank
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Images per step on all ranks together, for the number of ranks that is fastest
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    fixed_batch: u32,
    /// Time of a message in microseconds
    #[arg(long, value_name = "US", default_value_t = 5.0, value_parser = positive)]
    latency: f64,
    /// Time that a rank is busy with each message, in microseconds
    #[arg(long, value_name = "US", default_value_t = 1.0, value_parser = positive)]
    overhead: f64,
    /// What a rank can send per second, in GB; 100 Gigabit Ethernet has 12.5
    #[arg(long, value_name = "GB", default_value_t = 12.5, value_parser = positive)]
    bandwidth: f64,
    /// What a GPU and its host can copy per second, in GB
    #[arg(long, value_name = "GB", default_value_t = 12.0, value_parser = positive)]
    copy: f64,
    /// Take the time of a step from elsewhere, in milliseconds: one for each network, separated by commas. Only its parts are measured
    #[arg(long, value_name = "MS", value_delimiter = ',', value_parser = positive)]
    step_ms: Vec<f64>,
    /// Measured steps
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Draw the efficiency as an SVG
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    ranks: RankFlags,
    #[command(flatten)]
    device: DeviceFlags,
}

/// Parses a positive number.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n: &f64| *n > 0.0 && n.is_finite());
    number.ok_or_else(|| format!("expected a positive number, found {text}"))
}

/// A network and its timeline.
struct Network {
    workload: Workload,
    timeline: Timeline,
    /// Seconds of a step on the ranks of this job, and on one.
    measured: Option<[f64; 2]>,
}

/// The numbers of ranks to predict for.
fn counts() -> impl Iterator<Item = usize> {
    (0..=12).map(|power| 1 << power)
}

pub fn run(args: &Args) -> Result<i32> {
    if let Some(count) = args.ranks.ranks {
        return launch(count);
    }
    let ranks = join(&args.ranks)?;
    match (predict(args, ranks.as_ref()), ranks) {
        (Err(error), Some(ranks)) => fail(&ranks, &error),
        (predicted, _) => predicted.map(|()| 0),
    }
}

fn predict(args: &Args, ranks: Option<&Ranks>) -> Result<()> {
    let device = open_device(&args.device, ranks)?;
    let given = Link {
        latency: args.latency / 1e6,
        overhead: args.overhead / 1e6,
        bandwidth: args.bandwidth * 1e9,
        // The CPU executor copies nothing.
        copy: if device.is_gpu() || !args.step_ms.is_empty() { args.copy * 1e9 } else { f64::INFINITY },
    };
    let link = match ranks {
        Some(ranks) if ranks.ranks() > 1 => measure::link(ranks, given)?,
        _ => given,
    };
    if !args.step_ms.is_empty() && args.step_ms.len() != args.models.len() {
        let problem = format!(
            "expected {} numbers, one for each network, found {}",
            args.models.len(),
            args.step_ms.len()
        );
        return Err(Error::argument("--step-ms", problem));
    }
    let measure = |(i, name): (usize, &String)| {
        let workload = Workload::new(name, args.batch as usize)?;
        let others = ranks.filter(|ranks| ranks.ranks() > 1);
        let (mut timeline, measured) = workload.measure(&device, others, args.steps as usize)?;
        if let Some(ms) = args.step_ms.get(i) {
            timeline = timeline.scaled(ms / 1e3 / timeline.seconds);
        }
        Ok(Network { workload, timeline, measured })
    };
    let networks = args.models.iter().enumerate().map(measure).collect::<Result<Vec<_>>>()?;
    if ranks.is_some_and(|ranks| !ranks.is_first()) {
        return Ok(());
    }
    if let Some(file) = &args.out {
        write_file(file, plot::draw(file, &networks, &link)?.as_bytes())?;
    }
    let count = ranks.map_or(1, Ranks::ranks);
    match args.json {
        true => print(&format!("{:#}\n", as_json(&networks, &link, count))),
        false => print(&as_text(args, &networks, &link, count)),
    }
}

impl Network {
    /// The most ranks with at least this efficiency.
    fn most(&self, efficiency: f64, link: &Link) -> usize {
        counts().take_while(|ranks| self.timeline.efficiency(*ranks, link) >= efficiency).last().unwrap_or(1)
    }

    /// The number of ranks that trains on `images` images per step in the least time, and how many times as fast as one.
    fn fastest(&self, images: usize, link: &Link) -> (usize, f64) {
        let seconds = |ranks: usize| {
            let own = images as f64 / ranks as f64 / self.workload.batch as f64;
            self.timeline.scaled(own).on(ranks, link).seconds
        };
        let possible = counts().filter(|ranks| *ranks <= images);
        let best = possible.min_by(|a, b| seconds(*a).total_cmp(&seconds(*b))).unwrap_or(1);
        (best, seconds(1) / seconds(best))
    }

    fn bytes(&self) -> f64 {
        self.timeline.sums.iter().map(|sum| sum.bytes).sum()
    }
}

/// How far something holds that always holds on one rank.
fn up_to(ranks: usize) -> String {
    if ranks == 1 { "only on one rank".to_owned() } else { format!("on up to {ranks} ranks") }
}

/// Relative error of a prediction in percent.
fn error(predicted: f64, measured: f64) -> f64 {
    100.0 * (predicted / measured - 1.0)
}

fn as_text(args: &Args, networks: &[Network], link: &Link, count: usize) -> String {
    let mut text = format!(
        "network: {:.1} us a message, {:.1} us of work for each, {:.2} GB/s\n",
        1e6 * link.latency,
        1e6 * link.overhead,
        link.bandwidth / 1e9
    );
    let mut line = |line: String| writeln!(text, "{line}").expect("a string grows");
    for network in networks {
        let Network { workload, timeline, measured } = network;
        line(format!(
            "{}: {:.1} ms for {} images of a step, {:.1} MiB to sum in {} parts",
            workload.name,
            1e3 * timeline.seconds,
            workload.batch,
            network.bytes() / f64::from(1 << 20),
            timeline.sums.len()
        ));
        if let Some([on_ranks, alone]) = measured {
            for (ranks, measured) in [(1, alone), (count, on_ranks)] {
                let predicted = timeline.on(ranks, link).seconds;
                line(format!(
                    "  measured on {ranks}: {:.1} ms; predicted {:.1} ms, {:+.1} %",
                    1e3 * measured,
                    1e3 * predicted,
                    error(predicted, *measured)
                ));
            }
        }
    }
    line(String::new());
    let names = networks.iter().map(|network| format!("{:>24}", network.workload.name));
    line(format!("ranks{}", names.collect::<String>()));
    for ranks in counts() {
        let cells = networks.iter().map(|Network { timeline, workload, .. }| {
            let seconds = timeline.on(ranks, link).seconds;
            let images = (workload.batch * ranks) as f64 / seconds;
            format!("{images:.1} /s {:>7.1} %", 100.0 * timeline.efficiency(ranks, link))
        });
        line(format!("{ranks:>5}{}", cells.map(|cell| format!("{cell:>24}")).collect::<String>()));
    }
    line(String::new());
    for network in networks {
        let (best, times) = network.fastest(args.fixed_batch as usize, link);
        line(format!(
            "{}: over 90 % efficient {}, over 50 % {}\n  with {} images of a step in all, fastest on {best}: {times:.0} times as fast as one",
            network.workload.name,
            up_to(network.most(0.9, link)),
            up_to(network.most(0.5, link)),
            args.fixed_batch
        ));
    }
    text
}

fn as_json(networks: &[Network], link: &Link, count: usize) -> Value {
    let of = |network: &Network| {
        let Network { workload, timeline, measured } = network;
        let steps = counts().map(|ranks| {
            let step = timeline.on(ranks, link);
            json!({ "ranks": ranks, "seconds": step.seconds, "exchange_seconds": step.exchange })
        });
        json!({
            "model": workload.name,
            "batch": workload.batch,
            "bytes": network.bytes(),
            "steps": steps.collect::<Vec<_>>(),
            "measured": measured.map(|[on_ranks, alone]| json!({ "ranks": count, "seconds": on_ranks, "alone_seconds": alone })),
        })
    };
    json!({
        "latency": link.latency,
        "overhead": link.overhead,
        "bandwidth": link.bandwidth,
        "networks": networks.iter().map(of).collect::<Vec<_>>(),
    })
}
