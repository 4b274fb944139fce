//! Times of steps, and what the system says of this process.

use super::Bench;
use std::time::Instant;
use striate::Result;

/// How long the steps took.
pub struct Times {
    /// Milliseconds of the counted steps, shortest first.
    sorted: Vec<f64>,
    /// Milliseconds of the very first step, counted or not.
    pub first_ms: f64,
    /// Seconds from the start of the process to the end of that step.
    pub first_s: f64,
}

impl Times {
    /// Times each step by itself.
    pub fn measure(bench: &Bench, mut step: impl FnMut() -> Result<()>) -> Result<Self> {
        let (warmup, steps) = (bench.steps.warmup as usize, bench.steps.steps as usize);
        let mut times = Self { sorted: Vec::with_capacity(steps), first_ms: 0.0, first_s: 0.0 };
        for i in 0..warmup + steps {
            let start = Instant::now();
            step()?;
            let ms = start.elapsed().as_secs_f64() * 1e3;
            if i == 0 {
                (times.first_ms, times.first_s) = (ms, since_start(bench.start));
            }
            if i >= warmup {
                times.sorted.push(ms);
            }
        }
        times.sorted.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// Milliseconds of the shortest step.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// Milliseconds of the step in the middle.
    pub fn median(&self) -> f64 {
        let n = self.sorted.len();
        (self.sorted[(n - 1) / 2] + self.sorted[n / 2]) / 2.0
    }

    /// Milliseconds of the longest step.
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }
}

/// Seconds since the system started this process, to 10 ms; where it does not say, since `main`.
fn since_start(main: Instant) -> f64 {
    // Linux counts in hundredths of a second here, whatever its own clock.
    let by_system = || -> Option<f64> {
        let up = std::fs::read_to_string("/proc/uptime").ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // Field 22, counted after the name, which may hold spaces.
        let ticks: f64 = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
        Some(up.split_whitespace().next()?.parse::<f64>().ok()? - ticks / 100.0)
    };
    by_system().unwrap_or_else(|| main.elapsed().as_secs_f64())
}

/// The most memory that this process had at once, in MiB, where the system says.
pub fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let times = |sorted: &[f64]| Times { sorted: sorted.to_vec(), first_ms: 0.0, first_s: 0.0 };
        assert_eq!(times(&[1.0, 2.0, 9.0]).median(), 2.0);
        assert_eq!(times(&[1.0, 2.0, 4.0, 9.0]).median(), 3.0);
    }
}
