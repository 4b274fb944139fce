//! `striate tune`: finds the fastest kernels for a network's convolutions and matrix products.

use super::device::DeviceName;
use super::flags::{ModelFlags, recipe};
use super::output::print;

use striate::Result;
use striate::train::training_graph;
use striate::tune::{self, Finding, Verdict};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// Images per step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    device: DeviceName,
}

pub fn run(args: Args) -> Result<()> {
    let (model, input) = args.model.open(args.batch)?;
    let graph = training_graph(&*model, input, &recipe())?;
    let device = args.device.open()?;
    tune::check(&device)?;
    print(&format!("device  {}\n", device.describe()))?;
    let mut totals = [0.0; 2];
    let tuned = tune::tune(&device, &graph, &mut |finding| {
        for (total, seconds) in totals.iter_mut().zip(default_and_chosen(finding)) {
            *total += 1e3 * seconds;
        }
        print(&table(finding))
    })?;
    let [default, chosen] = totals;
    print(&format!(
        "\nsum over classes: {default:.3} ms untuned, {chosen:.3} ms tuned; stored {} classes\n",
        tuned.len()
    ))?;
    print(&match tune::save(&device, &tuned)? {
        Some(path) => format!("written  {}\n", path.display()),
        None => "not stored: there is no cache folder, or STRIATE_CACHE is off\n".to_owned(),
    })
}

/// Seconds of the default candidate and of the chosen one, or zeros unless both were timed.
fn default_and_chosen(finding: &Finding) -> [f64; 2] {
    let timed = |index: Option<usize>| match finding.candidates[index?].1 {
        Verdict::Right(seconds) | Verdict::Slow(seconds) => Some(seconds),
        Verdict::Wrong(_) => None,
    };
    match (timed(finding.default), timed(finding.chosen)) {
        (Some(default), Some(chosen)) => [default, chosen],
        _ => [0.0; 2],
    }
}

fn table(finding: &Finding) -> String {
    let Finding { class, layer, candidates, default, chosen } = finding;
    let mut text = format!("\n{class} ({layer})\n");
    for (i, (kernel, verdict)) in candidates.iter().enumerate() {
        let time = match verdict {
            Verdict::Right(seconds) => format!("{:10.3} ms", 1e3 * seconds),
            Verdict::Slow(seconds) => format!("{:10.3} ms, once", 1e3 * seconds),
            Verdict::Wrong(error) => format!("WRONG by {error:.1e}"),
        };
        let marks = [(*default == Some(i), "default"), (*chosen == Some(i), "chosen")];
        let marks: Vec<&str> = marks.into_iter().filter(|(yes, _)| *yes).map(|(_, mark)| mark).collect();
        let line = format!("  {:44} {time:22} {}", kernel.name, marks.join(", "));
        text += line.trim_end();
        text += "\n";
    }
    text
}
