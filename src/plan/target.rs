//! The target of a plan: a family of executors, its limits and preferences.

use super::algorithm::{Algorithm, Pass, ShapeClass, Tuned};
use crate::kernel::{self, Kernel};
use crate::op;

/// Binding offsets must be multiples of this many bytes; no adapter requires more (WebGPU's
/// `minStorageBufferOffsetAlignment`).
pub(super) const ALIGNMENT: u64 = 256;

/// The same, in elements.
pub(crate) const ALIGNMENT_ELEMENTS: usize = ALIGNMENT as usize / 4;

/// The kind of executor, which decides which kernels are fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A hardware GPU: workgroup memory is fast, and loads should coalesce.
    Gpu,
    /// A software GPU driver (lavapipe, SwiftShader, WARP): barriers and workgroup memory are slow.
    Software,
    /// The CPU executor.
    Cpu,
}

/// Limits and preferences for lowering. Plain data, so that plans for any target can be made without a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Kind of executor.
    pub family: Family,
    /// PCI vendor id of the adapter; 0 if it has none.
    pub vendor: u32,
    /// Largest storage binding in bytes. Parameters and their optimizer state may be larger, up to `max_buffer`.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Maximum number of workgroups in each dimension of a dispatch.
    pub max_workgroups: u32,
    /// Maximum predicted time of a submission in milliseconds; longer launches are split. The prediction is for a slow device of
    /// the family.
    pub submission_ms: Option<f64>,
    /// Maximum number of invocations per workgroup.
    pub max_invocations: u32,
    /// Maximum number of storage buffers per kernel.
    pub max_storage_buffers: u32,
    /// Memory available for tensors in bytes, if known.
    pub memory: Option<u64>,
    /// Largest scratch buffer in bytes; larger work is split into chunks.
    pub scratch: u64,
    /// Size of every subgroup, a power of two up to 64; 0 if it varies or is unknown. Kernels with subgroup operations need it.
    pub subgroup: u32,
    /// Algorithms requested per pass, used wherever they apply. Planning fails if one applies nowhere.
    pub algorithms: Vec<(Pass, Algorithm)>,
    /// Whether to fuse operations.
    pub fuse: bool,
    /// Whether to recompute activations for the backward pass where that saves memory. Results are bit-identical.
    pub recompute: bool,
    /// Whether convolutions may use Winograd's algorithm, which is slightly less accurate; see [`crate::op::Conv2d`].
    pub winograd: bool,
    /// Kernels requested per pass, used wherever they apply; they take precedence over `algorithms`. Planning fails if one
    /// does not apply anywhere. `im2col` requests the whole algorithm.
    pub kernels: Vec<(Pass, &'static Kernel)>,
    /// Kernels that were measured to be fastest, for passes without a request.
    pub tuned: Tuned,
    /// Kernels that plans never contain, such as those that failed the self-test of the device ([`crate::selftest`]).
    pub excluded: Vec<&'static Kernel>,
}

impl Target {
    /// WebGPU's default limits, which every adapter supports.
    pub fn baseline(family: Family) -> Self {
        Self {
            family,
            vendor: 0,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_workgroups: 65_535,
            // Operating systems reset a GPU after about two seconds. Software has no such limit.
            submission_ms: if family == Family::Gpu { Some(500.0) } else { None },
            max_invocations: 256,
            max_storage_buffers: 8,
            memory: None,
            // Enough for the transformed filters of a 512-to-512-channel Winograd convolution.
            scratch: if family == Family::Gpu { 64 << 20 } else { 32 << 20 },
            subgroup: 0,
            algorithms: Vec::new(),
            fuse: true,
            recompute: false,
            winograd: true,
            kernels: Vec::new(),
            tuned: Tuned::default(),
            excluded: Vec::new(),
        }
    }

    /// A browser with a GPU or a software adapter: WebGPU's default limits and no subgroup operations. Browsers compile kernels when
    /// a page is opened, so those that multiply the largest tiles, which some drivers compile for seconds, are excluded.
    pub fn browser(family: Family) -> Self {
        let slow = |kernel: &&Kernel| kernel.multiplies_tiles() && !kernel::QUICK_TO_COMPILE.contains(kernel);
        let excluded = kernel::ALL.iter().copied().filter(slow).collect();
        Self { excluded, winograd: false, ..Self::baseline(family) }
    }

    /// The same target with no limit above those of another.
    pub fn within(self, other: &Self) -> Self {
        Self {
            max_binding: self.max_binding.min(other.max_binding),
            max_buffer: self.max_buffer.min(other.max_buffer),
            max_workgroups: self.max_workgroups.min(other.max_workgroups),
            max_invocations: self.max_invocations.min(other.max_invocations),
            max_storage_buffers: self.max_storage_buffers.min(other.max_storage_buffers),
            ..self
        }
    }

    /// The CPU executor with this much memory.
    pub fn cpu(memory: Option<u64>) -> Self {
        Self {
            max_binding: 16 << 30,
            max_buffer: 16 << 30,
            max_workgroups: u32::MAX,
            memory,
            ..Self::baseline(Family::Cpu)
        }
    }

    /// Requests an algorithm for convolutions and their gradients.
    pub fn with_convolutions(mut self, algorithm: Algorithm) -> Self {
        self.algorithms.extend(Pass::CONVOLUTIONS.map(|pass| (pass, algorithm)));
        self
    }

    /// Whether plans may contain a kernel.
    pub(crate) fn allows(&self, kernel: &Kernel) -> bool {
        !self.excluded.contains(&kernel)
    }

    /// The requested kernel.
    pub(crate) fn kernel(&self, pass: Pass) -> Option<&'static Kernel> {
        self.kernels.iter().find(|(p, _)| *p == pass).map(|(_, kernel)| *kernel)
    }

    /// The requested algorithm.
    pub(crate) fn algorithm(&self, pass: Pass) -> Option<Algorithm> {
        self.algorithms.iter().find(|(p, _)| *p == pass).map(|(_, algorithm)| *algorithm)
    }

    /// The target for a node of this class, with its tuned kernel requested; `None` if there is none.
    pub(crate) fn tuned_for(&self, class: &ShapeClass) -> Option<Self> {
        let free = self.algorithm(class.pass).is_none() && self.kernel(class.pass).is_none();
        let kernel = self.tuned.kernel(class).filter(|kernel| free && self.allows(kernel))?;
        let kernels = self.kernels.iter().copied().chain([(class.pass, kernel)]).collect();
        Some(Self { kernels, ..self.clone() })
    }

    /// Largest binding in bytes.
    pub(crate) fn binding_limit(&self) -> u64 {
        self.max_binding.min(self.max_buffer).min(4 * op::MAX_SIZE as u64)
    }

    /// Largest scratch buffer in bytes.
    pub(crate) fn scratch_limit(&self) -> u64 {
        self.scratch.min(self.binding_limit())
    }
}
