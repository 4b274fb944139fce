//! The contest between ways to compute the same: first each result is compared, then those that are right are timed in
//! turns.

use crate::Result;

/// Where ways compete, known by their numbers.
pub(super) trait Arena {
    /// Computes by this way, and returns the result.
    fn result(&mut self, way: usize) -> Result<Vec<f32>>;

    /// Computes by this way, and returns how long it took.
    fn seconds(&mut self, way: usize) -> Result<f64>;
}

/// What came of a way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The result is right; seconds, the median of some rounds.
    Right(f64),
    /// The result is right, but the first round showed that this is not the fastest way; seconds.
    Slow(f64),
    /// The result is wrong; by how much at most, relative to the largest number. It was not timed.
    Wrong(f64),
}

/// Rounds in which the ways take turns, so that what disturbs the machine meanwhile disturbs all of them.
const ROUNDS: usize = 7;
/// A way that takes this many times as long as the fastest at first is not timed any further.
const HOPELESS: f64 = 3.0;
/// Another way than the default one has to take less than this part of its time: the rest may be chance.
const CLEARLY: f64 = 0.97;

/// How far a sum of so many terms may be from another one of the same terms, relative to the largest of the results:
/// each rounding adds up to 6e-8 of the running sum, now up, now down.
pub(super) fn tolerance(terms: f64) -> f64 {
    6e-6 + 6e-7 * terms.sqrt()
}

/// Compares the result of every way, and times those that are right.
pub(super) fn hold(
    arena: &mut dyn Arena,
    ways: usize,
    expected: &[f32],
    tolerance: f64,
) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for way in 0..ways {
        let error = difference(&arena.result(way)?, expected);
        verdicts.push(match error <= tolerance {
            true => Verdict::Slow(arena.seconds(way)?),
            false => Verdict::Wrong(error),
        });
    }
    let first = |verdict: &Verdict| if let Verdict::Slow(s) = verdict { *s } else { f64::INFINITY };
    let limit = HOPELESS * verdicts.iter().map(first).fold(f64::INFINITY, f64::min);
    let hopeful: Vec<usize> =
        (0..ways).filter(|way| matches!(verdicts[*way], Verdict::Slow(s) if s <= limit)).collect();
    let mut seconds = vec![Vec::new(); ways];
    for _ in 0..ROUNDS {
        for way in &hopeful {
            seconds[*way].push(arena.seconds(*way)?);
        }
    }
    for way in hopeful {
        seconds[way].sort_by(f64::total_cmp);
        verdicts[way] = Verdict::Right(seconds[way][ROUNDS / 2]);
    }
    Ok(verdicts)
}

/// The largest difference, relative to the largest expected number; infinite where a number is none.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |scale, e| scale.max(f64::from(e.abs())));
    let difference = |(f, e): (&f32, &f32)| {
        let difference = (f64::from(*f) - f64::from(*e)).abs();
        if difference.is_nan() { f64::INFINITY } else { difference }
    };
    found.iter().zip(expected).map(difference).fold(0.0, f64::max) / scale
}

/// The way to take: the fastest right one if it is clearly faster than the default, else that.
pub(super) fn winner(verdicts: &[Verdict], default: Option<usize>) -> Option<usize> {
    let right = |way: &usize| if let Verdict::Right(s) = verdicts[*way] { Some(s) } else { None };
    let timed = (0..verdicts.len()).filter_map(|way| Some((way, right(&way)?)));
    let (fastest, least) = timed.min_by(|a, b| a.1.total_cmp(&b.1))?;
    match default.and_then(|way| Some((way, right(&way)?))) {
        Some((default, seconds)) if least > CLEARLY * seconds => Some(default),
        _ => Some(fastest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ways whose results and times are given beforehand, and that remember whether they were compared.
    struct Given {
        ways: Vec<(Vec<f32>, f64)>,
        compared: Vec<usize>,
    }

    impl Arena for Given {
        fn result(&mut self, way: usize) -> Result<Vec<f32>> {
            self.compared.push(way);
            Ok(self.ways[way].0.clone())
        }

        fn seconds(&mut self, way: usize) -> Result<f64> {
            assert!(self.compared.contains(&way), "way {way} was timed before its result was compared");
            Ok(self.ways[way].1)
        }
    }

    const EXPECTED: [f32; 3] = [1.0, -2.0, 0.0];

    fn contest(ways: &[(&[f32], f64)], default: Option<usize>) -> (Vec<Verdict>, Option<usize>) {
        let ways = ways.iter().map(|(result, seconds)| (result.to_vec(), *seconds)).collect();
        let mut arena = Given { ways, compared: Vec::new() };
        let count = arena.ways.len();
        let verdicts = hold(&mut arena, count, &EXPECTED, 1e-6).unwrap();
        let winner = winner(&verdicts, default);
        (verdicts, winner)
    }

    #[test]
    fn a_way_with_a_wrong_result_is_never_chosen() {
        let wrong: [&[f32]; 5] = [
            &[1.0, -2.0, 0.1],
            &[1.0, f32::NAN, 0.0],
            &[f32::NAN; 3],
            &[1.0, -2.0],
            &[f32::INFINITY, -2.0, 0.0],
        ];
        for wrong in wrong {
            let (verdicts, winner) = contest(&[(wrong, 1e-9), (&EXPECTED, 1.0)], Some(1));
            assert!(matches!(verdicts[0], Verdict::Wrong(_)), "{wrong:?}");
            assert_eq!((verdicts[1], winner), (Verdict::Right(1.0), Some(1)), "{wrong:?}");
            // Not even where it is the default, or all there is.
            assert_eq!(contest(&[(wrong, 1e-9), (&EXPECTED, 1.0)], Some(0)).1, Some(1));
            assert_eq!(contest(&[(wrong, 1e-9)], Some(0)).1, None);
        }
    }

    #[test]
    fn the_default_gives_way_only_to_what_is_clearly_faster() {
        let ways: [(&[f32], f64); 3] = [(&EXPECTED, 1.0), (&EXPECTED, 0.99), (&EXPECTED, 5.0)];
        let (verdicts, winner) = contest(&ways, Some(0));
        assert_eq!(verdicts, [Verdict::Right(1.0), Verdict::Right(0.99), Verdict::Slow(5.0)]);
        assert_eq!(winner, Some(0));
        assert_eq!(contest(&ways, None).1, Some(1));
        assert_eq!(contest(&[(&EXPECTED, 1.0), (&EXPECTED, 0.9)], Some(0)).1, Some(1));
    }

    #[test]
    fn a_rounding_is_no_difference() {
        assert!(difference(&[1.0, -2.0 - 2.4e-7, 1e-7], &EXPECTED) < 1e-6);
        assert_eq!(difference(&[], &[]), 0.0);
    }
}
