//! Times of steps, and the operating system's statistics of this process.

use super::Bench;
use crate::cli::numbers::{bounds, median};
use std::time::Instant;
use striate::Result;

/// Times of the steps, in milliseconds unless noted.
pub struct Times {
    pub min: f64,
    pub median: f64,
    pub max: f64,
    /// The first step, even if it is a warm-up step.
    pub first: f64,
    /// Seconds from the start of the process to the end of the first step.
    pub first_end_s: f64,
}

impl Times {
    /// Times each step.
    pub fn measure(bench: &Bench, mut step: impl FnMut() -> Result<()>) -> Result<Self> {
        let (warmup, steps) = (bench.steps.warmup as usize, bench.steps.steps as usize);
        let (mut all, mut first_end_s) = (Vec::with_capacity(warmup + steps), 0.0);
        for i in 0..warmup + steps {
            let start = Instant::now();
            step()?;
            all.push(start.elapsed().as_secs_f64() * 1e3);
            if i == 0 {
                first_end_s = since_start(bench.start);
            }
        }
        let counted = &all[warmup..];
        let (min, max) = bounds(counted.iter().copied());
        Ok(Self { min, median: median(counted.to_vec()), max, first: all[0], first_end_s })
    }
}

/// Seconds since the start of this process, to 10 ms, or since `main` if the system does not report that.
fn since_start(main: Instant) -> f64 {
    // Linux reports this in hundredths of a second, whatever the resolution of its clock.
    let by_system = || -> Option<f64> {
        let up = std::fs::read_to_string("/proc/uptime").ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // Field 22, counted after the name, which may hold spaces.
        let ticks: f64 = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
        Some(up.split_whitespace().next()?.parse::<f64>().ok()? - ticks / 100.0)
    };
    by_system().unwrap_or_else(|| main.elapsed().as_secs_f64())
}

/// Peak memory of this process in MiB, if the system reports it.
pub fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
