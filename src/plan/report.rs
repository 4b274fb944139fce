//! Report of a plan: the kernels and cost of each layer, and the memory of a step.

use super::{Group, Plan, SubmissionReport};
use crate::graph::PersistentKind;
use std::collections::BTreeMap;
use std::fmt;

/// The launches, costs and memory of a [`Plan`], computed without a device.
///
/// `{}` prints a table with one row per layer and phase; `{:#}` prints every launch on its own line. The feature `cli` makes
/// it serializable.
///
/// ```
/// use striate::plan::{Family, Plan, Report, Target};
/// use striate::train::evaluation_graph;
///
/// let model = striate::models::by_name("resnet8", 3, 10)?;
/// let plan = Plan::new(&evaluation_graph(&*model, [1, 3, 32, 32])?, &Target::baseline(Family::Gpu))?;
/// let report = Report::new(&plan);
/// assert_eq!(report.memory.peak, plan.peak_bytes());
/// println!("{report}");
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Report {
    /// Layers and phases in execution order.
    pub groups: Vec<GroupReport>,
    /// Totals of all groups.
    pub totals: Totals,
    /// The submission that is predicted to take longest; `None` if there are no launches.
    pub longest_submission: Option<SubmissionReport>,
    /// How often each operation was fused into another ([`Group::fused`]).
    pub fused: BTreeMap<String, usize>,
    /// Device memory of the step.
    pub memory: MemoryReport,
}

/// One layer in one phase.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct GroupReport {
    /// The layer, `layer1.0.conv1`; empty outside any layer.
    pub scope: String,
    /// `forward`, `recompute`, `backward` or `update`.
    pub phase: &'static str,
    /// Shape of the last result.
    pub shape: Vec<usize>,
    /// Bytes that its launches must read and write at least once.
    pub bytes: u64,
    /// Traffic if intermediate values never went to memory ([`Group::min_bytes`]).
    #[cfg_attr(feature = "cli", serde(rename = "least"))]
    pub min_bytes: u64,
    /// Floating-point operations, a multiply-add counted as two.
    pub flops: u64,
    /// Operations that were fused into its launches ([`Group::fused`]).
    pub fused: Vec<String>,
    /// Its launches in order.
    pub launches: Vec<LaunchReport>,
}

/// One computation by one kernel.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct LaunchReport {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
    /// Bytes that it must read and write at least once.
    pub bytes: u64,
    /// Floating-point operations, a multiply-add counted as two.
    pub flops: u64,
}

/// Totals of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Totals {
    /// Number of layers and phases.
    pub groups: usize,
    /// Number of launches.
    pub launches: usize,
    /// Number of submissions.
    pub submissions: usize,
    /// Bytes that the launches must read and write at least once.
    pub bytes: u64,
    /// Traffic if intermediate values within groups never went to memory.
    #[cfg_attr(feature = "cli", serde(rename = "least"))]
    pub min_bytes: u64,
    /// Floating-point operations, a multiply-add counted as two.
    pub flops: u64,
    /// Number of learned values.
    pub parameters: u64,
}

/// Device memory of a plan, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct MemoryReport {
    /// Weights, running statistics and optimizer state.
    pub persistent: u64,
    /// Inputs of a step.
    pub inputs: u64,
    /// The pooled buffers that activations, gradients and scratch memory share, largest first.
    pub slots: Vec<u64>,
    /// All pooled buffers together.
    pub transient: u64,
    /// Persistent, inputs and transient: allocated before the first step, and nothing after it.
    pub peak: u64,
    /// The peak if no transient values shared memory.
    pub unshared_peak: u64,
}

impl Report {
    /// Describes a plan.
    pub fn new(plan: &Plan) -> Self {
        let groups: Vec<GroupReport> = plan.groups.iter().map(|g| GroupReport::new(plan, g)).collect();
        let learned = plan.persistent.iter().filter(|p| p.persistence.kind == PersistentKind::Parameter);
        let totals = Totals {
            groups: groups.len(),
            launches: plan.launches.len(),
            submissions: plan.submissions.len(),
            bytes: groups.iter().map(|g| g.bytes).sum(),
            min_bytes: groups.iter().map(|g| g.min_bytes).sum(),
            flops: plan.flops(),
            parameters: learned.map(|p| p.value.ty.len() as u64).sum(),
        };
        let (persistent, inputs) = (plan.persistent_bytes(), plan.input_bytes());
        let memory = MemoryReport {
            persistent,
            inputs,
            transient: plan.slots.iter().sum(),
            slots: plan.slots.clone(),
            peak: plan.peak_bytes(),
            unshared_peak: persistent + inputs + plan.unshared_bytes(),
        };
        let mut fused = BTreeMap::new();
        for operation in groups.iter().flat_map(|g| &g.fused) {
            *fused.entry(operation.clone()).or_insert(0) += 1;
        }
        let longest = plan.submissions.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let longest_submission = longest.map(|submission| SubmissionReport::new(plan, submission));
        Self { groups, totals, longest_submission, fused, memory }
    }

    /// Traffic relative to the minimum, the operations that were fused, and the longest submission.
    fn notes(&self) -> String {
        let times = self.totals.bytes as f64 / self.totals.min_bytes.max(1) as f64;
        let mut text = format!(
            "traffic    {times:.2}x the minimum, in which each layer reads its inputs once and writes its outputs once\n"
        );
        if !self.fused.is_empty() {
            let counts: Vec<String> = self.fused.iter().map(|(name, n)| format!("{n} {name}")).collect();
            text += &format!("fused      {} into other operations\n", counts.join(", "));
        }
        if let Some(longest) = &self.longest_submission {
            text += &format!("longest    of {} submissions, predicted: {longest}\n", self.totals.submissions);
        }
        text + "\n"
    }
}

impl GroupReport {
    fn new(plan: &Plan, group: &Group) -> Self {
        let launches: Vec<LaunchReport> = plan.launches[group.launches.clone()]
            .iter()
            .map(|l| LaunchReport {
                kernel: l.kernel.name,
                workgroups: l.workgroups,
                bytes: l.bytes,
                flops: l.flops,
            })
            .collect();
        Self {
            scope: group.scope.to_string(),
            phase: group.phase.name(),
            shape: group.shape.clone(),
            bytes: launches.iter().map(|l| l.bytes).sum(),
            min_bytes: group.min_bytes,
            flops: launches.iter().map(|l| l.flops).sum(),
            fused: group.fused.clone(),
            launches,
        }
    }

    /// All columns except the last.
    fn cells(&self) -> [String; COLUMNS] {
        let scope = if self.scope.is_empty() { "model" } else { &self.scope };
        let [moved, minimum] = [self.bytes, self.min_bytes].map(format_bytes);
        [scope.into(), self.phase.into(), format_shape(&self.shape), moved, minimum, format_count(self.flops)]
    }

    /// `+add +relu`: operations that were fused into its launches.
    fn fused_suffix(&self) -> Option<String> {
        let names: Vec<String> = self.fused.iter().map(|operation| format!("+{operation}")).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }

    /// One line per launch.
    fn launch_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.launches.iter().map(LaunchReport::to_string).collect();
        if let (Some(last), Some(fused_suffix)) = (lines.last_mut(), self.fused_suffix()) {
            *last += &format!(" {fused_suffix}");
        }
        lines
    }

    /// Its kernels with their workgroups, each kernel once, wrapped to `width`.
    fn kernel_lines(&self, width: usize) -> Vec<String> {
        let mut sums: Vec<(&str, u64, usize)> = Vec::new();
        for launch in &self.launches {
            let workgroups = launch.workgroups.iter().map(|n| *n as u64).product::<u64>();
            match sums.iter_mut().find(|(kernel, ..)| *kernel == launch.kernel) {
                Some((_, sum, times)) => (*sum, *times) = (*sum + workgroups, *times + 1),
                None => sums.push((launch.kernel, workgroups, 1)),
            }
        }
        let mut parts: Vec<String> = Vec::new();
        for (i, (kernel, workgroups, times)) in sums.iter().enumerate() {
            let times = if *times > 1 { format!(" in {times}") } else { String::new() };
            let comma = if i + 1 < sums.len() { "," } else { "" };
            parts.push(format!("{kernel} {workgroups}{times}{comma}"));
        }
        parts.extend(self.fused_suffix());
        let mut lines = vec![String::new()];
        for part in parts {
            match lines.last_mut() {
                Some(line) if line.is_empty() => *line = part,
                Some(line) if line.len() + 1 + part.len() <= width => *line += &format!(" {part}"),
                _ => lines.push(part),
            }
        }
        lines
    }
}

/// Number of columns except the last.
const COLUMNS: usize = 6;

/// Maximum line length, unless a single kernel name is longer.
const WIDTH: usize = 110;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { launches, parameters, bytes: moved, min_bytes: minimum, flops, .. } = self.totals;
        let mut rows = vec![["layer", "phase", "output", "bytes", "minimum", "FLOPs"].map(str::to_owned)];
        rows.extend(self.groups.iter().map(GroupReport::cells));
        let (moved, minimum, flops) = (format_bytes(moved), format_bytes(minimum), format_count(flops));
        rows.push(["total".into(), String::new(), String::new(), moved, minimum, flops]);
        let lines = aligned(&rows, 3);
        let indent = lines[0].len() + 2;
        let mut last_column = vec![vec!["kernels with workgroups".to_owned()]];
        last_column.extend(self.groups.iter().map(|g| match f.alternate() {
            true => g.launch_lines(),
            false => g.kernel_lines(WIDTH.saturating_sub(indent)),
        }));
        last_column.push(vec![format!("{launches} launches, {parameters} parameters")]);
        for (line, last) in lines.iter().zip(&last_column) {
            writeln!(f, "{line}  {}", last.join(&format!("\n{:indent$}", "")))?;
        }
        writeln!(f, "\n{}{}", self.notes(), self.memory)
    }
}

impl fmt::Display for LaunchReport {
    /// `matmul_tiled 36x2`: the kernel and its workgroups, without trailing dimensions of 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dimensions = self.workgroups.iter().rposition(|n| *n > 1).map_or(1, |last| last + 1);
        write!(f, "{} {}", self.kernel, format_shape(&self.workgroups[..dimensions]))
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |what: &str, size: u64, note: &str| format!("{what:11}{:>10}  {note}", format_bytes(size));
        let buffers = format!("activations, gradients and scratch in {} shared buffers", self.slots.len());
        let unshared = format!("total; {} without sharing", format_bytes(self.unshared_peak));
        let lines = [
            "memory".to_owned(),
            line("persistent", self.persistent, "weights, running statistics, any optimizer state"),
            line("inputs", self.inputs, "uploaded each step"),
            line("transient", self.transient, &buffers),
            line("peak", self.peak, &unshared),
        ];
        write!(f, "{}", lines.join("\n"))
    }
}

/// Pads cells to the width of their column. The first `text_columns` are left-aligned, the others right-aligned.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]], text_columns: usize) -> Vec<String> {
    let width = |i: usize| rows.iter().map(|row| row[i].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let pad = |i: usize, cell: &str| {
        let width = widths[i];
        if i < text_columns { format!("{cell:width$}") } else { format!("{cell:>width$}") }
    };
    rows.iter().map(|row| std::array::from_fn::<_, N, _>(|i| pad(i, &row[i])).join("  ")).collect()
}

/// `64x16x32x32`.
pub(super) fn format_shape<T: ToString>(sizes: &[T]) -> String {
    sizes.iter().map(T::to_string).collect::<Vec<_>>().join("x")
}

/// Bytes with three digits and a binary unit: `512 B`, `4.19 MiB`.
pub fn format_bytes(n: u64) -> String {
    scaled(n, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB"])
}

/// A number with three digits and a decimal unit: `512`, `41.2 G`.
pub(super) fn format_count(n: u64) -> String {
    scaled(n, 1000.0, ["", "k", "M", "G", "T"])
}

/// A number with three digits and the unit that fits it; each unit is `step` times the one before.
pub(super) fn scaled(n: u64, step: f64, units: [&str; 5]) -> String {
    let (mut value, mut unit) = (n as f64, 0);
    // 999.5 would round to 1000.
    while value >= 999.5 && unit + 1 < units.len() {
        (value, unit) = (value / step, unit + 1);
    }
    let digits = match value {
        _ if unit == 0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", units[unit]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(format_bytes(0), "0 B");
        assert_eq!(format_bytes(512), "512 B");
        assert_eq!(format_bytes(1000), "0.98 KiB");
        assert_eq!(format_bytes(3 << 20), "3.00 MiB");
        assert_eq!(format_bytes(100 << 30), "100 GiB");
        assert_eq!([999, 1000, 41_234_000_000].map(format_count), ["999", "1.00 k", "41.2 G"]);
        assert_eq!(format_count(999_700), "1.00 M");
    }

    #[test]
    fn launches_of_one_kernel_are_summed_and_long_lists_wrapped() {
        let launch = |kernel, workgroups| LaunchReport { kernel, workgroups, bytes: 0, flops: 0 };
        let launches = vec![
            launch("im2col", [8, 2, 1]),
            launch("matmul", [4, 1, 1]),
            launch("im2col", [4, 1, 1]),
            launch("slice_sum", [1, 1, 1]),
        ];
        assert_eq!(launches[0].to_string(), "im2col 8x2");
        assert_eq!(launches[3].to_string(), "slice_sum 1");
        let group = GroupReport {
            scope: String::new(),
            phase: "forward",
            shape: vec![],
            bytes: 0,
            min_bytes: 0,
            flops: 0,
            fused: vec!["add".into(), "relu".into()],
            launches,
        };
        assert_eq!(group.kernel_lines(26), ["im2col 20 in 2, matmul 4,", "slice_sum 1 +add +relu"]);
    }
}
