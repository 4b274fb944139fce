//! What the plan is made for: a family of executors and its limits.

use super::algorithm::{Algorithm, Pass, ShapeClass, Tuned};
use crate::kernel::Kernel;
use crate::op;

/// Which kernels suit an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A hardware GPU: workgroup memory is fast, loads want to be coalesced.
    Gpu,
    /// A GPU interface on the CPU (lavapipe, SwiftShader, WARP): barriers and workgroup memory are slow.
    Software,
    /// The CPU executor.
    Cpu,
}

/// Limits and preferences that lowering obeys. All are inputs: the same graph gives another plan for
/// another target, and no device is needed to make one.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Which kernels suit.
    pub family: Family,
    /// The adapter's vendor, by its PCI number; 0 where there is none.
    pub vendor: u32,
    /// Largest storage binding, bytes. Weights, and what an optimiser keeps of them, may be larger, up to the largest buffer.
    pub max_binding: u64,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Most workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Most invocations a workgroup.
    pub max_invocations: u32,
    /// Most storage buffers a kernel can bind.
    pub max_storage_buffers: u32,
    /// Memory that tensors can have, bytes, where it is known.
    pub memory: Option<u64>,
    /// Largest scratch buffer that lowering asks for, bytes: larger work is done in chunks.
    pub scratch: u64,
    /// Lanes of every subgroup, a power of two up to 64, for kernels that hand numbers from lane to lane; 0 where
    /// they have no fixed number.
    pub subgroup: u32,
    /// Algorithms to take for a pass wherever they can do the work; an error of the plan if they can nowhere.
    pub algorithms: Vec<(Pass, Algorithm)>,
    /// Whether operations that follow each other may become one.
    pub fuse: bool,
    /// Whether values of the forward pass are computed again for the backward pass where that saves memory. Results
    /// are the same to the bit.
    pub recompute: bool,
    /// Whether convolutions may be computed by fewer multiplications, whose results are a little farther from the
    /// definition's; see [`crate::op::Conv2d`].
    pub winograd: bool,
    /// Kernels to take for a pass wherever they can do the work, before `algorithms`; an error of the plan if they can nowhere.
    /// `im2col` stands for the algorithm.
    pub kernels: Vec<(Pass, &'static Kernel)>,
    /// Kernels that were measured to be the fastest, taken for passes without a request.
    pub tuned: Tuned,
}

impl Target {
    /// WebGPU's default limits: what every adapter can do.
    pub fn baseline(family: Family) -> Self {
        Self {
            family,
            vendor: 0,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_workgroups: 65_535,
            max_invocations: 256,
            max_storage_buffers: 8,
            memory: None,
            // Room for the filters of 512 to 512 channels as Winograd's way has them.
            scratch: if family == Family::Gpu { 64 << 20 } else { 32 << 20 },
            subgroup: 0,
            algorithms: Vec::new(),
            fuse: true,
            recompute: false,
            winograd: true,
            kernels: Vec::new(),
            tuned: Tuned::default(),
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

    /// The target with an algorithm requested for convolutions and their gradients.
    pub fn with_convolutions(mut self, algorithm: Algorithm) -> Self {
        self.algorithms.extend(Pass::CONVOLUTIONS.map(|pass| (pass, algorithm)));
        self
    }

    /// The requested kernel.
    pub(crate) fn kernel(&self, pass: Pass) -> Option<&'static Kernel> {
        self.kernels.iter().find(|(p, _)| *p == pass).map(|(_, kernel)| *kernel)
    }

    /// The requested algorithm.
    pub(crate) fn algorithm(&self, pass: Pass) -> Option<Algorithm> {
        self.algorithms.iter().find(|(p, _)| *p == pass).map(|(_, algorithm)| *algorithm)
    }

    /// The target for a node of this class: its tuned kernel, if there is one, is requested.
    pub(crate) fn tuned_for(&self, class: &ShapeClass) -> Option<Self> {
        let free = self.algorithm(class.pass).is_none() && self.kernel(class.pass).is_none();
        let kernel = self.tuned.kernel(class).filter(|_| free)?;
        let kernels = self.kernels.iter().copied().chain([(class.pass, kernel)]).collect();
        Some(Self { kernels, ..self.clone() })
    }

    /// Bytes that one binding may have.
    pub(crate) fn binding_limit(&self) -> u64 {
        self.max_binding.min(self.max_buffer).min(4 * op::LARGEST as u64)
    }

    /// Bytes that one scratch buffer may take.
    pub(crate) fn scratch_limit(&self) -> u64 {
        self.scratch.min(self.binding_limit())
    }
}
