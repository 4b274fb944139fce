//! Plans: how a graph is computed, as launches, buffers and groups.
//!
//! A plan is plain data, built and printed without a device.

pub mod algorithm;
mod checkpoint_segments;
mod exchange;
mod file;
mod fuse;
mod horizontal_fusion;
mod layout;
mod limits;
mod lower;
mod memory;
mod moments_fusion;
mod node_lowering;
mod prediction;
mod range_fusion;
mod recompute;
mod report;
mod slice_sum_fusion;
mod submissions;
mod summary;
mod target;
mod traffic;

pub use algorithm::{Algorithm, Pass, ShapeClass, Tuned};
pub use exchange::Exchange;
pub use file::{PlanFile, VERSION};
pub(crate) use layout::Layout;
pub(crate) use node_lowering::NodeLowering;
pub use prediction::{GroupPrediction, Peaks, PredictedTime, Prediction};
pub use report::{GroupReport, LaunchReport, MemoryReport, Report, Totals, format_bytes};
pub(crate) use submissions::divide;
pub use submissions::{Dispatch, Submission, SubmissionReport};
pub use summary::{LayerSummary, Summary};
pub(crate) use target::ALIGNMENT_ELEMENTS;
pub use target::{Family, Target};

use crate::graph::{Graph, Persistence, Phase};
pub use crate::kernel::{Grid, StorageId};
use crate::kernel::{Kernel, Params};
use crate::op::Labels;
use crate::{Error, TensorType};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Where a storage is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// In its own buffer, which outlives the step.
    Persistent,
    /// In its own buffer, filled at the start of each step.
    Input,
    /// At the start of a pooled buffer ([`Plan::slots`]), shared with storages that are live at other times.
    Slot(usize),
    /// In a range of another storage: an operand that is contiguous with others, or the part of a large value that a launch binds.
    Within {
        /// The storage that contains it.
        whole: StorageId,
        /// Start of the range, in bytes.
        offset: u64,
    },
}

/// A region of device memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// Name shown to people.
    pub label: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Where it is allocated.
    pub placement: Placement,
}

impl Storage {
    /// Bytes to bind. Kernels may load and store vec4s, so the size is rounded up; the tail is never read.
    pub fn span(&self) -> u64 {
        span(self.bytes)
    }
}

/// See [`Plan::locate`].
fn locate(storages: &[Storage], storage: StorageId) -> (StorageId, u64) {
    let (mut root, mut start) = (storage, 0);
    while let Placement::Within { whole, offset } = storages[root.index()].placement {
        (root, start) = (whole, start + offset);
    }
    (root, start)
}

/// Removes launches, also from the groups.
fn remove_launches(launches: &mut Vec<Launch>, groups: &mut [Group], removed: &[bool]) {
    let kept_before = |at: usize| removed[..at].iter().filter(|removed| !**removed).count();
    for group in groups {
        group.launches = kept_before(group.launches.start)..kept_before(group.launches.end);
    }
    let mut removed = removed.iter();
    launches.retain(|_| !removed.next().expect("one flag per launch"));
}

/// Size of a buffer that holds `bytes`.
fn span(bytes: u64) -> u64 {
    bytes.next_multiple_of(16)
}

/// One computation by one kernel: a [`Dispatch`], or several if it takes long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Its parameter struct as 32-bit words.
    pub params: Vec<u32>,
    /// Read-only bindings.
    pub reads: Vec<StorageId>,
    /// Read-write bindings.
    pub writes: Vec<StorageId>,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
    /// Floating-point operations, a multiply-add counted as two.
    pub flops: u64,
    /// Bytes that the launch must read and write at least once.
    pub bytes: u64,
}

impl Launch {
    /// All bindings except the parameters, in order.
    pub fn storages(&self) -> impl Iterator<Item = StorageId> {
        self.reads.iter().chain(&self.writes).copied()
    }

    /// The parameters. `P` must be the parameter struct of the kernel.
    pub(crate) fn params<P: Params>(&self) -> &P {
        assert_eq!(P::LAYOUT.name, self.kernel.params.name, "the parameters of {}", self.kernel.name);
        bytemuck::from_bytes(bytemuck::cast_slice(&self.params))
    }

    /// The parameters, to change them.
    pub(crate) fn params_mut<P: Params>(&mut self) -> &mut P {
        assert_eq!(P::LAYOUT.name, self.kernel.params.name, "the parameters of {}", self.kernel.name);
        bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(&mut self.params))
    }

    /// Contents of the uniform buffer of a dispatch that starts at this workgroup.
    pub fn uniform(&self, first_workgroup: u32) -> Vec<u32> {
        let mut words = [&self.params[..], &[first_workgroup]].concat();
        words.resize(self.kernel.params.size / 4, 0);
        words
    }
}

/// The launches of one layer in one phase, recorded together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The layer, `layer1.0.conv1`.
    pub scope: String,
    /// Forward, recompute, backward or update.
    pub phase: Phase,
    /// Shape of the last node's first output.
    pub shape: Vec<usize>,
    /// Indices into [`Plan::launches`].
    pub launches: Range<usize>,
    /// Minimum traffic, if intermediate values never went to memory: one read of every value that comes from outside the group,
    /// and one write of every value that another group reads, that is an output of the step, or that replaces a state. At most
    /// the bytes of its launches, since some operations, such as slices, do not read all of their input.
    pub min_bytes: u64,
    /// Operations that were fused into others, such as `relu`; their inputs never reach memory.
    pub fused: Vec<String>,
}

impl Group {
    /// `layer1.0.conv1 forward`.
    pub fn label(&self) -> String {
        let scope = if self.scope.is_empty() { "model" } else { &self.scope };
        format!("{scope} {}", self.phase.name())
    }
}

/// A value that callers access by name: an input, an output or a persistent value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedValue {
    /// Its name.
    pub name: String,
    /// Shape and element type.
    pub ty: TensorType,
    /// Where it is stored.
    pub storage: StorageId,
    /// The valid class labels, if an operation reads the value as labels.
    pub labels: Option<Labels>,
}

impl NamedValue {
    /// Fails if an element is not a valid label.
    pub(crate) fn check_labels(&self, words: &[u32]) -> crate::Result<()> {
        let Some(labels) = self.labels else { return Ok(()) };
        let Some(at) = words.iter().position(|label| !labels.allow(*label)) else { return Ok(()) };
        Err(Error::argument(&self.name, labels.describe_invalid(words[at], at)))
    }
}

/// A value that is kept from step to step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersistentValue {
    /// Name, type and storage.
    pub value: NamedValue,
    /// Purpose and initial contents.
    pub persistence: Persistence,
}

/// Everything an executor needs to run a graph, decided ahead of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Device memory.
    pub storages: Vec<Storage>,
    /// Sizes of the pooled buffers in bytes, largest first.
    pub slots: Vec<u64>,
    /// Launches in order.
    pub launches: Vec<Launch>,
    /// Launches that are recorded together, in order.
    pub groups: Vec<Group>,
    /// The launches as a GPU runs them, in order.
    pub dispatches: Vec<Dispatch>,
    /// Dispatches that are submitted together, in order.
    pub submissions: Vec<Submission>,
    /// Sums over ranks, in the order in which they start.
    #[serde(skip)]
    pub exchanges: Vec<Exchange>,
    /// Filled at the start of each step.
    pub inputs: Vec<NamedValue>,
    /// Read back at the end of each step.
    pub outputs: Vec<NamedValue>,
    /// Kept from step to step.
    pub persistent: Vec<PersistentValue>,
}

impl Plan {
    /// Lowers a graph for a target. Fails before anything is allocated if the plan would exceed the target's limits, or if
    /// no operation can use an algorithm or kernel that the target requests.
    pub fn new(graph: &Graph, target: &Target) -> crate::Result<Self> {
        let mut graph = graph.without_dead_nodes();
        if target.fuse {
            graph = fuse::fuse(&graph);
        }
        if target.recompute {
            graph = recompute::recompute(&graph);
        }
        lower::lower(&graph, target)
    }

    /// Peak device memory of a step. Everything is allocated before the first step, so usage stays at this level.
    pub fn peak_bytes(&self) -> u64 {
        self.persistent_bytes() + self.input_bytes() + self.slots.iter().sum::<u64>()
    }

    /// Bytes of weights, running statistics and optimizer state.
    pub fn persistent_bytes(&self) -> u64 {
        self.storages.iter().filter(|s| s.placement == Placement::Persistent).map(Storage::span).sum()
    }

    /// The outermost storage that contains a storage, or itself, and its byte offset there.
    pub fn locate(&self, storage: StorageId) -> (StorageId, u64) {
        locate(&self.storages, storage)
    }

    /// The dispatches of launches; indices into [`Plan::dispatches`].
    pub fn dispatches_of(&self, launches: &Range<usize>) -> Range<usize> {
        let before = |launch: usize| self.dispatches.partition_point(|dispatch| dispatch.launch < launch);
        before(launches.start)..before(launches.end)
    }

    /// Whether the plan reads an input of this name.
    pub fn has_input(&self, input: &str) -> bool {
        self.inputs.iter().any(|value| value.name == input)
    }

    /// Bytes of the inputs.
    pub fn input_bytes(&self) -> u64 {
        self.inputs.iter().map(|p| span(p.ty.bytes())).sum()
    }

    /// Bytes that transient values would take without sharing memory.
    pub fn unshared_bytes(&self) -> u64 {
        let transient = |s: &&Storage| matches!(s.placement, Placement::Slot(_));
        self.storages.iter().filter(transient).map(Storage::span).sum()
    }

    /// Floating-point operations of a step.
    pub fn flops(&self) -> u64 {
        self.launches.iter().map(|l| l.flops).sum()
    }
}
