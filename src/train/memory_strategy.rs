//! Trading time for memory in a training step.

use super::config::TrainConfig;
use crate::plan::{Target, format_bytes};
use crate::{Device, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a training step saves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStrategy {
    /// Recompute activations in the backward pass instead of storing them ([`Target::recompute`]). Results are identical.
    pub recompute: bool,
    /// Micro-batches per step ([`TrainConfig::accumulate`]). Batch norm normalizes each of them separately.
    pub accumulate: usize,
}

impl MemoryStrategy {
    /// This strategy and all that save more in a step of `batch` images, cheapest first: recomputation, then increasing
    /// numbers of equal micro-batches.
    pub fn and_stronger(self, batch: usize) -> impl Iterator<Item = Self> {
        let divides = move |n: &usize| batch.is_multiple_of(*n) && n.is_multiple_of(self.accumulate);
        let counts = (self.accumulate..=batch).filter(divides);
        let recompute = if self.recompute { &[true][..] } else { &[false, true] };
        counts.flat_map(move |accumulate| recompute.iter().map(move |r| Self { recompute: *r, accumulate }))
    }

    /// `target` with this strategy.
    pub fn target(self, target: &Target) -> Target {
        Target { recompute: self.recompute, ..target.clone() }
    }

    /// The first candidate that needs at most `limit` bytes, and how many it needs. `bytes` estimates the memory of a
    /// candidate; candidates that are too large for the device are skipped, and so are all from the first whose
    /// micro-batches are too small for the network.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] named `memory` if none fits, with the smallest amount needed; errors of `bytes`.
    pub fn select(
        limit: u64,
        candidates: impl IntoIterator<Item = Self>,
        mut bytes: impl FnMut(Self) -> Result<u64>,
    ) -> Result<(Self, u64)> {
        let (mut smallest, mut too_large): (Option<(Self, u64)>, _) = (None, None);
        for strategy in candidates {
            match bytes(strategy) {
                Ok(needed) if needed <= limit => return Ok((strategy, needed)),
                Ok(needed) => {
                    let all = smallest.into_iter().chain([(strategy, needed)]);
                    smallest = all.min_by_key(|(_, needed)| *needed);
                }
                Err(error @ Error::TooLarge(_)) => too_large = Some(error),
                Err(Error::Shape { .. }) if strategy.accumulate > 1 => break,
                // Too few images for all ranks.
                Err(Error::Argument { .. }) if smallest.is_some() => break,
                Err(error) => return Err(error),
            }
        }
        let Some((strategy, needed)) = smallest else {
            return Err(too_large.unwrap_or_else(|| Error::argument("batch", "must be at least 1, got 0")));
        };
        let [limit, needed] = [limit, needed].map(format_bytes);
        let problem = format!(
            "a step does not fit in {limit}: it needs at least {needed} {strategy}; raise the limit, or use smaller images or a smaller model"
        );
        Err(Error::argument("memory", problem))
    }

    /// `device` and `config` with this strategy.
    pub fn training(self, device: &Device, config: &TrainConfig) -> (Device, TrainConfig) {
        let device = device.clone().with_target(self.target(device.target()));
        (device, TrainConfig { accumulate: self.accumulate, ..config.clone() })
    }
}

impl fmt::Display for MemoryStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MemoryStrategy { recompute: false, accumulate: 1 } => write!(f, "without recomputation"),
            MemoryStrategy { recompute: true, accumulate: 1 } => write!(f, "with recomputation"),
            MemoryStrategy { recompute: false, accumulate } => write!(f, "with {accumulate} micro-batches"),
            MemoryStrategy { recompute: true, accumulate } => {
                write!(f, "with recomputation and {accumulate} micro-batches")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: MemoryStrategy = MemoryStrategy { recompute: false, accumulate: 1 };

    /// Memory of a step: 5 bytes of weights, and 12 images of 10 bytes each, or 6 with recomputation.
    fn bytes(strategy: MemoryStrategy) -> Result<u64> {
        let images = 12 / strategy.accumulate as u64;
        if images == 1 {
            return Err(Error::Shape { op: "batch_norm".into(), scope: "".into(), problem: "".into() });
        }
        Ok(5 + images * if strategy.recompute { 6 } else { 10 })
    }

    #[test]
    fn cheaper_strategies_come_first() {
        let strategies: Vec<String> = PLAIN.and_stronger(12).map(|strategy| strategy.to_string()).collect();
        assert_eq!(strategies[..3], ["without recomputation", "with recomputation", "with 2 micro-batches"]);
        assert_eq!(strategies.last().unwrap(), "with recomputation and 12 micro-batches");
        assert_eq!(strategies.len(), 2 * [1, 2, 3, 4, 6, 12].len());
        let weakest = MemoryStrategy { recompute: true, accumulate: 2 };
        let counts: Vec<usize> = weakest.and_stronger(12).map(|strategy| strategy.accumulate).collect();
        assert_eq!(counts, [2, 4, 6, 12]);
    }

    #[test]
    fn the_first_that_fits_is_selected() {
        for (limit, recompute, accumulate, needed) in [
            (125, false, 1, 125),
            (124, true, 1, 77),
            (76, false, 2, 65),
            (64, true, 2, 41),
            (17, true, 6, 17),
        ] {
            let found = MemoryStrategy::select(limit, PLAIN.and_stronger(12), bytes).unwrap();
            assert_eq!(found, (MemoryStrategy { recompute, accumulate }, needed), "{limit}");
        }
    }

    #[test]
    fn the_smallest_is_reported_if_none_fits() {
        let error = MemoryStrategy::select(16, PLAIN.and_stronger(12), bytes).unwrap_err().to_string();
        let expected =
            "a step does not fit in 16 B: it needs at least 17 B with recomputation and 6 micro-batches";
        assert!(error.contains(expected), "{error}");
        let too_large = |_| Err(Error::TooLarge("x".into()));
        let refused = MemoryStrategy::select(16, PLAIN.and_stronger(12), too_large).unwrap_err();
        assert!(matches!(refused, Error::TooLarge(_)));
    }
}
