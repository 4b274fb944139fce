//! Which algorithm computes a pass on which device: a table of which the first row that fits is taken.

use super::{Algorithm, Candidate, Pass, candidates};
use crate::plan::{Family, Target};
use std::fmt;
use std::ops::RangeInclusive;

/// A row of the table: where it applies, and the algorithm to take there.
#[derive(Clone, Debug)]
pub struct Preference {
    /// Kind of executor; `None`: any.
    pub family: Option<Family>,
    /// The adapter's vendor, by its PCI number; `None`: any.
    pub vendor: Option<u32>,
    /// Lanes of every subgroup; 0 is for adapters without a fixed number.
    pub lanes: RangeInclusive<u32>,
    /// What is computed.
    pub passes: &'static [Pass],
    /// Of which shape.
    pub shape: Shape,
    /// The algorithm to take.
    pub algorithm: Algorithm,
}

/// Shapes that a row may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any.
    Any,
    /// Convolutions in groups of fewer channels than 8.
    FewChannels,
    /// Convolutions whose gradient with respect to the input can be computed in one launch for all phases: 3 x 3 taps at stride 2
    /// that halve the image.
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
pub(super) const FEW_CHANNELS: u32 = 8;

const ANY_LANES: RangeInclusive<u32> = 0..=64;
const FIXED_LANES: RangeInclusive<u32> = 4..=64;

/// Convolutions by im2col, on any device.
const CONVOLUTION: Preference = Preference {
    family: None,
    vendor: None,
    lanes: ANY_LANES,
    passes: &Pass::CONVOLUTIONS,
    shape: Shape::Any,
    algorithm: Algorithm::Im2col,
};

/// Matrix products in registers, on any device.
const PRODUCT: Preference =
    Preference { passes: &[Pass::Matmul], algorithm: Algorithm::Registers, ..CONVOLUTION };

/// Convolutions on a software adapter with subgroups of a fixed size.
const SOFTWARE: Preference = Preference { family: Some(Family::Software), lanes: FIXED_LANES, ..CONVOLUTION };

/// Convolutions on a GPU of NVIDIA's.
const NVIDIA: Preference =
    Preference { family: Some(Family::Gpu), vendor: Some(0x10de), lanes: FIXED_LANES, ..CONVOLUTION };

/// All rows.
pub static PREFERENCES: [Preference; 13] = [
    // The fast CPU twins of the direct kernels unfold images in the cache.
    Preference { family: Some(Family::Cpu), algorithm: Algorithm::Direct, ..CONVOLUTION },
    Preference { shape: Shape::FewChannels, algorithm: Algorithm::Direct, ..CONVOLUTION },
    // Measured on lavapipe: a transform costs the same for a channel whatever the number of others, and panels of fewer than 64
    // tiles are partly empty. The register-tiled weight gradients are slower than the convolutions.
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
    Preference { algorithm: Algorithm::RegisterTiled, ..SOFTWARE },
    // Measured on an H200 (docs/measurements.md).
    Preference {
        passes: &[Pass::GradInput],
        shape: Shape::Halving,
        algorithm: Algorithm::RegisterTiled,
        ..NVIDIA
    },
    Preference {
        passes: &[Pass::Forward, Pass::GradInput],
        shape: Shape::Large { channels: 64, tiles: 32 },
        algorithm: Algorithm::Winograd,
        ..NVIDIA
    },
    Preference {
        passes: &[Pass::GradWeight],
        shape: Shape::Large { channels: 128, tiles: 64 },
        algorithm: Algorithm::Winograd,
        ..NVIDIA
    },
    Preference { family: Some(Family::Gpu), algorithm: Algorithm::ImplicitGemm, ..CONVOLUTION },
    CONVOLUTION,
    Preference { family: Some(Family::Gpu), algorithm: Algorithm::Tiled, ..PRODUCT },
    Preference { passes: PRODUCT.passes, algorithm: Algorithm::Packed, ..SOFTWARE },
    PRODUCT,
];

impl Preference {
    fn is_for(&self, target: &Target, pass: Pass) -> bool {
        self.family.is_none_or(|family| family == target.family)
            && self.vendor.is_none_or(|vendor| vendor == target.vendor)
            && self.lanes.contains(&target.subgroup)
            && self.passes.contains(&pass)
    }
}

/// The algorithm for a pass: that of the requested kernel, else the requested one, else that of the first row which is for the
/// target and whose shape the work `is` of; always one that `can` do it. `None` if there is none.
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
        (Some(Candidate { algorithm, .. }), _) => Some(*algorithm),
        (None, Some(requested)) => can(requested).then_some(requested),
        (None, None) => preferred(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_for_the_target_is_taken() {
        let found = |family, vendor, subgroup, pass| {
            let target = Target { vendor, subgroup, ..Target::baseline(family) };
            algorithm(&target, pass, |shape| shape == Shape::Any, |_| true).unwrap()
        };
        assert_eq!(found(Family::Cpu, 0, 0, Pass::GradInput), Algorithm::Direct);
        assert_eq!(found(Family::Software, 0, 8, Pass::Forward), Algorithm::RegisterTiled);
        assert_eq!(found(Family::Software, 0, 0, Pass::Forward), Algorithm::Im2col);
        assert_eq!(found(Family::Software, 0, 8, Pass::Matmul), Algorithm::Packed);
        assert_eq!(found(Family::Gpu, 0x10de, 32, Pass::GradInput), Algorithm::ImplicitGemm);
        // Rows whose algorithm cannot do the work are passed over, and so are rows of other vendors.
        let gpu = |vendor| Target { vendor, subgroup: 32, ..Target::baseline(Family::Gpu) };
        let halving = |target: &Target, can: fn(Algorithm) -> bool| {
            algorithm(target, Pass::GradInput, |shape| matches!(shape, Shape::Any | Shape::Halving), can)
        };
        assert_eq!(halving(&gpu(0x10de), |_| true), Some(Algorithm::RegisterTiled));
        assert_eq!(halving(&gpu(0x1002), |_| true), Some(Algorithm::ImplicitGemm));
        assert_eq!(halving(&gpu(0x10de), |a| a != Algorithm::RegisterTiled), Some(Algorithm::ImplicitGemm));
        assert_eq!(halving(&gpu(0x10de), |_| false), None);
    }

    #[test]
    fn a_requested_algorithm_comes_before_the_table_and_a_kernel_before_both() {
        let mut target = Target::baseline(Family::Gpu).with_convolutions(Algorithm::Direct);
        let found =
            |target: &Target| algorithm(target, Pass::Forward, |_| true, |a| a != Algorithm::Winograd);
        assert_eq!(found(&target), Some(Algorithm::Direct));
        target.kernels.push((Pass::Forward, &crate::kernel::IM2COL));
        assert_eq!(found(&target), Some(Algorithm::Im2col));
        // What cannot do the work is no candidate.
        assert_eq!(found(&Target::baseline(Family::Gpu).with_convolutions(Algorithm::Winograd)), None);
    }
}
