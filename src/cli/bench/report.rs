//! Prints the result of a case as text, followed by a line of JSON.

use super::{Bench, Check, Outcome, clock};
use serde::Serialize;
use std::fmt;
use striate::Device;

/// The line of JSON. Benchmarks of other engines use the same names.
#[derive(Serialize)]
struct Line<'a> {
    peer: String,
    backend: String,
    runtime: &'static str,
    adapter: String,
    case: &'a str,
    steps: u32,
    warmup: u32,
    min_ms: f64,
    median_ms: f64,
    max_ms: f64,
    samples_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflops: Option<f64>,
    first_s: f64,
    first_ms: f64,
    peak_rss_mib: Option<f64>,
    plan_mib: f64,
    device_mib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_abs_error: Option<f64>,
}

pub fn text(bench: &Bench, outcome: &Outcome) -> String {
    let line = Line::new(bench, outcome);
    let json = serde_json::to_string(&line).expect("the line has text keys");
    let Outcome { times, check, .. } = outcome;
    let Line { peer, backend, runtime, adapter, case, steps, warmup, .. } = &line;
    let mut text = format!(
        "peer={peer} backend={backend} runtime={runtime} adapter=\"{adapter}\" case={case}\n  \
         steps={steps} warmup={warmup} ms/step min={:.3} median={:.3} max={:.3} samples/s={:.2}\n",
        times.min, times.median, times.max, line.samples_per_s
    );
    if let Some(gflops) = line.gflops {
        text += &format!("  gflop/s (median)={gflops:.2}\n");
    }
    let known = |mib: Option<f64>| mib.map_or("unknown".into(), |mib| format!("{mib:.1} MiB"));
    let [peak, device] = [line.peak_rss_mib, line.device_mib].map(known);
    text += &format!(
        "  process start to end of first step={:.2} s, first step={:.1} ms, peak rss={peak}, plan={:.1} MiB, device={device}\n",
        times.first_end_s, times.first, line.plan_mib
    );
    text + &format!("  {check}\nJSON {json}\n")
}

impl<'a> Line<'a> {
    fn new(bench: &Bench, outcome: &'a Outcome) -> Self {
        let times = &outcome.times;
        let (backend, runtime) = computed_by(bench.device);
        let per_second = 1e3 / times.median;
        let (losses, max_abs_error) = match &outcome.check {
            Check::Losses { losses, .. } => (Some(&losses[..]), None),
            Check::Errors(errors) => (None, errors.iter().map(|(.., error)| *error).max_by(f64::total_cmp)),
        };
        Self {
            peer: format!("striate-{}", env!("CARGO_PKG_VERSION")),
            backend,
            runtime,
            adapter: bench.device.name(),
            case: &outcome.case,
            steps: bench.steps.steps,
            warmup: bench.steps.warmup,
            min_ms: rounded(times.min, 4),
            median_ms: rounded(times.median, 4),
            max_ms: rounded(times.max, 4),
            samples_per_s: rounded(outcome.samples as f64 * per_second, 3),
            gflops: outcome.flops.map(|flops| rounded(flops * per_second * 1e-9, 6)),
            first_s: rounded(times.first_end_s, 3),
            first_ms: rounded(times.first, 2),
            peak_rss_mib: clock::peak_memory().map(|mib| rounded(mib, 1)),
            plan_mib: mib(outcome.plan_bytes),
            device_mib: outcome.device_bytes.map(mib),
            losses,
            max_abs_error,
        }
    }
}

/// The backend, and the language of the kernels.
fn computed_by(device: &Device) -> (String, &'static str) {
    match device.adapter() {
        Some(adapter) => (adapter.backend.to_lowercase(), "wgpu<wgsl>"),
        None => (format!("cpu-{}t", rayon::current_num_threads()), "rust"),
    }
}

fn mib(bytes: u64) -> f64 {
    rounded(bytes as f64 / (1 << 20) as f64, 3)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Losses { parameters, lr, losses } => {
                let fell = losses.iter().all(|loss| loss.is_finite()) && losses.last() < losses.first();
                let list: Vec<String> = losses.iter().map(|loss| format!("{loss:.5}")).collect();
                write!(f, "params={parameters} lr={lr} loss fell={fell} losses=[{}]", list.join(", "))
            }
            Check::Errors(errors) => {
                write!(f, "max abs error over checked elements:")?;
                errors.iter().try_for_each(|(name, count, error)| write!(f, " {name}={error:.2e} ({count})"))
            }
        }
    }
}
