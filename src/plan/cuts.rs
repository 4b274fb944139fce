//! Where to cut a forward pass into segments, of which only what passes a cut is kept for the backward pass.

use std::ops::Range;

/// A value that a step of a forward pass makes. Steps are numbered from 0.
pub(super) struct Life {
    /// Its size.
    pub bytes: u64,
    /// The step that makes it.
    pub made: usize,
    /// The last step that reads it; `made` if none does.
    pub last: usize,
    /// Whether the backward pass reads it.
    pub wanted: bool,
}

/// Cuts `steps` steps into segments so that the least memory is needed while gradients are computed: when the
/// backward pass is in a segment, there is all that this and earlier segments hand on, and what it wants of this one.
pub(super) fn segments<'a>(lives: impl Iterator<Item = &'a Life> + Clone, steps: usize) -> Vec<Range<usize>> {
    let costs = Costs::new(lives.clone(), steps);
    // The least limit that can be kept to, by bisection; one segment keeps to the sum of all.
    let (mut least, mut enough) = (0, lives.map(|life| life.bytes).sum());
    while least < enough {
        let limit = least + (enough - least) / 2;
        match costs.within(limit) {
            Some(_) => enough = limit,
            None => least = limit + 1,
        }
    }
    costs.within(enough).unwrap_or_default()
}

/// What a segment takes, in bytes.
#[derive(Clone, Copy)]
struct Cost {
    /// What it hands on to later ones.
    kept: u64,
    /// What the backward pass wants of it besides.
    inner: u64,
}

/// The cost of each segment that there could be.
struct Costs {
    /// By start, and by length less one.
    of: Vec<Vec<Cost>>,
    steps: usize,
}

impl Costs {
    fn new<'a>(lives: impl Iterator<Item = &'a Life>, steps: usize) -> Self {
        let (mut made, mut last) = (vec![vec![]; steps], vec![vec![]; steps]);
        for life in lives {
            made[life.made].push(life);
            last[life.last].push(life);
        }
        let from = |start: usize| {
            let mut cost = Cost { kept: 0, inner: 0 };
            let longer = |step: usize| {
                cost.kept += made[step].iter().map(|life| life.bytes).sum::<u64>();
                for life in last[step].iter().filter(|life| life.made >= start) {
                    cost.kept -= life.bytes;
                    cost.inner += if life.wanted { life.bytes } else { 0 };
                }
                cost
            };
            (start..steps).map(longer).collect()
        };
        Self { of: (0..steps).map(from).collect(), steps }
    }

    /// Segments that hand on the least of those that never need more than `limit` bytes.
    fn within(&self, limit: u64) -> Option<Vec<Range<usize>>> {
        // By step: the least that all segments up to there hand on, and the start of the last of them.
        let mut best: Vec<Option<(u64, usize)>> = vec![None; self.steps + 1];
        best[0] = Some((0, 0));
        for end in 1..=self.steps {
            let ending_here = |start: usize| {
                let Cost { kept, inner } = self.of[start][end - start - 1];
                let kept = best[start]?.0 + kept;
                (kept + inner <= limit).then_some((kept, start))
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

    /// Steps that each read what the one before made.
    fn chain(sizes: &[u64]) -> Vec<Life> {
        let life = |(made, bytes): (usize, &u64)| Life {
            bytes: *bytes,
            made,
            last: (made + 1).min(sizes.len() - 1),
            wanted: true,
        };
        sizes.iter().enumerate().map(life).collect()
    }

    #[test]
    fn a_long_chain_takes_the_square_root_of_its_length() {
        let segments = segments(chain(&[1; 100]).iter(), 100);
        assert_eq!((segments[0].start, segments.last().unwrap().end), (0, 100));
        assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
        // Where k values have been handed on, a segment can have 14 - k: 14 + 13 + ... + 3 = 102.
        assert_eq!(segments.len(), 12);
        let needed = segments.iter().enumerate().map(|(k, segment)| k + segment.len());
        assert_eq!(needed.max(), Some(14));
    }

    #[test]
    fn cuts_are_where_little_passes() {
        let segments = segments(chain(&[9, 9, 1, 9, 9, 1, 9, 9]).iter(), 8);
        assert_eq!(segments, [0..3, 3..6, 6..8]);
    }

    #[test]
    fn what_gains_nothing_is_left_whole() {
        assert_eq!(segments(chain(&[5]).iter(), 1).len(), 1);
        assert_eq!(segments([].iter(), 0), []);
        // Everything passes every cut.
        let lives: Vec<Life> = (0..4).map(|made| Life { bytes: 1, made, last: 3, wanted: true }).collect();
        assert_eq!(segments(lives.iter(), 4).len(), 1);
    }
}
