//! How it is computed: launches, buffers and command groups. Pure data, made and printed with no device.

pub mod algorithm;
mod cuts;
mod fuse;
mod gather;
mod layout;
mod least;
mod lower;
mod memory;
mod pieces;
mod recompute;
mod report;
mod summary;
mod target;

pub use algorithm::{Algorithm, Pass, ShapeClass, Tuned};
pub(crate) use layout::Layout;
pub(crate) use lower::NodeLowering;
pub(crate) use pieces::ALIGNED;
pub use report::{GroupReport, LaunchReport, MemoryReport, Report, Totals, in_bytes};
pub use summary::{LayerSummary, Summary};
pub use target::{Family, Target};

use crate::graph::{Graph, Persistence, Phase};
use crate::kernel::Kernel;
pub use crate::kernel::{Grid, StorageId};
use crate::op::Labels;
use crate::{Error, TensorType};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Where a storage lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A buffer of its own that outlives steps.
    Persistent,
    /// A buffer of its own, filled at the start of each step.
    Input,
    /// The start of a pooled buffer ([`Plan::slots`]), shared with storages of other times.
    Slot(usize),
    /// A part of another storage: values that one launch works on lie side by side, and of a large one a launch binds a part.
    Within {
        /// The storage that it is a part of.
        whole: StorageId,
        /// Where the part starts, in bytes.
        offset: u64,
    },
}

/// A region of device memory.
#[derive(Clone, Debug)]
pub struct Storage {
    /// What it holds, for people.
    pub label: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Where it lives.
    pub place: Place,
}

impl Storage {
    /// Bytes that are bound: kernels may take four numbers at a time, and what they write past the end is
    /// nobody's.
    pub fn span(&self) -> u64 {
        span(self.bytes)
    }
}

/// See [`Plan::locate`].
fn locate(storages: &[Storage], storage: StorageId) -> (StorageId, u64) {
    let (mut root, mut start) = (storage, 0);
    while let Place::Within { whole, offset } = storages[root.index()].place {
        (root, start) = (whole, start + offset);
    }
    (root, start)
}

/// Bytes that a buffer takes.
fn span(bytes: u64) -> u64 {
    bytes.next_multiple_of(16)
}

/// One dispatch of one kernel.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Its parameter struct, as words.
    pub params: Vec<u32>,
    /// Read-only bindings.
    pub reads: Vec<StorageId>,
    /// Read-write bindings.
    pub writes: Vec<StorageId>,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
    /// Floating-point operations, a multiply-add counted as two.
    pub flops: u64,
    /// Bytes that the launch has to read and write at least once.
    pub bytes: u64,
}

impl Launch {
    /// All bindings but the parameters, in order.
    pub fn storages(&self) -> impl Iterator<Item = StorageId> {
        self.reads.iter().chain(&self.writes).copied()
    }
}

/// The launches of one layer in one direction, recorded together.
#[derive(Clone, Debug)]
pub struct Group {
    /// The layer, `layer1.0.conv1`.
    pub scope: Arc<str>,
    /// The direction.
    pub phase: Phase,
    /// Shape of the last node's first output.
    pub shape: Vec<usize>,
    /// Indices into [`Plan::launches`].
    pub launches: Range<usize>,
    /// Bytes that it would move if nothing went to memory on its way: each value that its operations read and others
    /// made, or that the step is given, read once; and each value that it makes and others read, that the step gives
    /// out or that a state becomes, written once. Scratch memory is not in it. Never more than its launches move,
    /// of which a slice, say, does not read the whole value.
    pub least: u64,
    /// Operations of the graph that its launches do on the side, so that no tensor lies between: `relu`.
    pub fused: Vec<&'static str>,
}

impl Group {
    /// `layer1.0.conv1 forward`.
    pub fn label(&self) -> String {
        let scope = if self.scope.is_empty() { "model" } else { &self.scope };
        format!("{scope} {}", self.phase.name())
    }
}

/// A named value that goes in or comes out at each step.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Shape and element type.
    pub ty: TensorType,
    /// Where it lies.
    pub storage: StorageId,
    /// What its elements may be, where operations take them for classes.
    pub labels: Option<Labels>,
}

impl Port {
    /// Fails where a number is not one of the classes that operations take it for.
    pub(crate) fn check_labels(&self, words: &[u32]) -> crate::Result<()> {
        let Some(labels) = self.labels else { return Ok(()) };
        let Some(at) = words.iter().position(|label| !labels.allow(*label)) else { return Ok(()) };
        Err(Error::argument(&self.name, labels.refusal(words[at], at)))
    }
}

/// A persistent value.
#[derive(Clone, Debug)]
pub struct PersistentPort {
    /// Name, type and place.
    pub port: Port,
    /// Purpose and first contents.
    pub persistence: Persistence,
}

/// Everything an executor needs to run a graph, decided beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Regions of memory.
    pub storages: Vec<Storage>,
    /// Sizes of the pooled buffers in bytes, largest first.
    pub slots: Vec<u64>,
    /// Dispatches in order.
    pub launches: Vec<Launch>,
    /// Runs of launches that are recorded together, in order.
    pub groups: Vec<Group>,
    /// Filled at the start of each step.
    pub inputs: Vec<Port>,
    /// Read back at the end of each step.
    pub outputs: Vec<Port>,
    /// Kept from step to step.
    pub persistent: Vec<PersistentPort>,
}

impl Plan {
    /// Lowers a graph for a target. Fails when something passes the target's limits, or when the target asks for a kernel or a
    /// way by name and nothing that it is for can be computed so; nothing has been allocated then.
    pub fn new(graph: &Graph, target: &Target) -> crate::Result<Self> {
        let mut graph = Cow::Borrowed(graph);
        if target.fuse {
            graph = Cow::Owned(fuse::fuse(&graph));
        }
        if target.recompute {
            graph = Cow::Owned(recompute::recompute(&graph));
        }
        lower::lower(&graph, target)
    }

    /// Bytes of device memory that a step needs at its peak. Everything is allocated before the first
    /// step, so this is also what is taken throughout.
    pub fn peak_bytes(&self) -> u64 {
        self.persistent_bytes() + self.input_bytes() + self.slots.iter().sum::<u64>()
    }

    /// Bytes of weights, running statistics and optimiser state.
    pub fn persistent_bytes(&self) -> u64 {
        self.storages.iter().filter(|s| s.place == Place::Persistent).map(Storage::span).sum()
    }

    /// The storage that a storage is a part of, or itself, and where in it it starts, in bytes.
    pub fn locate(&self, storage: StorageId) -> (StorageId, u64) {
        locate(&self.storages, storage)
    }

    /// Whether an input of this name is to be given: what a network has no use for is none.
    pub fn takes(&self, input: &str) -> bool {
        self.inputs.iter().any(|port| port.name == input)
    }

    /// Bytes of the inputs.
    pub fn input_bytes(&self) -> u64 {
        self.inputs.iter().map(|p| span(p.ty.bytes())).sum()
    }

    /// Bytes that transient values would take if none shared memory with another.
    pub fn unshared_bytes(&self) -> u64 {
        let transient = |s: &&Storage| matches!(s.place, Place::Slot(_));
        self.storages.iter().filter(transient).map(Storage::span).sum()
    }

    /// Floating-point operations of a step.
    pub fn flops(&self) -> u64 {
        self.launches.iter().map(|l| l.flops).sum()
    }
}
