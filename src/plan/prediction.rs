//! The time of a step on a device that reaches its peaks.

use super::report::{GroupReport, LaunchReport, Report, aligned, format_count, scaled};
use std::fmt;

/// What a device reaches at most, by its data sheet or by measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Peaks {
    /// 32-bit floating-point operations, in 10^12 per second; a multiply-add counts as two.
    pub tflops: f64,
    /// Bytes read from and written to memory, in 10^9 per second.
    pub gbs: f64,
    /// Microseconds that a launch takes in addition to its work; 0 if unknown.
    pub launch_us: f64,
}

/// The time that a step takes at least on a device with given [`Peaks`].
///
/// Launches run one after another, and each takes `launch_us` plus the longer of two times: its operations at the arithmetic
/// peak, and its bytes at the memory peak, since a device computes while it loads. Kernels reach a part of the peaks, so a step
/// takes longer than predicted; only launches whose operands are still in a cache can be faster.
///
/// `{}` prints a table with one row per layer and phase. The feature `cli` makes it serializable.
///
/// ```
/// use striate::plan::{Family, Peaks, Plan, Prediction, Report, Target};
/// use striate::train::evaluation_graph;
///
/// let model = striate::models::by_name("resnet8", 3, 10)?;
/// let plan = Plan::new(&evaluation_graph(&*model, [64, 3, 32, 32])?, &Target::baseline(Family::Gpu))?;
/// let peaks = Peaks { tflops: 13.0, gbs: 360.0, launch_us: 4.0 };
/// let prediction = Prediction::new(&Report::new(&plan), peaks, 64);
/// assert!(prediction.total.ms >= prediction.total.memory_ms);
/// println!("{prediction}");
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Prediction {
    /// The peaks of the device.
    #[cfg_attr(feature = "cli", serde(flatten))]
    pub peaks: Peaks,
    /// Layers and phases in execution order, those of [`Report::groups`].
    pub groups: Vec<GroupPrediction>,
    /// All launches of the step.
    pub total: PredictedTime,
    /// Images per second, at most.
    pub images_per_s: f64,
}

/// The time of one layer in one phase.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct GroupPrediction {
    /// The layer, `layer1.0.conv1`; empty outside any layer.
    pub scope: String,
    /// `forward`, `recompute`, `backward` or `update`.
    pub phase: &'static str,
    /// The time of its launches.
    #[cfg_attr(feature = "cli", serde(flatten))]
    pub time: PredictedTime,
}

/// The time of launches that run one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct PredictedTime {
    /// Number of launches.
    pub launches: usize,
    /// Milliseconds of their operations at the arithmetic peak.
    pub arithmetic_ms: f64,
    /// Milliseconds of their bytes at the memory peak.
    pub memory_ms: f64,
    /// Milliseconds that launching takes.
    pub launches_ms: f64,
    /// Milliseconds in total: for each launch, `launch_us` and the longer of its arithmetic and memory times.
    pub ms: f64,
    /// The longest of the three: `arithmetic`, `memory` or `launches`.
    pub bound_by: &'static str,
}

impl Prediction {
    /// Predicts the time of a step with `images` images.
    pub fn new(report: &Report, peaks: Peaks, images: usize) -> Self {
        let group = |group: &GroupReport| GroupPrediction {
            scope: group.scope.clone(),
            phase: group.phase,
            time: PredictedTime::new(&group.launches, peaks),
        };
        let total = PredictedTime::new(report.groups.iter().flat_map(|group| &group.launches), peaks);
        Self {
            peaks,
            groups: report.groups.iter().map(group).collect(),
            total,
            images_per_s: 1e3 * images as f64 / total.ms,
        }
    }
}

impl PredictedTime {
    fn new<'a>(launches: impl IntoIterator<Item = &'a LaunchReport>, peaks: Peaks) -> Self {
        let mut time = Self::default();
        for launch in launches {
            let arithmetic = launch.flops as f64 / (1e9 * peaks.tflops);
            let memory = launch.bytes as f64 / (1e6 * peaks.gbs);
            let launching = 1e-3 * peaks.launch_us;
            time.launches += 1;
            time.arithmetic_ms += arithmetic;
            time.memory_ms += memory;
            time.launches_ms += launching;
            time.ms += launching + arithmetic.max(memory);
        }
        time.bound_by = if time.launches_ms > time.arithmetic_ms.max(time.memory_ms) {
            "launches"
        } else if time.arithmetic_ms > time.memory_ms {
            "arithmetic"
        } else {
            "memory"
        };
        time
    }

    /// The row of a table.
    fn cells(&self, layer: &str, phase: &str) -> [String; 7] {
        let Self { arithmetic_ms, memory_ms, launches_ms, ms, bound_by, .. } = *self;
        let [arithmetic, memory, launches, total] =
            [arithmetic_ms, memory_ms, launches_ms, ms].map(format_time);
        [layer.into(), phase.into(), bound_by.into(), arithmetic, memory, launches, total]
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![
            ["layer", "phase", "bound by", "arithmetic", "memory", "launches", "time"].map(str::to_owned),
        ];
        rows.extend(self.groups.iter().map(|group| {
            let layer = if group.scope.is_empty() { "model" } else { &group.scope };
            group.time.cells(layer, group.phase)
        }));
        rows.push(self.total.cells("total", ""));
        for line in aligned(&rows, 3) {
            writeln!(f, "{line}")?;
        }
        let PredictedTime { launches, ms, .. } = self.total;
        let images = format_count(self.images_per_s as u64);
        writeln!(f, "\nstep       at least {}, at most {images} images/s", format_time(ms))?;
        match self.peaks.launch_us {
            0.0 => writeln!(f, "launches   {launches}, counted as free; launch-us=N counts N us for each"),
            us => writeln!(f, "launches   {launches}, {us} us each"),
        }
    }
}

/// Milliseconds with three digits and a unit: `1.23 us`, `45.6 ms`.
fn format_time(ms: f64) -> String {
    scaled((1e6 * ms).round() as u64, 1000.0, ["ns", "us", "ms", "s", "ks"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{MemoryReport, Totals};

    const PEAKS: Peaks = Peaks { tflops: 2.0, gbs: 100.0, launch_us: 5.0 };

    fn group(scope: &str, work: &[(u64, u64)]) -> GroupReport {
        let launch =
            |&(flops, bytes): &(u64, u64)| LaunchReport { kernel: "copy", workgroups: [1; 3], bytes, flops };
        GroupReport {
            scope: scope.to_owned(),
            phase: "forward",
            shape: vec![],
            bytes: 0,
            min_bytes: 0,
            flops: 0,
            fused: vec![],
            launches: work.iter().map(launch).collect(),
        }
    }

    fn report(groups: Vec<GroupReport>) -> Report {
        let memory =
            MemoryReport { persistent: 0, inputs: 0, transient: 0, slots: vec![], peak: 0, unshared_peak: 0 };
        let totals = Totals {
            groups: 0,
            launches: 0,
            submissions: 0,
            bytes: 0,
            min_bytes: 0,
            flops: 0,
            parameters: 0,
        };
        Report { groups, totals, longest_submission: None, fused: Default::default(), memory }
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12 * expected
    }

    /// 2 * 10^9 operations take 1 ms, and 10^8 bytes.
    #[test]
    fn each_launch_takes_the_longer_of_its_times_and_what_launching_takes() {
        let groups = vec![
            group("conv1", &[(4_000_000_000, 100_000_000), (0, 300_000_000)]),
            group("", &[(2_000, 100), (2_000, 100)]),
        ];
        let Prediction { groups, total, images_per_s, .. } = Prediction::new(&report(groups), PEAKS, 32);
        let conv = groups[0].time;
        assert_eq!((conv.launches, conv.bound_by), (2, "memory"));
        let times = [conv.arithmetic_ms, conv.memory_ms, conv.launches_ms, conv.ms];
        assert!(
            times.into_iter().zip([2.0, 4.0, 0.01, 0.01 + 2.0 + 3.0]).all(|(a, b)| close(a, b)),
            "{times:?}"
        );
        assert_eq!(groups[1].time.bound_by, "launches");
        assert_eq!(total.launches, 4);
        assert!(close(total.ms, conv.ms + groups[1].time.ms) && close(images_per_s, 32_000.0 / total.ms));
    }

    #[test]
    fn the_longest_of_the_three_times_bounds_a_layer() {
        let bound = |flops, bytes| {
            let report = report(vec![group("conv1", &[(flops, bytes)])]);
            Prediction::new(&report, PEAKS, 1).total.bound_by
        };
        assert_eq!(bound(20_000_000, 100_000), "arithmetic");
        assert_eq!(bound(20_000_000, 2_000_000), "memory");
        assert_eq!(bound(1_000_000, 100_000), "launches");
    }

    #[test]
    fn the_table_names_units_and_says_what_is_not_counted() {
        let report = report(vec![group("", &[(4_000_000_000, 1_000)])]);
        let text = Prediction::new(&report, PEAKS, 10).to_string();
        let total = "total           arithmetic     2.00 ms   10 ns   5.00 us  2.00 ms\n";
        assert!(text.contains(total), "{text}");
        assert!(
            text.ends_with("at least 2.00 ms, at most 4.99 k images/s\nlaunches   1, 5 us each\n"),
            "{text}"
        );
        let free = Prediction::new(&report, Peaks { launch_us: 0.0, ..PEAKS }, 10).to_string();
        assert!(free.contains("1, counted as free; launch-us=N"), "{free}");
    }
}
