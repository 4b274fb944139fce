//! What the plan is made for: a family of executors and its limits.

use super::{ShapeClass, Tuned, choice};
use crate::kernel::{self, Kernel};
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

/// How convolutions are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConvAlgorithm {
    /// Whatever suits convolution and target.
    #[default]
    Auto,
    /// Images unfolded to columns, then a matrix product.
    Im2col,
    /// Straight from the definition.
    Direct,
    /// Without unfolding, by numbers handed from lane to lane, where that applies; else by im2col. As of all ways, it is an
    /// error of the plan where it applies nowhere.
    Window,
    /// As an implicit matrix product through workgroup memory, where that applies; else by im2col.
    Gemm,
    /// By fewer multiplications (F(4x4, 3x3) of Lavin & Gray 2016, or F(2x2, 3x3) by its kernels' names), where that applies:
    /// 3 x 3 taps, stride 1, no dilation, one group; else by im2col.
    Winograd,
}

impl ConvAlgorithm {
    /// Those that can be asked for.
    pub const WAYS: [ConvAlgorithm; 5] = [
        ConvAlgorithm::Im2col,
        ConvAlgorithm::Direct,
        ConvAlgorithm::Window,
        ConvAlgorithm::Gemm,
        ConvAlgorithm::Winograd,
    ];

    /// `auto`, `im2col`, `direct`, `window`, `gemm` or `winograd`.
    pub fn name(self) -> &'static str {
        match self {
            ConvAlgorithm::Auto => "auto",
            ConvAlgorithm::Im2col => "im2col",
            ConvAlgorithm::Direct => "direct",
            ConvAlgorithm::Window => "window",
            ConvAlgorithm::Gemm => "gemm",
            ConvAlgorithm::Winograd => "winograd",
        }
    }
}

/// A computation that several kernels can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pass {
    /// A convolution.
    Forward,
    /// Its gradient with respect to the input.
    GradInput,
    /// Its gradient with respect to the weight.
    GradWeight,
    /// A matrix product.
    Matmul,
}

impl Pass {
    /// All of them.
    pub const ALL: [Pass; 4] = [Pass::Forward, Pass::GradInput, Pass::GradWeight, Pass::Matmul];

    /// `forward`, `grad_input`, `grad_weight` or `matmul`.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::GradInput => "grad_input",
            Pass::GradWeight => "grad_weight",
            Pass::Matmul => "matmul",
        }
    }

    /// The ways to compute it; a matrix product has but kernels.
    pub fn ways(self) -> &'static [ConvAlgorithm] {
        if self == Pass::Matmul { &[] } else { &ConvAlgorithm::WAYS }
    }

    /// The kernels that one of its ways takes; of im2col, those that make the columns or read them.
    pub fn kernels_of(self, way: ConvAlgorithm) -> &'static [&'static Kernel] {
        op::conv_kernels(self, way)
    }

    /// The kernels that may be the fastest for it, im2col for its way among them.
    pub(crate) fn candidates(self) -> Vec<&'static Kernel> {
        let mut kernels = self.kernels();
        if self != Pass::Matmul {
            kernels.push(&kernel::IM2COL);
        }
        kernels
    }

    /// The kernels that `forced` of a [`Target`] can name for it. im2col is named as a way, and by no kernel here.
    pub fn kernels(self) -> Vec<&'static Kernel> {
        match self {
            Pass::Matmul => {
                choice::PRODUCTS.iter().flat_map(|row| op::matmul_kernels(row.way)).copied().collect()
            }
            _ => {
                let ways = self.ways().iter().filter(|way| **way != ConvAlgorithm::Im2col);
                ways.flat_map(|way| self.kernels_of(*way)).copied().collect()
            }
        }
    }
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
    /// How convolutions are computed.
    pub conv: ConvAlgorithm,
    /// How single passes of them are, whatever `conv` says. A way that no layer can take is an error of the plan.
    pub ways: Vec<(Pass, ConvAlgorithm)>,
    /// Whether operations that follow each other may become one.
    pub fuse: bool,
    /// Whether values of the forward pass are computed again for the backward pass where that saves memory. Results
    /// are the same to the bit.
    pub recompute: bool,
    /// Whether convolutions may be computed by fewer multiplications, whose results are a little farther from the
    /// definition's; see [`crate::op::Conv2d`].
    pub winograd: bool,
    /// Kernels to take for a pass wherever they can do it; that they can nowhere is an error of the plan. `im2col` stands for
    /// columns and a matrix product.
    pub forced: Vec<(Pass, &'static Kernel)>,
    /// Kernels that were measured to be the fastest, taken where `conv` is `Auto` and none is forced.
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
            conv: ConvAlgorithm::Auto,
            ways: Vec::new(),
            fuse: true,
            recompute: false,
            winograd: true,
            forced: Vec::new(),
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

    /// The kernel that was asked for.
    pub(crate) fn forced(&self, pass: Pass) -> Option<&'static Kernel> {
        self.forced.iter().find(|(p, _)| *p == pass).map(|(_, kernel)| *kernel)
    }

    /// The target for a node of this class: its tuned kernel, if there is one, is forced.
    pub(crate) fn tuned_for(&self, class: &ShapeClass) -> Option<Self> {
        let free = self.way(class.pass) == ConvAlgorithm::Auto && self.forced(class.pass).is_none();
        let kernel = self.tuned.kernel(class).filter(|_| free)?;
        let forced = self.forced.iter().copied().chain([(class.pass, kernel)]).collect();
        Some(Self { forced, ..self.clone() })
    }

    /// How a pass of a convolution is to be computed.
    pub(crate) fn way(&self, pass: Pass) -> ConvAlgorithm {
        self.ways.iter().find(|(p, _)| *p == pass).map_or(self.conv, |(_, way)| *way)
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
