//! Compares candidates for the same computation: checks the result of each, then times the right ones in turn.

use crate::Result;

/// Runs candidates, which are identified by their indices.
pub(super) trait Benchmark {
    /// Runs a candidate and returns its result.
    fn result(&mut self, candidate: usize) -> Result<Vec<f32>>;

    /// Runs a candidate and returns its time in seconds.
    fn seconds(&mut self, candidate: usize) -> Result<f64>;
}

/// The outcome for one candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The result is right. Seconds, the median of several rounds.
    Right(f64),
    /// The result is right, but the first run was too slow to win. Seconds of that run.
    Slow(f64),
    /// The result is wrong: its largest error, relative to the largest element. Not timed.
    Wrong(f64),
}

/// Number of rounds. Candidates take turns, so that noise affects all of them alike.
const ROUNDS: usize = 7;
/// A candidate whose first run takes this many times as long as the fastest is not timed again.
const CUTOFF: f64 = 3.0;
/// To replace the default, a candidate has to take less than this fraction of its time: smaller gains may be noise.
const MIN_GAIN: f64 = 0.97;

/// Largest difference between two sums of the same terms, relative to the largest result. Each rounding error is up to 6e-8
/// of the running sum, and errors of either sign partly cancel.
pub(super) fn tolerance(terms: f64) -> f64 {
    6e-6 + 6e-7 * terms.sqrt()
}

/// Checks the result of every candidate and times those that are right.
pub(super) fn compare(
    benchmark: &mut dyn Benchmark,
    candidates: usize,
    expected: &[f32],
    tolerance: f64,
) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for candidate in 0..candidates {
        let error = relative_error(&benchmark.result(candidate)?, expected);
        verdicts.push(match error <= tolerance {
            true => Verdict::Slow(benchmark.seconds(candidate)?),
            false => Verdict::Wrong(error),
        });
    }
    let first = |verdict: &Verdict| if let Verdict::Slow(s) = verdict { *s } else { f64::INFINITY };
    let limit = CUTOFF * verdicts.iter().map(first).fold(f64::INFINITY, f64::min);
    let promising: Vec<usize> =
        (0..candidates).filter(|i| matches!(verdicts[*i], Verdict::Slow(s) if s <= limit)).collect();
    let mut seconds = vec![Vec::new(); candidates];
    for _ in 0..ROUNDS {
        for candidate in &promising {
            seconds[*candidate].push(benchmark.seconds(*candidate)?);
        }
    }
    for candidate in promising {
        seconds[candidate].sort_by(f64::total_cmp);
        verdicts[candidate] = Verdict::Right(seconds[candidate][ROUNDS / 2]);
    }
    Ok(verdicts)
}

/// The largest error, relative to the largest expected element; infinite if an element is NaN or the lengths differ.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |scale, e| scale.max(f64::from(e.abs())));
    let error = |(f, e): (&f32, &f32)| {
        let error = (f64::from(*f) - f64::from(*e)).abs();
        if error.is_nan() { f64::INFINITY } else { error }
    };
    found.iter().zip(expected).map(error).fold(0.0, f64::max) / scale
}

/// The candidate to use: the fastest right one if it clearly beats the default, else the default.
pub(super) fn winner(verdicts: &[Verdict], default: Option<usize>) -> Option<usize> {
    let right = |i: &usize| if let Verdict::Right(s) = verdicts[*i] { Some(s) } else { None };
    let timed = (0..verdicts.len()).filter_map(|i| Some((i, right(&i)?)));
    let (fastest, minimum) = timed.min_by(|a, b| a.1.total_cmp(&b.1))?;
    match default.and_then(|i| Some((i, right(&i)?))) {
        Some((default, seconds)) if minimum > MIN_GAIN * seconds => Some(default),
        _ => Some(fastest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Candidates with given results and times. Asserts that none is timed before its result is checked.
    struct Given {
        candidates: Vec<(Vec<f32>, f64)>,
        checked: Vec<usize>,
    }

    impl Benchmark for Given {
        fn result(&mut self, candidate: usize) -> Result<Vec<f32>> {
            self.checked.push(candidate);
            Ok(self.candidates[candidate].0.clone())
        }

        fn seconds(&mut self, candidate: usize) -> Result<f64> {
            assert!(self.checked.contains(&candidate), "{candidate} was timed before its result was checked");
            Ok(self.candidates[candidate].1)
        }
    }

    const EXPECTED: [f32; 3] = [1.0, -2.0, 0.0];

    fn outcome(candidates: &[(&[f32], f64)], default: Option<usize>) -> (Vec<Verdict>, Option<usize>) {
        let candidates: Vec<_> =
            candidates.iter().map(|(result, seconds)| (result.to_vec(), *seconds)).collect();
        let count = candidates.len();
        let mut given = Given { candidates, checked: Vec::new() };
        let verdicts = compare(&mut given, count, &EXPECTED, 1e-6).unwrap();
        let winner = winner(&verdicts, default);
        (verdicts, winner)
    }

    #[test]
    fn a_wrong_result_never_wins() {
        let wrong: [&[f32]; 5] = [
            &[1.0, -2.0, 0.1],
            &[1.0, f32::NAN, 0.0],
            &[f32::NAN; 3],
            &[1.0, -2.0],
            &[f32::INFINITY, -2.0, 0.0],
        ];
        for wrong in wrong {
            let (verdicts, winner) = outcome(&[(wrong, 1e-9), (&EXPECTED, 1.0)], Some(1));
            assert!(matches!(verdicts[0], Verdict::Wrong(_)), "{wrong:?}");
            assert_eq!((verdicts[1], winner), (Verdict::Right(1.0), Some(1)), "{wrong:?}");
            // It does not win as the default or as the only candidate either.
            assert_eq!(outcome(&[(wrong, 1e-9), (&EXPECTED, 1.0)], Some(0)).1, Some(1));
            assert_eq!(outcome(&[(wrong, 1e-9)], Some(0)).1, None);
        }
    }

    #[test]
    fn only_a_clear_gain_replaces_the_default() {
        let candidates: [(&[f32], f64); 3] = [(&EXPECTED, 1.0), (&EXPECTED, 0.99), (&EXPECTED, 5.0)];
        let (verdicts, winner) = outcome(&candidates, Some(0));
        assert_eq!(verdicts, [Verdict::Right(1.0), Verdict::Right(0.99), Verdict::Slow(5.0)]);
        assert_eq!(winner, Some(0));
        assert_eq!(outcome(&candidates, None).1, Some(1));
        assert_eq!(outcome(&[(&EXPECTED, 1.0), (&EXPECTED, 0.9)], Some(0)).1, Some(1));
    }

    #[test]
    fn rounding_errors_are_tolerated() {
        assert!(relative_error(&[1.0, -2.0 - 2.4e-7, 1e-7], &EXPECTED) < 1e-6);
        assert_eq!(relative_error(&[], &[]), 0.0);
    }
}
