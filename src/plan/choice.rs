//! Which way a computation takes on which device: tables to be read row by row, of which the first row that fits is taken.
//!
//! What was asked for or measured comes before them ([`Target`]'s `forced`, `ways`, `conv` and `tuned`). A way that cannot do a
//! computation, or not within the device's limits, is passed over. Of a way's kernels, those in windows are taken in order,
//! the first that fits; those in tiles by how well the tile fits (`src/op/matmul.rs`).

use super::{ConvAlgorithm, Family, Pass, Target};
use crate::kernel::Kernel;
use crate::op;
use std::fmt;
use std::ops::RangeInclusive;

/// What a row of a table asks for.
#[derive(Clone, Debug)]
pub struct On {
    /// Kind of executor; `None`: any.
    pub family: Option<Family>,
    /// The adapter's vendor, by its PCI number; `None`: any.
    pub vendor: Option<u32>,
    /// Lanes of every subgroup; 0 is for adapters that have no fixed number.
    pub lanes: RangeInclusive<u32>,
    /// What is computed.
    pub passes: &'static [Pass],
    /// Of which shape.
    pub shape: Shape,
}

/// Shapes that a row may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any.
    Any,
    /// Convolutions in groups of fewer than [`FEW_CHANNELS`].
    FewChannels,
    /// Convolutions whose gradient with respect to the input is computed in all phases at once: 3 x 3 taps at stride 2 that halve the
    /// image.
    Halving,
    /// Convolutions of so many channels, both in and out, and so many tiles of 4 x 4 results in all images.
    Large {
        /// Channels, at least.
        channels: u32,
        /// Tiles, at least.
        tiles: u32,
    },
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Any => f.write_str("any"),
            Shape::FewChannels => write!(f, "groups of fewer than {FEW_CHANNELS} channels"),
            Shape::Halving => f.write_str("3 x 3 at stride 2 that halves the image"),
            Shape::Large { channels, tiles } => write!(f, "from {channels} channels and {tiles} tiles"),
        }
    }
}

/// With fewer channels a group, matrix products are so thin that they are all edge.
pub const FEW_CHANNELS: u32 = 8;

/// How matrix products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulAlgorithm {
    /// In tiles through workgroup memory.
    Tiled,
    /// Operands put into panels, and numbers handed from lane to lane.
    Panels,
    /// In registers, without either.
    Registers,
}

impl MatmulAlgorithm {
    /// `tiled`, `panels` or `registers`.
    pub fn name(self) -> &'static str {
        match self {
            MatmulAlgorithm::Tiled => "tiled",
            MatmulAlgorithm::Panels => "panels",
            MatmulAlgorithm::Registers => "registers",
        }
    }
}

/// A row: where it applies, and what is taken there.
#[derive(Clone, Debug)]
pub struct Choice<W> {
    /// Where.
    pub on: On,
    /// What.
    pub way: W,
}

const ANY_LANES: RangeInclusive<u32> = 0..=64;
const FIXED_LANES: RangeInclusive<u32> = 4..=64;

/// A software adapter whose lanes hand numbers to each other.
const HANDING: On = On { family: Some(Family::Software), lanes: FIXED_LANES, ..CONVOLUTION };
const CONVOLUTION: On = On {
    family: None,
    vendor: None,
    lanes: ANY_LANES,
    passes: &[Pass::Forward, Pass::GradInput, Pass::GradWeight],
    shape: Shape::Any,
};
const PRODUCT: On = On { passes: &[Pass::Matmul], ..CONVOLUTION };

/// NVIDIA's GPUs.
const NVIDIA: On = On { family: Some(Family::Gpu), vendor: Some(0x10de), lanes: FIXED_LANES, ..CONVOLUTION };

/// Convolutions and their gradients.
pub static CONVOLUTIONS: [Choice<ConvAlgorithm>; 10] = [
    // The fast twins of the direct kernels unfold in the cache.
    Choice { on: On { family: Some(Family::Cpu), ..CONVOLUTION }, way: ConvAlgorithm::Direct },
    Choice { on: On { shape: Shape::FewChannels, ..CONVOLUTION }, way: ConvAlgorithm::Direct },
    // As measured on lavapipe: transforms cost as much for a channel whatever the number of others, and panels of fewer than
    // 64 tiles are partly empty. The window's weight gradients are slower than its results.
    Choice {
        on: On { shape: Shape::Large { channels: 128, tiles: 64 }, ..HANDING },
        way: ConvAlgorithm::Winograd,
    },
    Choice {
        on: On { passes: &[Pass::GradWeight], shape: Shape::Large { channels: 64, tiles: 512 }, ..HANDING },
        way: ConvAlgorithm::Winograd,
    },
    Choice { on: HANDING, way: ConvAlgorithm::Window },
    // As measured on an H200 (docs/measurements.md).
    Choice {
        on: On { passes: &[Pass::GradInput], shape: Shape::Halving, ..NVIDIA },
        way: ConvAlgorithm::Window,
    },
    Choice {
        on: On {
            passes: &[Pass::Forward, Pass::GradInput],
            shape: Shape::Large { channels: 64, tiles: 32 },
            ..NVIDIA
        },
        way: ConvAlgorithm::Winograd,
    },
    Choice {
        on: On { passes: &[Pass::GradWeight], shape: Shape::Large { channels: 128, tiles: 64 }, ..NVIDIA },
        way: ConvAlgorithm::Winograd,
    },
    Choice { on: On { family: Some(Family::Gpu), ..CONVOLUTION }, way: ConvAlgorithm::Gemm },
    Choice { on: CONVOLUTION, way: ConvAlgorithm::Im2col },
];

/// Matrix products.
pub static PRODUCTS: [Choice<MatmulAlgorithm>; 3] = [
    Choice { on: On { family: Some(Family::Gpu), ..PRODUCT }, way: MatmulAlgorithm::Tiled },
    Choice { on: On { passes: PRODUCT.passes, ..HANDING }, way: MatmulAlgorithm::Panels },
    Choice { on: PRODUCT, way: MatmulAlgorithm::Registers },
];

/// What the first row says that is for this target and pass, and of whose shape and way `can` says that they fit.
pub(crate) fn first<W: Copy>(
    table: &[Choice<W>],
    target: &Target,
    pass: Pass,
    can: impl Fn(Shape, W) -> bool,
) -> Option<W> {
    let mut rows = table.iter().filter(|row| row.on.is(target, pass) && can(row.on.shape, row.way));
    rows.next().map(|row| row.way)
}

impl On {
    fn is(&self, target: &Target, pass: Pass) -> bool {
        self.family.is_none_or(|family| family == target.family)
            && self.vendor.is_none_or(|vendor| vendor == target.vendor)
            && self.lanes.contains(&target.subgroup)
            && self.passes.contains(&pass)
    }
}

/// A row of either table, in words.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where.
    pub on: On,
    /// The way's name.
    pub way: &'static str,
    /// Its kernels for the row's passes.
    pub kernels: Vec<&'static Kernel>,
}

/// The rows of both tables.
pub fn rows() -> impl Iterator<Item = Row> {
    let convolutions = CONVOLUTIONS.iter().map(|Choice { on, way }| {
        // Passes share kernels.
        let mut kernels: Vec<&'static Kernel> = Vec::new();
        for kernel in on.passes.iter().flat_map(|pass| pass.kernels_of(*way)) {
            if !kernels.contains(kernel) {
                kernels.push(kernel);
            }
        }
        Row { on: on.clone(), way: way.name(), kernels }
    });
    let products = PRODUCTS.iter().map(|Choice { on, way }| {
        let kernels = op::matmul_kernels(*way).to_vec();
        Row { on: on.clone(), way: way.name(), kernels }
    });
    convolutions.chain(products)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_that_is_for_the_target_is_taken() {
        let on = |vendor, lanes| On { vendor, lanes, ..PRODUCT };
        let table = [
            Choice { on: on(Some(7), 32..=32), way: 0 },
            Choice { on: on(Some(7), ANY_LANES), way: 1 },
            Choice { on: on(None, 32..=64), way: 2 },
        ];
        let target = |vendor, subgroup| Target { vendor, subgroup, ..Target::baseline(Family::Gpu) };
        let way = |vendor, subgroup| first(&table, &target(vendor, subgroup), Pass::Matmul, |_, _| true);
        assert_eq!([way(7, 32), way(7, 0), way(8, 32), way(8, 0)], [Some(0), Some(1), Some(2), None]);
        // What cannot be done is passed over, and so is another pass.
        assert_eq!(first(&table, &target(7, 32), Pass::Matmul, |_, way| way > 0), Some(1));
        assert_eq!(first(&table, &target(7, 32), Pass::Forward, |_, _| true), None);
    }
}
