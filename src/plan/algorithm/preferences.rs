//! The default algorithm for each device and shape: the first row of a table that matches.

use super::{Algorithm, CANDIDATES, Pass, candidates};
use crate::kernel::{self, Kernel};
use crate::plan::{Family, Target};
use std::fmt;
use std::ops::RangeInclusive;

/// A row of the table: its conditions and its algorithm.
#[derive(Clone, Debug)]
pub struct Preference {
    /// Kind of executor; `None` matches any.
    pub family: Option<Family>,
    /// PCI vendor id of the adapter; `None` matches any.
    pub vendor: Option<u32>,
    /// Subgroup sizes; 0 stands for adapters without a fixed size.
    pub lanes: RangeInclusive<u32>,
    /// Passes.
    pub passes: &'static [Pass],
    /// Shapes.
    pub shape: Shape,
    /// The algorithm.
    pub algorithm: Algorithm,
}

/// Condition on a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any shape.
    Any,
    /// Grouped convolutions with fewer than 8 channels per group.
    FewChannels,
    /// Convolutions with at least this many input and output channels, and 4 x 4 output tiles over all images.
    Large {
        /// Minimum number of channels.
        channels: u32,
        /// Minimum number of tiles.
        tiles: u32,
    },
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Any => f.write_str("any"),
            Shape::FewChannels => write!(f, "groups of fewer than {FEW_CHANNELS} channels"),
            Shape::Large { channels, tiles } => write!(f, "at least {channels} channels and {tiles} tiles"),
        }
    }
}

/// With fewer channels per group, matrix products are too thin: most of each tile is padding.
pub(super) const FEW_CHANNELS: u32 = 8;

const ANY_LANES: RangeInclusive<u32> = 0..=64;
const FIXED_LANES: RangeInclusive<u32> = 4..=64;

/// Convolutions by im2col on any device.
const CONVOLUTION: Preference = Preference {
    family: None,
    vendor: None,
    lanes: ANY_LANES,
    passes: &Pass::CONVOLUTIONS,
    shape: Shape::Any,
    algorithm: Algorithm::Im2col,
};

/// Matrix products in registers on any device.
const PRODUCT: Preference =
    Preference { passes: &[Pass::Matmul], algorithm: Algorithm::Registers, ..CONVOLUTION };

/// Convolutions on software adapters with a fixed subgroup size.
const SOFTWARE: Preference = Preference { family: Some(Family::Software), lanes: FIXED_LANES, ..CONVOLUTION };

/// PCI vendor id of SwiftShader, Chromium's software adapter.
const SWIFTSHADER: u32 = 0x1ae0;

/// The table.
pub static PREFERENCES: [Preference; 12] = [
    // The fast CPU twins of the direct kernels unfold images in cache.
    Preference { family: Some(Family::Cpu), algorithm: Algorithm::Direct, ..CONVOLUTION },
    Preference { shape: Shape::FewChannels, algorithm: Algorithm::Direct, ..CONVOLUTION },
    // Measured on lavapipe. Few channels do not amortize the transforms, and with fewer than 64 tiles, packed panels are partly
    // empty. Weight gradients need fewer channels, because register-tiled weight gradients are slower than convolutions.
    Preference {
        shape: Shape::Large { channels: 128, tiles: 64 },
        algorithm: Algorithm::Winograd,
        ..SOFTWARE
    },
    Preference {
        passes: &[Pass::GradWeight],
        shape: Shape::Large { channels: 64, tiles: 512 },
        algorithm: Algorithm::Winograd,
        ..SOFTWARE
    },
    // Compiling a register-tiled weight gradient takes SwiftShader minutes and gigabytes (docs/drivers.md).
    Preference { vendor: Some(SWIFTSHADER), passes: &[Pass::GradWeight], ..SOFTWARE },
    Preference { algorithm: Algorithm::RegisterTiled, ..SOFTWARE },
    // As estimated from instructions and bytes, and measured on an H100 (docs/gpu-kernels.md).
    Preference {
        family: Some(Family::Gpu),
        shape: Shape::Large { channels: 128, tiles: 64 },
        algorithm: Algorithm::Winograd,
        ..CONVOLUTION
    },
    Preference { family: Some(Family::Gpu), algorithm: Algorithm::ImplicitGemm, ..CONVOLUTION },
    CONVOLUTION,
    Preference { family: Some(Family::Gpu), algorithm: Algorithm::Tiled, ..PRODUCT },
    Preference { passes: PRODUCT.passes, algorithm: Algorithm::Packed, ..SOFTWARE },
    PRODUCT,
];

impl Preference {
    /// The kernels of the algorithm for these passes.
    pub fn kernels(&self) -> impl Iterator<Item = &'static Kernel> {
        let rows = CANDIDATES.iter().filter(|(algorithm, passes, _)| {
            *algorithm == self.algorithm && passes.iter().any(|pass| self.passes.contains(pass))
        });
        rows.flat_map(|(.., entry)| kernel::of_entry(entry)).copied()
    }

    /// Whether the row is for a pass on a target.
    fn is_for(&self, target: &Target, pass: Pass) -> bool {
        self.family.is_none_or(|family| family == target.family)
            && self.vendor.is_none_or(|vendor| vendor == target.vendor)
            && self.lanes.contains(&target.subgroup)
            && self.passes.contains(&pass)
    }
}

/// The algorithms that may be chosen for a pass without a request or measurement: those of the rows up to the first that takes every
/// shape and supports all work.
pub(crate) fn defaults(target: &Target, pass: Pass) -> Vec<Algorithm> {
    let rows: Vec<&Preference> = PREFERENCES.iter().filter(|row| row.is_for(target, pass)).collect();
    let takes_all = |row: &&Preference| {
        row.shape == Shape::Any && matches!(row.algorithm, Algorithm::Im2col | Algorithm::Registers)
    };
    let last = rows.iter().position(takes_all).unwrap_or(rows.len() - 1);
    rows[..=last].iter().map(|row| row.algorithm).collect()
}

/// The algorithm for a pass: the one of the requested kernel, else the requested one, else the one in the first row of the table
/// that matches target and shape (`is`). Skips algorithms that do not support the work (`can`); `None` if none is left.
pub(super) fn algorithm(
    target: &Target,
    pass: Pass,
    is: impl Fn(Shape) -> bool,
    can: impl Fn(Algorithm) -> bool,
) -> Option<Algorithm> {
    let of_kernel = candidates(pass).find(|c| target.kernel(pass) == Some(c.kernel) && can(c.algorithm));
    let preferred = || {
        let mut rows = PREFERENCES.iter().filter(|row| row.is_for(target, pass));
        rows.find(|row| is(row.shape) && can(row.algorithm)).map(|row| row.algorithm)
    };
    match (of_kernel, target.algorithm(pass)) {
        (Some(candidate), _) => Some(candidate.algorithm),
        (None, Some(requested)) => can(requested).then_some(requested),
        (None, None) => preferred(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_row_wins() {
        let found = |family, vendor, subgroup, pass| {
            let target = Target { vendor, subgroup, ..Target::baseline(family) };
            algorithm(&target, pass, |shape| shape == Shape::Any, |_| true).unwrap()
        };
        assert_eq!(found(Family::Cpu, 0, 0, Pass::GradInput), Algorithm::Direct);
        assert_eq!(found(Family::Software, 0, 8, Pass::Forward), Algorithm::RegisterTiled);
        assert_eq!(found(Family::Software, 0, 0, Pass::Forward), Algorithm::Im2col);
        assert_eq!(found(Family::Software, SWIFTSHADER, 4, Pass::Forward), Algorithm::RegisterTiled);
        assert_eq!(found(Family::Software, SWIFTSHADER, 4, Pass::GradWeight), Algorithm::Im2col);
        assert_eq!(found(Family::Software, 0, 8, Pass::Matmul), Algorithm::Packed);
        assert_eq!(found(Family::Gpu, 0x10de, 32, Pass::GradInput), Algorithm::ImplicitGemm);
        // Skips rows whose algorithm does not support the work.
        let software = Target { subgroup: 8, ..Target::baseline(Family::Software) };
        let first = |can: fn(Algorithm) -> bool| {
            algorithm(&software, Pass::Forward, |shape| shape == Shape::Any, can)
        };
        assert_eq!(first(|algorithm| algorithm != Algorithm::RegisterTiled), Some(Algorithm::Im2col));
        assert_eq!(first(|_| false), None);
    }

    #[test]
    fn rows_after_one_that_takes_everything_are_no_defaults() {
        let target = |vendor| Target { vendor, subgroup: 4, ..Target::baseline(Family::Software) };
        let tiled = |vendor, pass| defaults(&target(vendor), pass).contains(&Algorithm::RegisterTiled);
        assert!(tiled(0, Pass::GradWeight) && tiled(SWIFTSHADER, Pass::Forward));
        assert!(!tiled(SWIFTSHADER, Pass::GradWeight));
        assert!(defaults(&target(SWIFTSHADER), Pass::GradWeight).contains(&Algorithm::Im2col));
    }

    #[test]
    fn requests_take_precedence_over_the_table_and_kernels_over_algorithms() {
        let mut target = Target::baseline(Family::Gpu).with_convolutions(Algorithm::Direct);
        let found =
            |target: &Target| algorithm(target, Pass::Forward, |_| true, |a| a != Algorithm::Winograd);
        assert_eq!(found(&target), Some(Algorithm::Direct));
        target.kernels.push((Pass::Forward, &kernel::IM2COL));
        assert_eq!(found(&target), Some(Algorithm::Im2col));
        // There is no fallback to the table if the requested algorithm does not support the work.
        assert_eq!(found(&Target::baseline(Family::Gpu).with_convolutions(Algorithm::Winograd)), None);
    }
}
