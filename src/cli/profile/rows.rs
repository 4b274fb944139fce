//! Time, work and rates by layer and by kernel.

use super::peaks::Peaks;
use super::steps::Steps;
use serde::Serialize;
use striate::plan::Launch;

/// A layer in a phase, or a kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `layer1.0.conv1`, or the kernel's name.
    pub name: String,
    /// Forward, backward or update; empty for kernels.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub phase: &'static str,
    pub launches: usize,
    /// Milliseconds of all its launches in a step.
    pub ms: f64,
    /// Fraction of the time of all launches.
    pub share: f64,
    pub flops: u64,
    /// Minimum traffic: bytes that must be read or written at least once.
    pub bytes: u64,
    pub gflop_per_s: f64,
    pub gb_per_s: f64,
    /// Fraction of the arithmetic or the memory peak, whichever is larger.
    pub of_peak: f64,
    /// The peak that this is closer to.
    pub bound: &'static str,
}

/// Layers by phase, in the order they run.
pub fn by_layer(steps: &Steps, peaks: &Peaks) -> Vec<Row> {
    let mut keys: Vec<(&str, &'static str)> = Vec::new();
    let groups = || steps.plan.groups.iter().map(|g| (&*g.scope, g.phase.name(), g.launches.clone()));
    for (scope, phase, _) in groups() {
        if !keys.contains(&(scope, phase)) {
            keys.push((scope, phase));
        }
    }
    let row = |(scope, phase)| {
        let of =
            |i: usize| groups().any(|(s, p, launches)| (s, p) == (scope, phase) && launches.contains(&i));
        let member: Vec<bool> = (0..steps.plan.launches.len()).map(of).collect();
        let name = if scope.is_empty() { "model" } else { scope };
        Row::new(name, phase, steps, peaks, |i, _| member[i])
    };
    keys.into_iter().map(row).collect()
}

/// Kernels, the slowest first.
pub fn by_kernel(steps: &Steps, peaks: &Peaks) -> Vec<Row> {
    let mut names: Vec<&'static str> = steps.plan.launches.iter().map(|l| l.kernel.name).collect();
    names.sort();
    names.dedup();
    let row = |name: &'static str| Row::new(name, "", steps, peaks, |_, l| l.kernel.name == name);
    let mut rows: Vec<Row> = names.into_iter().map(row).collect();
    rows.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    rows
}

impl Row {
    fn new(
        name: &str,
        phase: &'static str,
        steps: &Steps,
        peaks: &Peaks,
        included: impl Fn(usize, &Launch) -> bool,
    ) -> Self {
        let launches = steps.plan.launches.iter().enumerate().filter(|(i, l)| included(*i, l));
        let (count, flops, bytes) = launches
            .fold((0, 0, 0), |(count, flops, bytes), (_, l)| (count + 1, flops + l.flops, bytes + l.bytes));
        let ms = steps.ms(&included);
        let rate = |work: u64| if ms > 0.0 { work as f64 * 1e-6 / ms } else { 0.0 };
        let (gflop_per_s, gb_per_s) = (rate(flops), rate(bytes));
        let [arithmetic, memory] = [gflop_per_s / peaks.gflop_per_s, gb_per_s / peaks.gb_per_s];
        Self {
            name: name.to_owned(),
            phase,
            launches: count,
            ms,
            share: ms / steps.launches_ms(),
            flops,
            bytes,
            gflop_per_s,
            gb_per_s,
            of_peak: arithmetic.max(memory),
            bound: if arithmetic > memory { "arithmetic" } else { "memory" },
        }
    }
}
