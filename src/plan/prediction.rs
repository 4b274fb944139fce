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
    use crate::graph::Graph;
    use crate::op::Matmul;
    use crate::plan::{Family, Plan, Target};
    use crate::{Result, TensorType};

    /// 2 * 10^9 operations take 1 ms, and so do 10^8 bytes.
    const PEAKS: Peaks = Peaks { tflops: 2.0, gbs: 100.0, launch_us: 5.0 };

    fn time(work: &[(u64, u64)]) -> PredictedTime {
        let launch =
            |&(flops, bytes): &(u64, u64)| LaunchReport { kernel: "copy", workgroups: [1; 3], bytes, flops };
        let launches: Vec<LaunchReport> = work.iter().map(launch).collect();
        PredictedTime::new(&launches, PEAKS)
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12 * expected, "{found}, not {expected}");
    }

    #[test]
    fn each_launch_takes_the_longer_of_its_times_and_what_launching_takes() {
        let time = time(&[(4_000_000_000, 100_000_000), (0, 300_000_000)]);
        assert_eq!(time.launches, 2);
        assert_close(time.arithmetic_ms, 2.0);
        assert_close(time.memory_ms, 1.0 + 3.0);
        assert_close(time.launches_ms, 2.0 * 0.005);
        assert_close(time.ms, 2.0 + 3.0 + 2.0 * 0.005);
    }

    #[test]
    fn the_longest_of_the_three_times_bounds_a_layer() {
        assert_eq!(time(&[(20_000_000, 100_000)]).bound_by, "arithmetic");
        assert_eq!(time(&[(20_000_000, 2_000_000)]).bound_by, "memory");
        assert_eq!(time(&[(1_000_000, 100_000)]).bound_by, "launches");
    }

    /// A product of 256 x 256 matrices: 2 * 256^3 operations, and three matrices of 256 KiB.
    #[test]
    fn a_product_takes_its_operations_at_the_peak() -> Result<()> {
        let mut graph = Graph::new();
        let a = graph.input("a", TensorType::f32([256, 256]))?;
        let b = graph.input("b", TensorType::f32([256, 256]))?;
        let product = graph.apply(Matmul::default(), &[a, b])?[0];
        graph.output("product", product);
        let report = Report::new(&Plan::new(&graph, &Target::baseline(Family::Gpu))?);
        let prediction = Prediction::new(&report, PEAKS, 10);
        assert_eq!((prediction.groups.len(), prediction.total.launches), (1, 1));
        assert_eq!(prediction.groups[0].time, prediction.total);
        assert_close(prediction.total.arithmetic_ms, 2.0 * 256_f64.powi(3) / 2e9);
        assert_close(prediction.total.memory_ms, 3.0 * 262_144.0 / 1e8);
        assert_close(prediction.images_per_s, 10_000.0 / prediction.total.ms);

        let text = prediction.to_string();
        let total = "total           arithmetic     16.8 us  7.86 us   5.00 us  21.8 us\n";
        assert!(text.contains(total), "{text}");
        let end = "step       at least 21.8 us, at most 459 k images/s\nlaunches   1, 5 us each\n";
        assert!(text.ends_with(end), "{text}");
        let free = Prediction::new(&report, Peaks { launch_us: 0.0, ..PEAKS }, 10).to_string();
        assert!(
            free.ends_with("launches   1, counted as free; launch-us=N counts N us for each\n"),
            "{free}"
        );
        Ok(())
    }
}
