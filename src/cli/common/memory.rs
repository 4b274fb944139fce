//! The flags that say how much memory a training step may take.

use super::flags::as_flag;
use super::terminal::note;
use serde::Serialize;
use striate::Result;
use striate::graph::Graph;
use striate::plan::{Plan, Target, format_bytes};
use striate::train::MemoryStrategy;

/// Flags of every command that plans training.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct MemoryFlags {
    /// Keep little of the forward pass, and compute the rest again for the backward pass: less memory, more time, the
    /// same numbers to the bit
    #[arg(long)]
    recompute: bool,
    /// Keep to so much memory, such as 512MiB or 1.5GiB: with --recompute if need be, and, in `train` and `plan`, in
    /// micro-batches if that is not enough. Batch norm sees each micro-batch by itself, so these change what is learned
    #[arg(long, value_name = "LIMIT", value_parser = parse_bytes)]
    memory: Option<u64>,
}

impl MemoryFlags {
    /// What to save in a step of `batch` images, which is in `accumulate` batches at least. `bytes` foretells what
    /// a step takes.
    pub fn savings(
        &self,
        batch: usize,
        accumulate: usize,
        bytes: impl FnMut(MemoryStrategy) -> Result<u64>,
    ) -> Result<MemoryStrategy> {
        let asked = MemoryStrategy { recompute: self.recompute, accumulate };
        let Some(limit) = self.memory else { return Ok(asked) };
        let (savings, taken) =
            MemoryStrategy::select(limit, asked.and_stronger(batch), bytes).map_err(as_flag::<Self>)?;
        note(&format!("note: the step takes {} of {} {savings}", format_bytes(taken), format_bytes(limit)));
        Ok(savings)
    }

    /// The plan of a step that is not cut into micro-batches.
    pub fn plan(&self, graph: &Graph, target: &Target) -> Result<Plan> {
        let plan = |savings: MemoryStrategy| Plan::new(graph, &savings.target(target));
        plan(self.savings(1, 1, |savings| Ok(plan(savings)?.peak_bytes()))?)
    }
}

/// Bytes of the units that a size can be given in; those of one letter are binary.
const UNITS: [(&[&str], u64); 7] = [
    (&["", "b"], 1),
    (&["kb"], 1000),
    (&["mb"], 1_000_000),
    (&["gb"], 1_000_000_000),
    (&["k", "kib"], 1 << 10),
    (&["m", "mib"], 1 << 20),
    (&["g", "gib"], 1 << 30),
];

/// A number of bytes, from a flag.
fn parse_bytes(text: &str) -> Result<u64, String> {
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
