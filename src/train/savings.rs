//! Ways to compute a training step in less memory, and which of them keeps to a limit.

use super::config::TrainConfig;
use crate::plan::{Target, in_bytes};
use crate::{Device, Error, Result};
use std::fmt;

/// A way to save memory in a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savings {
    /// Whether values are computed again instead of kept ([`Target::recompute`]), which changes no number.
    pub recompute: bool,
    /// Batches that the images are worked through in ([`TrainConfig::accumulate`]), each of which batch norm sees by
    /// itself.
    pub accumulate: usize,
}

impl Savings {
    /// This, and all that saves more in a step of `batch` images, in the order in which they are worth trying: computing
    /// again, then equal batches, more and more of them.
    pub fn and_more(self, batch: usize) -> impl Iterator<Item = Self> {
        let divides = move |n: &usize| batch.is_multiple_of(*n) && n.is_multiple_of(self.accumulate);
        let counts = (self.accumulate..=batch).filter(divides);
        let recompute = if self.recompute { &[true][..] } else { &[false, true] };
        counts.flat_map(move |accumulate| recompute.iter().map(move |r| Self { recompute: *r, accumulate }))
    }

    /// A target that saves so.
    pub fn target(self, target: &Target) -> Target {
        Target { recompute: self.recompute, ..target.clone() }
    }

    /// A training that saves so.
    pub fn training(self, device: &Device, config: &TrainConfig) -> (Device, TrainConfig) {
        let device = device.clone().with_target(self.target(device.target()));
        (device, TrainConfig { accumulate: self.accumulate, ..config.clone() })
    }
}

impl fmt::Display for Savings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Savings { recompute: false, accumulate: 1 } => write!(f, "as it is"),
            Savings { recompute: true, accumulate: 1 } => write!(f, "with recomputation"),
            Savings { recompute: false, accumulate } => write!(f, "in {accumulate} micro-batches"),
            Savings { recompute: true, accumulate } => {
                write!(f, "with recomputation and in {accumulate} micro-batches")
            }
        }
    }
}

/// The first of these ways that takes no more than `limit` bytes, and how many it takes. `bytes` foretells that; what
/// it says is too large for the device, or too small a batch for the network, is passed over. Fails where nothing fits.
pub fn fit(
    limit: u64,
    ways: impl IntoIterator<Item = Savings>,
    mut bytes: impl FnMut(Savings) -> Result<u64>,
) -> Result<(Savings, u64)> {
    let (mut least, mut refusal): (Option<(Savings, u64)>, _) = (None, None);
    for way in ways {
        match bytes(way) {
            Ok(taken) if taken <= limit => return Ok((way, taken)),
            Ok(taken) => least = least.into_iter().chain([(way, taken)]).min_by_key(|(_, taken)| *taken),
            Err(error @ Error::TooLarge(_)) => refusal = Some(error),
            Err(Error::Shape { .. }) if way.accumulate > 1 => break,
            Err(error) => return Err(error),
        }
    }
    let Some((way, taken)) = least else {
        return Err(refusal.unwrap_or_else(|| Error::argument("batch", "must be at least 1, and is 0")));
    };
    let [limit, taken] = [limit, taken].map(in_bytes);
    Err(Error::argument(
        "memory",
        format!(
            "nothing keeps a step to {limit}, the least is {taken} {way}; allow that, or use smaller images or a smaller model"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Savings = Savings { recompute: false, accumulate: 1 };

    /// A step of 12 images of 10 bytes each, or 6 where values are computed again, beside 5 bytes of weights.
    fn bytes(way: Savings) -> Result<u64> {
        let images = 12 / way.accumulate as u64;
        if images == 1 {
            return Err(Error::Shape { op: "batch_norm".into(), scope: "".into(), problem: "".into() });
        }
        Ok(5 + images * if way.recompute { 6 } else { 10 })
    }

    #[test]
    fn what_costs_least_comes_first() {
        let ways: Vec<String> = PLAIN.and_more(12).map(|way| way.to_string()).collect();
        assert_eq!(ways[..3], ["as it is", "with recomputation", "in 2 micro-batches"]);
        assert_eq!(ways.last().unwrap(), "with recomputation and in 12 micro-batches");
        assert_eq!(ways.len(), 2 * [1, 2, 3, 4, 6, 12].len());
        let asked = Savings { recompute: true, accumulate: 2 };
        let counts: Vec<usize> = asked.and_more(12).map(|way| way.accumulate).collect();
        assert_eq!(counts, [2, 4, 6, 12]);
    }

    #[test]
    fn the_first_that_fits_is_taken() {
        for (limit, recompute, accumulate, taken) in [
            (125, false, 1, 125),
            (124, true, 1, 77),
            (76, false, 2, 65),
            (64, true, 2, 41),
            (17, true, 6, 17),
        ] {
            let found = fit(limit, PLAIN.and_more(12), bytes).unwrap();
            assert_eq!(found, (Savings { recompute, accumulate }, taken), "{limit}");
        }
    }

    #[test]
    fn what_fits_nowhere_is_told_with_the_least_there_is() {
        let error = fit(16, PLAIN.and_more(12), bytes).unwrap_err().to_string();
        let expected =
            "nothing keeps a step to 16 B, the least is 17 B with recomputation and in 6 micro-batches";
        assert!(error.contains(expected), "{error}");
        let refused = fit(16, PLAIN.and_more(12), |_| Err(Error::TooLarge("x".into()))).unwrap_err();
        assert!(matches!(refused, Error::TooLarge(_)));
    }
}
