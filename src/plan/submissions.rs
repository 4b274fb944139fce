//! Division of a plan into submissions. An operating system resets a GPU that a submission keeps busy for about two seconds, so
//! none is predicted to exceed the target's limit; a launch that does is dispatched in ranges of its workgroups.

use super::{Exchange, Family, Group, Launch, Plan, Target};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// Workgroups of a launch that are dispatched at once. Workgroups are independent, so a launch gives the same bits in any number of
/// dispatches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Index into [`Plan::launches`](super::Plan::launches).
    pub launch: usize,
    /// Index of the first workgroup.
    pub first_workgroup: u32,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
    /// Predicted time on a slow device, in seconds.
    pub seconds: f64,
}

/// Dispatches that are submitted together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Indices into [`Plan::dispatches`](super::Plan::dispatches).
    pub dispatches: Range<usize>,
    /// Predicted time on a slow device, in seconds.
    pub seconds: f64,
}

/// A submission in a [`Report`](super::Report).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct SubmissionReport {
    /// Predicted time on a slow device, in milliseconds.
    pub ms: f64,
    /// Number of its dispatches.
    pub dispatches: usize,
    /// The layer of the launch that takes most of the time; empty outside any layer.
    pub scope: String,
    /// The phase of that launch.
    pub phase: &'static str,
    /// Its kernel.
    pub kernel: &'static str,
    /// Number of dispatches into which it is split; 1 if it is not.
    pub parts: usize,
}

/// Groups are added to a submission until it has this many dispatches. The device runs them while the host records the next
/// ones; `docs/measurements.md` has the figures.
const MIN_DISPATCHES: usize = 32;

/// Divides the launches of a plan, in order. Exchanges start and end between submissions.
pub(crate) fn divide(
    launches: &[Launch],
    groups: &[Group],
    exchanges: &[Exchange],
    target: &Target,
) -> (Vec<Dispatch>, Vec<Submission>) {
    let limit = target.submission_ms.map_or(f64::INFINITY, |ms| ms / 1000.0);
    let (mut dispatches, mut submissions) = (Vec::new(), Vec::<Submission>::new());
    for group in groups {
        let mut full = submissions.last().is_none_or(|s| s.dispatches.len() >= MIN_DISPATCHES);
        for index in group.launches.clone() {
            let launch = &launches[index];
            full |= exchanges.iter().any(|exchange| exchange.start == index || exchange.end == index);
            let time = Time::of(launch, target.family);
            for (first_workgroup, workgroups) in ranges(launch.workgroups, time.workgroups_within(limit)) {
                let (start, seconds) = (dispatches.len(), time.seconds(workgroups));
                dispatches.push(Dispatch { launch: index, first_workgroup, workgroups, seconds });
                match submissions.last_mut() {
                    Some(last) if !full && last.seconds + seconds <= limit => {
                        last.dispatches.end = start + 1;
                        last.seconds += seconds;
                    }
                    _ => submissions.push(Submission { dispatches: start..start + 1, seconds }),
                }
                full = false;
            }
        }
    }
    (dispatches, submissions)
}

/// Ranges of at most `most` workgroups, each with its first: whole rows of a folded launch, or parts of a row if that is too long.
/// Both have exactly their number of workgroups without folding, so that no two ranges overlap.
fn ranges([x, y, _]: [u32; 3], most: u32) -> Vec<(u32, [u32; 3])> {
    let columns = x.min(most);
    let rows = most / x;
    let part = |row: u32, column: u32| {
        let size = [columns.min(x - column), rows.clamp(1, y - row), 1];
        (row * x + column, size)
    };
    let columns_of = |row| (0..x).step_by(columns as usize).map(move |column| part(row, column));
    (0..y).step_by(rows.max(1) as usize).flat_map(columns_of).collect()
}

/// The predicted time of a launch.
struct Time {
    seconds_per_workgroup: f64,
}

impl Time {
    fn of(launch: &Launch, family: Family) -> Self {
        let rates = Rates::of(family);
        let flops = if launch.kernel.multiplies_tiles() { rates.tiled_flops } else { rates.flops };
        let seconds = (launch.flops as f64 / flops).max(launch.bytes as f64 / rates.bytes);
        Self { seconds_per_workgroup: seconds / count(launch.workgroups) as f64 }
    }

    fn seconds(&self, workgroups: [u32; 3]) -> f64 {
        OVERHEAD + self.seconds_per_workgroup * count(workgroups) as f64
    }

    /// The most workgroups of one dispatch, at least one.
    fn workgroups_within(&self, limit: f64) -> u32 {
        // Launches may have no cost, and there may be no limit; the conversion saturates.
        (((limit - OVERHEAD) / self.seconds_per_workgroup) as u32).max(1)
    }
}

fn count(workgroups: [u32; 3]) -> u64 {
    workgroups.iter().map(|n| u64::from(*n)).product()
}

/// Seconds per dispatch.
const OVERHEAD: f64 = 1e-5;

/// What a slow device of a family reaches, per second.
struct Rates {
    /// Floating-point operations of kernels that multiply tiles in workgroup memory.
    tiled_flops: f64,
    /// Those of all other kernels.
    flops: f64,
    /// Bytes read and written.
    bytes: f64,
}

impl Rates {
    fn of(family: Family) -> Self {
        match family {
            // An integrated GPU of 2015 has about 400 GFLOP/s and 25 GB/s (Intel HD 520). On an H200, matrix products and large
            // convolutions reach 43 to 61 % of the arithmetic peak, and the slowest tiled kernel 11 % (`docs/measurements.md`).
            // No figures exist for direct convolutions, which are only used on request. The time to a reset is four times the
            // default limit, which covers a device of a quarter of these rates.
            Family::Gpu => Self { tiled_flops: 100e9, flops: 25e9, bytes: 10e9 },
            // Two cores with lavapipe reach 3 GFLOP/s with tiles in workgroup memory, and copy at 7.5 GB/s.
            Family::Software | Family::Cpu => Self { tiled_flops: 2e9, flops: 2e9, bytes: 2e9 },
        }
    }
}

impl SubmissionReport {
    pub(super) fn new(plan: &Plan, submission: &Submission) -> Self {
        let dispatches = plan.dispatches[submission.dispatches.clone()].iter();
        let longest = dispatches.max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let launch = longest.expect("a submission has at least one dispatch").launch;
        let group = plan.groups.iter().find(|group| group.launches.contains(&launch));
        let group = group.expect("every launch is in a group");
        Self {
            ms: 1000.0 * submission.seconds,
            dispatches: submission.dispatches.len(),
            scope: group.scope.to_string(),
            phase: group.phase.name(),
            kernel: plan.launches[launch].kernel.name,
            parts: plan.dispatches_of(&(launch..launch + 1)).len(),
        }
    }
}

impl fmt::Display for SubmissionReport {
    /// `48.1 ms on a slow device, mostly layer2.0.conv2 backward, in 3 parts`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ms, scope, phase, parts, .. } = self;
        let scope = if scope.is_empty() { "model" } else { scope };
        write!(f, "{ms:.1} ms on a slow device, mostly {scope} {phase}")?;
        match parts {
            1 => Ok(()),
            parts => write!(f, ", in {parts} parts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{count, ranges};

    #[test]
    fn ranges_are_rows_or_parts_of_a_row() {
        assert_eq!(ranges([5, 1, 1], u32::MAX), [(0, [5, 1, 1])]);
        assert_eq!(ranges([5, 1, 1], 2), [(0, [2, 1, 1]), (2, [2, 1, 1]), (4, [1, 1, 1])]);
        assert_eq!(ranges([5, 3, 1], 14), [(0, [5, 2, 1]), (10, [5, 1, 1])]);
        assert_eq!(ranges([5, 2, 1], 4), [(0, [4, 1, 1]), (4, [1, 1, 1]), (5, [4, 1, 1]), (9, [1, 1, 1])]);
    }

    #[test]
    fn ranges_cover_every_workgroup_once() {
        for (x, y, most) in
            [(1, 1, 1), (7, 5, 1), (7, 5, 3), (7, 5, 20), (65_535, 40, 100_000), (65_535, 65_535, 1 << 31)]
        {
            let mut next = 0;
            for (first, workgroups) in ranges([x, y, 1], most) {
                assert_eq!(u64::from(first), next, "{x} x {y} by {most}");
                assert!(count(workgroups) <= u64::from(most), "{x} x {y} by {most}: {workgroups:?}");
                next += count(workgroups);
            }
            assert_eq!(next, count([x, y, 1]), "{x} x {y} by {most}");
        }
    }
}
