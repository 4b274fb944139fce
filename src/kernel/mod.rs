//! Compute kernels: the [table](ALL) of all of them, and their WGSL.
//!
//! Also maps kernel names of earlier versions to current ones.

mod conv_axis;
mod launch;
mod layout;
mod params;
mod table;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use conv_axis::{ConvAxis, Phase};
pub use launch::{Grid, StorageId};
pub use layout::{Field, Layout, Params};
pub use params::*;
pub use table::*;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One compute kernel.
///
/// Binding 0 is the uniform `params`, followed by `reads` read-only and `writes` read-write storage
/// buffers. Workgroups are one-dimensional and their index is folded over x and y (see
/// `shaders/prelude.wgsl`), so the size of a launch is a single number of workgroups.
pub struct Kernel {
    /// Unique name, used in plans, labels and on the command line.
    pub name: &'static str,
    /// File under `shaders/`.
    pub file: &'static str,
    /// Contents of that file: WGSL, or a template of it.
    body: &'static str,
    /// Values of the template's variables.
    constants: &'static [(&'static str, u32)],
    /// Entry point in that file.
    pub entry: &'static str,
    /// Parameter struct.
    pub params: Layout,
    /// Invocations per workgroup.
    pub threads: u32,
    /// Read-only storage bindings.
    pub reads: usize,
    /// Read-write storage bindings.
    pub writes: usize,
}

impl Kernel {
    /// The complete WGSL module of this kernel. `subgroup` is the number of lanes of a subgroup; only kernels with
    /// subgroup operations depend on it.
    pub fn source(&self, subgroup: u32) -> String {
        let used = PIECES.iter().filter(|(name, _)| self.body.contains(&format!("// uses {name}")));
        let mut text = PRELUDE.to_owned();
        for part in used.map(|(_, piece)| *piece).chain([self.body]) {
            text += "\n";
            text += part;
        }
        match self.constants {
            [] => text,
            constants => template::fill(self.file, &text, constants, self.threads, subgroup),
        }
    }

    /// Whether the kernel uses subgroup operations, which not every device supports.
    pub fn uses_subgroups(&self) -> bool {
        self.body.contains("subgroup_invocation_id")
    }

    /// Whether the kernel only probes, for the self-test, what all others take for granted. Only kernels with subgroup operations
    /// need those.
    pub fn is_required_probe(&self) -> bool {
        self.file == "probes.wgsl"
    }

    /// Whether the kernel multiplies tiles in workgroup memory (`shaders/tiles.wgsl`).
    pub(crate) fn multiplies_tiles(&self) -> bool {
        self.body.contains("// uses tiles.wgsl")
    }

    /// Whether the template has this variable and its value is not 0.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.constants.iter().any(|(n, value)| *n == name && *value != 0)
    }

    /// The variant of a convolution that also computes the partial moments of batch norm.
    pub(crate) fn with_moments(&self) -> Option<&'static Kernel> {
        named(&format!("{}{MOMENTS}", self.name))
    }

    /// The kernel itself, or if it also computes moments, the one that does not.
    pub fn without_moments(&'static self) -> &'static Kernel {
        self.name.strip_suffix(MOMENTS).and_then(named).unwrap_or(self)
    }

    /// The value of a template variable. Panics if the kernel has none of that name.
    pub(crate) fn constant(&self, name: &str) -> u32 {
        let found = self.constants.iter().find(|(n, _)| *n == name);
        found.unwrap_or_else(|| panic!("the row of {} should have {name}", self.name)).1
    }
}

/// The kernels that multiply the smallest tiles, which compile fastest: one to two seconds each with SwiftShader on two busy
/// cores.
pub(crate) const QUICK_TO_COMPILE: [&Kernel; 4] =
    [&MATMUL_TILED_64X64, &CONV_GEMM_32X64, &CONV_GEMM_GRAD_WEIGHT_32X64, &CONV_GEMM_GRAD_WEIGHT_16X64];

/// End of the names of convolutions that also compute moments.
const MOMENTS: &str = "_moments";

/// The kernel with this name.
pub(crate) fn named(name: &str) -> Option<&'static Kernel> {
    ALL.iter().copied().find(|kernel| kernel.name == name)
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// By name.
impl Serialize for Kernel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for &'static Kernel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        named(&name).ok_or_else(|| D::Error::custom(format!("there is no kernel {name}")))
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// Changes whenever a kernel does.
pub(crate) fn checksum() -> u32 {
    let mut hash = crc32fast::Hasher::new();
    PIECES.iter().for_each(|(_, piece)| hash.update(piece.as_bytes()));
    hash.update(PRELUDE.as_bytes());
    for kernel in ALL {
        hash.update(
            format!("{}{}{:?}{}", kernel.name, kernel.entry, kernel.constants, kernel.threads).as_bytes(),
        );
        hash.update(kernel.body.as_bytes());
    }
    hash.finalize()
}

/// Maps a kernel name of an earlier version to the current one. Current names stay as they are.
pub fn current_name(name: &str) -> String {
    RENAMED.iter().fold(name.to_owned(), |name, (old, new)| name.replace(old, new))
}

/// Parts of earlier names and their replacements, applied in order.
const RENAMED: [(&str, &str); 19] = [
    ("conv_window_phases", "conv_register_tiled_polyphase"),
    ("conv_window", "conv_register_tiled"),
    ("partial_handed", "partial_subgroup"),
    ("_handed", "_shuffle"),
    ("matmul_panels", "matmul_packed"),
    ("_turned", "_rotated"),
    ("pool_halves", "pool_2x2"),
    ("pool_grad_halves", "pool_grad_2x2"),
    ("_apart", "_non_overlapping"),
    ("_quads", "_vec4"),
    ("conv_gemm_3x3", "conv_gemm"),
    ("conv_gemm_1x1", "conv_gemm"),
    ("grad_weight_32x128", "grad_weight_32x64"),
    ("grad_weight_16x128", "grad_weight_16x64"),
    ("matmul_tiled_16x128", "matmul_tiled_16x256"),
    ("grad_weight_128x128", "grad_weight_64x64"),
    ("grad_weight_64x128", "grad_weight_64x64"),
    ("conv_gemm_128x128", "conv_gemm_64x128"),
    ("matmul_tiled_128x128", "matmul_tiled_64x128"),
];

/// Shared WGSL, prepended to the shaders that use it.
const PIECES: [(&str, &str); 14] = [
    ("tiles.wgsl", include_str!("../../shaders/tiles.wgsl")),
    ("batch_norm_sums.wgsl", include_str!("../../shaders/batch_norm_sums.wgsl")),
    ("arrays.wgsl", include_str!("../../shaders/arrays.wgsl")),
    ("batch_norm_passes.wgsl", include_str!("../../shaders/batch_norm_passes.wgsl")),
    ("conv_params.wgsl", include_str!("../../shaders/conv_params.wgsl")),
    ("conv_pack_params.wgsl", include_str!("../../shaders/conv_pack_params.wgsl")),
    ("conv_epilogue.wgsl", include_str!("../../shaders/conv_epilogue.wgsl")),
    ("conv_gemm_params.wgsl", include_str!("../../shaders/conv_gemm_params.wgsl")),
    ("conv_register_tiled_rows.wgsl", include_str!("../../shaders/conv_register_tiled_rows.wgsl")),
    ("matmul_params.wgsl", include_str!("../../shaders/matmul_params.wgsl")),
    ("matmul_bias.wgsl", include_str!("../../shaders/matmul_bias.wgsl")),
    ("nan.wgsl", include_str!("../../shaders/nan.wgsl")),
    ("relu.wgsl", include_str!("../../shaders/relu.wgsl")),
    ("pool_params.wgsl", include_str!("../../shaders/pool_params.wgsl")),
];
const PRELUDE: &str = include_str!("../../shaders/prelude.wgsl");
