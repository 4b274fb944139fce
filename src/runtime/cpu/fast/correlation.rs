//! Cross-correlation, which computes convolutions and their input gradients: each result is a sum over source planes and
//! taps.

use super::panel::{Axis, Layout};
use super::tile::{self, Rows, SLACK};
use pulp::{Arch, Simd, WithSimd};

/// Maximum number of elements of a panel, so that it stays in the L2 cache.
const PANEL: usize = 1 << 17;

/// Strides of the weights; `weight[at]` is the first weight of the first output plane of the first group.
#[derive(Clone, Copy)]
pub struct Strides {
    /// Per output plane.
    pub result: usize,
    /// Per source plane.
    pub source: usize,
    /// Per group.
    pub group: usize,
    /// Per vertical tap.
    pub down: usize,
}

/// A cross-correlation with given weights, ready to run on images.
pub struct Correlation {
    arch: Arch,
    layout: Layout,
    /// Source and result planes per group.
    planes: [usize; 2],
    /// Offset in the panel for each source plane and tap.
    offsets: Vec<usize>,
    /// The weights, ordered by group, block of results, source plane and tap.
    weights: Vec<f32>,
    /// Result planes per block.
    block: usize,
}

/// Number of output rows that fit in a panel of the target size.
pub fn rows_that_fit(y: &Axis, x: &Axis, planes: usize) -> usize {
    let (one, two) = (Layout::new(y, x, planes, 1).len(), Layout::new(y, x, planes, 2).len());
    PANEL.saturating_sub(one).checked_div(two - one).unwrap_or(y.outs).min(y.outs.max(1) - 1) + 1
}

impl Correlation {
    /// Prepares to compute `rows` rows of results at a time. `planes` are the source and result planes per group.
    pub fn new(
        arch: Arch,
        [y, x]: [&Axis; 2],
        planes: [usize; 2],
        groups: usize,
        rows: usize,
        weight: &[f32],
        strides: Strides,
    ) -> Self {
        let layout = Layout::new(y, x, planes[0], rows);
        let (mut offsets, mut at) = (Vec::new(), Vec::new());
        layout.each(|plane, ty, tx, offset| {
            offsets.push(offset);
            at.push(plane * strides.source + ty.index * strides.down + tx.index);
        });
        let block = arch.dispatch(Rows);
        let mut weights = Vec::with_capacity(groups * planes[1] * at.len());
        for group in 0..groups {
            for results in blocks(planes[1], block) {
                for at in &at {
                    let first = group * strides.group + at;
                    weights.extend(results.clone().map(|m| weight[first + m * strides.result]));
                }
            }
        }
        Self { arch, layout, planes, offsets, weights, block }
    }

    /// Computes rows of one group. `source` holds its source planes, `results` the rows of each result plane from `row` on.
    pub fn run(
        &self,
        group: usize,
        source: &[f32],
        row: usize,
        results: &mut [&mut [f32]],
        bias: Option<&[f32]>,
        panel: &mut Vec<f32>,
    ) {
        panel.resize(self.layout.len() + SLACK, 0.0);
        self.layout.fill(panel, source, row);
        let len = self.planes[1] * self.offsets.len();
        let weights = &self.weights[group * len..][..len];
        self.arch.dispatch(Run { of: self, weights, panel, results, bias });
    }
}

/// Splits results into blocks of `block`, and the rest into smaller powers of two, so that few registers are idle.
fn blocks(results: usize, block: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut rows = block;
        while rows > results - start {
            rows /= 2;
        }
        start += rows;
        (rows > 0).then(|| start - rows..start)
    })
}

struct Run<'a, 'b> {
    of: &'a Correlation,
    weights: &'a [f32],
    panel: &'a [f32],
    results: &'a mut [&'b mut [f32]],
    bias: Option<&'a [f32]>,
}

impl WithSimd for Run<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.tiles::<S, 2>(simd) } else { self.tiles::<S, 3>(simd) }
    }
}

impl Run<'_, '_> {
    /// Loops over output planes inside loops over pixels, so that a tile's pixels stay in the L1 cache.
    #[inline(always)]
    fn tiles<S: Simd, const N: usize>(&mut self, simd: S) {
        let pixels = self.results.first().map_or(0, |plane| plane.len());
        let mut at = 0;
        while at < pixels {
            let mut weights = self.weights;
            for results in blocks(self.results.len(), self.of.block) {
                let (own, rest) = weights.split_at(results.len() * self.of.offsets.len());
                weights = rest;
                match results.len() {
                    8 => self.tile::<S, 8, N>(simd, own, at, results.start),
                    4 => self.tile::<S, 4, N>(simd, own, at, results.start),
                    2 => self.tile::<S, 2, N>(simd, own, at, results.start),
                    _ => self.tile::<S, 1, N>(simd, own, at, results.start),
                }
            }
            at += N * S::F32_LANES;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        weights: &[f32],
        at: usize,
        first: usize,
    ) {
        let mut start = [0.0; M];
        if let Some(bias) = self.bias {
            start.copy_from_slice(&bias[first..][..M]);
        }
        // The panel is empty if no tap is inside the image.
        let panel = self.panel.get(at..).unwrap_or_default();
        let sums = tile::product::<S, M, N>(simd, weights, &self.of.offsets, panel, start);
        for m in 0..M {
            let (out, sums) = (&mut self.results[first + m][at..], bytemuck::cast_slice(&sums[m]));
            if out.len() >= N * S::F32_LANES {
                out[..N * S::F32_LANES].copy_from_slice(sums);
            } else {
                out.copy_from_slice(&sums[..out.len()]);
            }
        }
    }
}
