//! `striate selftest`: tests every kernel on a device.

use super::device::DeviceName;
use super::output::{json, print};
use super::terminal::Bar;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;
use striate::Result;
use striate::selftest::{self, Extent, KernelReport};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    device: DeviceName,
    /// Run the test of the first use of a device: one check of each kernel that plans would choose for it.
    #[arg(long)]
    short: bool,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    device: String,
    extent: Extent,
    seconds: f64,
    passed: bool,
    properties: BTreeMap<&'a str, &'a str>,
    kernels: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    kernel: &'a str,
    /// Launches compared with the CPU.
    checks: usize,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(report: &'a KernelReport) -> Self {
        let verdict = match (&report.failure, report.checks) {
            (Some(_), _) => "FAILED",
            (None, 0) => "not tested",
            (None, _) => "passed",
        };
        let KernelReport { kernel, checks, failure } = report;
        Self { kernel: kernel.name, checks: *checks, verdict, failure: failure.as_deref() }
    }
}

/// Returns the exit code: 1 if a kernel failed.
pub fn run(args: Args) -> Result<i32> {
    let device = args.device.open_untested()?;
    if !args.json {
        print(&format!("device  {}\n", device.describe()))?;
    }
    // The short test is over in seconds.
    let (start, bar) = (Instant::now(), if args.short { None } else { Bar::new(10) });
    let extent = if args.short { Extent::Short } else { Extent::Full };
    let report = selftest::run(&|| args.device.open_untested(), extent, &mut |done, of| {
        if let Some(bar) = &bar {
            bar.show(done, of, format!("{done}/{of} cases  {} s", start.elapsed().as_secs()));
        }
    })?;
    drop(bar);
    let answer = Answer {
        device: device.describe(),
        extent,
        seconds: start.elapsed().as_secs_f64(),
        passed: report.failures().next().is_none(),
        properties: report.properties.iter().copied().collect(),
        kernels: report.kernels.iter().map(Row::new).collect(),
    };
    print(&if args.json { json(&answer) } else { table(&answer) })?;
    let stored = selftest::save(&device, &report)?;
    if !args.json && device.is_gpu() {
        print(&match stored {
            Some(path) => format!("written  {}\n", path.display()),
            None => "not stored: there is no cache folder, or STRIATE_CACHE is off\n".to_owned(),
        })?;
    }
    Ok(i32::from(!answer.passed))
}

fn table(answer: &Answer) -> String {
    let mut text = format!("\n{:48} {:>6}  verdict\n", "kernel", "checks");
    for Row { kernel, checks, verdict, failure } in &answer.kernels {
        let checks = if *checks == 0 { "-".to_owned() } else { checks.to_string() };
        text += &format!("{kernel:48} {checks:>6}  {verdict}\n");
        if let Some(failure) = failure {
            text += &format!("    {failure}\n");
        }
    }
    text += "\nleft open by WGSL; no kernel depends on it:\n";
    for (name, value) in &answer.properties {
        text += &format!("{name:20} {value}\n");
    }
    let count = |wanted: &str| answer.kernels.iter().filter(|row| row.verdict == wanted).count();
    text += &format!(
        "\n{} passed, {} failed, {} not tested, in {:.1} s\n",
        count("passed"),
        count("FAILED"),
        count("not tested"),
        answer.seconds
    );
    if !answer.passed {
        text += "plans for this device will not contain the kernels that failed\n";
    }
    text
}
