//! Splits the forward pass into checkpoint segments. Only activations that cross a boundary are kept.

use std::ops::Range;

/// An activation of the forward pass. Steps are numbered from 0.
pub(super) struct Lifetime {
    /// Its size.
    pub bytes: u64,
    /// The step that computes it.
    pub def: usize,
    /// The last step that reads it; `def` if none does.
    pub last_use: usize,
    /// Whether the backward pass reads it.
    pub saved: bool,
}

/// Splits `steps` steps into segments with the lowest peak memory. While the backward pass is in a segment, memory holds
/// everything that this and earlier segments pass on, and the other activations of this segment that the backward pass reads.
pub(super) fn checkpoint_segments<'a>(
    lifetimes: impl Iterator<Item = &'a Lifetime> + Clone,
    steps: usize,
) -> Vec<Range<usize>> {
    let costs = SegmentCosts::new(lifetimes.clone(), steps);
    // Bisect for the lowest feasible peak. A single segment never needs more than the sum of all activations.
    let (mut low, mut high) = (0, lifetimes.map(|value| value.bytes).sum());
    while low < high {
        let limit = low + (high - low) / 2;
        match costs.best_within(limit) {
            Some(_) => high = limit,
            None => low = limit + 1,
        }
    }
    costs.best_within(high).unwrap_or_default()
}

/// Memory of a segment, in bytes.
#[derive(Clone, Copy)]
struct SegmentCost {
    /// Activations that later segments read.
    boundary: u64,
    /// Other activations that the backward pass reads.
    inner: u64,
}

/// The cost of every possible segment.
struct SegmentCosts {
    /// By start, then by length - 1.
    by_start: Vec<Vec<SegmentCost>>,
    steps: usize,
}

impl SegmentCosts {
    fn new<'a>(lifetimes: impl Iterator<Item = &'a Lifetime>, steps: usize) -> Self {
        let (mut defs, mut last_uses) = (vec![vec![]; steps], vec![vec![]; steps]);
        for value in lifetimes {
            defs[value.def].push(value);
            last_uses[value.last_use].push(value);
        }
        let from = |start: usize| {
            let mut cost = SegmentCost { boundary: 0, inner: 0 };
            let extend = |step: usize| {
                cost.boundary += defs[step].iter().map(|value| value.bytes).sum::<u64>();
                for value in last_uses[step].iter().filter(|value| value.def >= start) {
                    cost.boundary -= value.bytes;
                    cost.inner += if value.saved { value.bytes } else { 0 };
                }
                cost
            };
            (start..steps).map(extend).collect()
        };
        Self { by_start: (0..steps).map(from).collect(), steps }
    }

    /// The segments that keep the fewest bytes across boundaries while the peak stays within `limit`.
    fn best_within(&self, limit: u64) -> Option<Vec<Range<usize>>> {
        // By end step: the fewest bytes that all segments up to there keep, and the start of the last segment.
        let mut best: Vec<Option<(u64, usize)>> = vec![None; self.steps + 1];
        best[0] = Some((0, 0));
        for end in 1..=self.steps {
            let ending_here = |start: usize| {
                let SegmentCost { boundary, inner } = self.by_start[start][end - start - 1];
                let boundary = best[start]?.0 + boundary;
                (boundary + inner <= limit).then_some((boundary, start))
            };
            best[end] = (0..end).filter_map(ending_here).min();
        }
        let (mut segments, mut end) = (Vec::new(), self.steps);
        while end > 0 {
            let (_, start) = best[end]?;
            segments.push(start..end);
            end = start;
        }
        segments.reverse();
        Some(segments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step reads the result of the previous one.
    fn chain(sizes: &[u64]) -> Vec<Lifetime> {
        let value = |(def, bytes): (usize, &u64)| Lifetime {
            bytes: *bytes,
            def,
            last_use: (def + 1).min(sizes.len() - 1),
            saved: true,
        };
        sizes.iter().enumerate().map(value).collect()
    }

    #[test]
    fn memory_grows_with_the_square_root_of_a_chain() {
        let segments = checkpoint_segments(chain(&[1; 100]).iter(), 100);
        assert_eq!((segments[0].start, segments.last().unwrap().end), (0, 100));
        assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
        // After k boundary values, a segment can be 14 - k long: 14 + 13 + ... + 3 = 102 steps.
        assert_eq!(segments.len(), 12);
        let needed = segments.iter().enumerate().map(|(k, segment)| k + segment.len());
        assert_eq!(needed.max(), Some(14));
    }

    #[test]
    fn segments_end_where_few_bytes_cross() {
        let segments = checkpoint_segments(chain(&[9, 9, 1, 9, 9, 1, 9, 9]).iter(), 8);
        assert_eq!(segments, [0..3, 3..6, 6..8]);
    }

    #[test]
    fn a_forward_pass_that_cannot_save_memory_stays_one_segment() {
        assert_eq!(checkpoint_segments(chain(&[5]).iter(), 1).len(), 1);
        assert_eq!(checkpoint_segments([].iter(), 0), []);
        // Every value crosses every boundary.
        let lifetimes: Vec<Lifetime> =
            (0..4).map(|def| Lifetime { bytes: 1, def, last_use: 3, saved: true }).collect();
        assert_eq!(checkpoint_segments(lifetimes.iter(), 4).len(), 1);
    }
}
