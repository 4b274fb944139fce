//! Flags that limit the memory of a training step.

use super::flags::as_flag;
use super::terminal::note;
use serde::Serialize;
use striate::Result;
use striate::graph::Graph;
use striate::plan::{Plan, Target, format_bytes};
use striate::train::MemoryStrategy;

/// Flags of every command that plans a training step.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct MemoryFlags {
    /// Keep only some activations of the forward pass and recompute the others in the backward pass: less memory, more
    /// time, bit-identical results
    #[arg(long, help_heading = "Memory")]
    recompute: bool,
    /// Use at most this much memory, such as 512MiB or 1.5GiB: with --recompute if needed, and in `train` and `plan` with
    /// micro-batches if that is not enough. Batch norm normalizes each micro-batch separately, so they change the results
    #[arg(long, value_name = "LIMIT", value_parser = parse_bytes, help_heading = "Memory")]
    memory: Option<u64>,
}

impl MemoryFlags {
    /// The cheapest strategy within the limit for a step of `batch` images in at least `accumulate` micro-batches. `bytes`
    /// estimates the memory of a step.
    pub fn strategy(
        &self,
        batch: usize,
        accumulate: usize,
        bytes: impl FnMut(MemoryStrategy) -> Result<u64>,
    ) -> Result<MemoryStrategy> {
        let requested = MemoryStrategy { recompute: self.recompute, accumulate };
        let Some(limit) = self.memory else { return Ok(requested) };
        let (strategy, taken) =
            MemoryStrategy::select(limit, requested.and_stronger(batch), bytes).map_err(as_flag::<Self>)?;
        note(&format!("note: the step takes {} of {} {strategy}", format_bytes(taken), format_bytes(limit)));
        Ok(strategy)
    }

    /// Plans a step without micro-batches.
    pub fn plan(&self, graph: &Graph, target: &Target) -> Result<Plan> {
        let plan = |strategy: MemoryStrategy| Plan::new(graph, &strategy.target(target));
        plan(self.strategy(1, 1, |strategy| Ok(plan(strategy)?.peak_bytes()))?)
    }
}

/// Units of a size and their bytes; single letters are binary units.
const UNITS: [(&[&str], u64); 7] = [
    (&["", "b"], 1),
    (&["kb"], 1000),
    (&["mb"], 1_000_000),
    (&["gb"], 1_000_000_000),
    (&["k", "kib"], 1 << 10),
    (&["m", "mib"], 1 << 20),
    (&["g", "gib"], 1 << 30),
];

/// Parses a number of bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_lowercase();
    let unit = UNITS.iter().find(|(names, _)| names.contains(&&*unit)).map(|(_, bytes)| *bytes as f64);
    match (number.parse::<f64>(), unit) {
        (Ok(number), Some(unit)) if number * unit >= 1.0 && number * unit < u64::MAX as f64 => {
            Ok((number * unit) as u64)
        }
        _ => Err("expected a number of bytes with a unit, such as 512MiB or 1.5GiB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("1.5G", 3 << 29),
            ("2 gib", 2 << 30),
            ("3k", 3072),
            ("1.5MB", 1_500_000),
            ("77", 77),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["5 bananas", "", "MiB", "1.2.3M", "-5M", "0", "inf", "1e3", "99999999999999999G"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
