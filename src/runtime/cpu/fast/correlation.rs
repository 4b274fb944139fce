//! Cross-correlation, which computes convolutions and their input gradients: each result is a sum over source planes and
//! taps.

use super::panel::{Axis, Layout};
use super::scratch::Scratch;
use super::tile::{self, SLACK, Size};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

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
    weights: Scratch,
    /// Result planes per block.
    block: usize,
}

/// Number of images to compute together, so that their pixels fill whole tiles: small images have few. With few images for each
/// thread, only one.
pub fn images_per_tile(arch: Arch, pixels: usize, batch: usize) -> usize {
    let Size { vectors, lanes, .. } = Size::new(arch);
    let own = pixels.div_ceil(lanes);
    let images = (1..vectors).find(|images| (images * own).is_multiple_of(vectors)).unwrap_or(vectors);
    if batch.div_ceil(images) < 2 * rayon::current_num_threads() { 1 } else { images }
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
        let (mut offsets, mut taps) = (Vec::new(), Vec::new());
        layout.each(|plane, ty, tx, offset| {
            offsets.push(offset);
            if plane == 0 {
                taps.push(ty.index * strides.down + tx.index);
            }
        });
        let block = Size::new(arch).rows;
        let mut weights = Scratch::new(groups * planes[1] * offsets.len());
        let (mut parts, mut rest) = (Vec::new(), &mut weights[..]);
        for group in 0..groups {
            for results in blocks(planes[1], block) {
                let own;
                (own, rest) = rest.split_at_mut(results.len() * offsets.len());
                let weight = &weight[group * strides.group + results.start * strides.result..];
                parts.push((own, weight, results.len()));
            }
        }
        parts.into_par_iter().for_each(|(own, weight, results)| match results {
            8 => pack::<8>(own, weight, strides, &taps),
            4 => pack::<4>(own, weight, strides, &taps),
            2 => pack::<2>(own, weight, strides, &taps),
            _ => pack::<1>(own, weight, strides, &taps),
        });
        Self { arch, layout, planes, offsets, weights, block }
    }

    /// Computes rows of one group of some images. `sources` hold the source planes of each image, `results` the rows of each result
    /// plane from `row` on, image by image.
    pub fn run(
        &self,
        group: usize,
        sources: &[&[f32]],
        row: usize,
        results: &mut [&mut [f32]],
        bias: Option<&[f32]>,
        panel: &mut Vec<f32>,
    ) {
        let image = self.layout.len();
        panel.resize(sources.len() * image + SLACK, 0.0);
        for (panel, source) in panel.chunks_exact_mut(image.max(1)).zip(sources) {
            self.layout.fill(panel, source, row);
        }
        let len = self.planes[1] * self.offsets.len();
        let weights = &self.weights[group * len..][..len];
        self.arch.dispatch(Run { of: self, weights, panel, results, bias });
    }
}

/// Orders the weights of `M` results by source plane and tap. `weight` starts with the first result.
fn pack<const M: usize>(own: &mut [f32], weight: &[f32], strides: Strides, taps: &[usize]) {
    for (plane, own) in own.chunks_exact_mut((M * taps.len()).max(1)).enumerate() {
        let weight = &weight[plane * strides.source..];
        for (own, tap) in own.as_chunks_mut::<M>().0.iter_mut().zip(taps) {
            for (m, own) in own.iter_mut().enumerate() {
                *own = weight[tap + m * strides.result];
            }
        }
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
        match Size::of::<S>().vectors {
            2 => self.tiles::<S, 2>(simd),
            _ => self.tiles::<S, 3>(simd),
        }
    }
}

impl Run<'_, '_> {
    /// Loops over output planes inside loops over pixels, so that a tile's pixels stay in the L1 cache.
    #[inline(always)]
    fn tiles<S: Simd, const N: usize>(&mut self, simd: S) {
        let pixels = self.results.first().map_or(0, |plane| plane.len());
        let planes = self.of.planes[1];
        let own = pixels.div_ceil(S::F32_LANES);
        let all = self.results.len() / planes * own;
        for first in (0..all).step_by(N) {
            // The image of each vector, and its first pixel there. The last tile repeats a vector.
            let vectors = std::array::from_fn(|n| {
                let vector = (first + n).min(all - 1);
                (vector / own, vector % own * S::F32_LANES)
            });
            let mut weights = self.weights;
            for results in blocks(planes, self.of.block) {
                let (own, rest) = weights.split_at(results.len() * self.of.offsets.len());
                weights = rest;
                match results.len() {
                    8 => self.tile::<S, 8, N>(simd, own, vectors, results.start),
                    4 => self.tile::<S, 4, N>(simd, own, vectors, results.start),
                    2 => self.tile::<S, 2, N>(simd, own, vectors, results.start),
                    _ => self.tile::<S, 1, N>(simd, own, vectors, results.start),
                }
            }
        }
    }

    /// `vectors`: the image of each vector of pixels, and its first pixel there.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        weights: &[f32],
        vectors: [(usize, usize); N],
        first: usize,
    ) {
        let mut start = [0.0; M];
        if let Some(bias) = self.bias {
            start.copy_from_slice(&bias[first..][..M]);
        }
        let (image, planes) = (self.of.layout.len(), self.of.planes[1]);
        // The panel is empty if no tap is inside the image.
        let panels = vectors.map(|(n, at)| self.panel.get(n * image + at..).unwrap_or_default());
        let sums = tile::product::<S, M, N>(simd, weights, &self.of.offsets, panels, start);
        for m in 0..M {
            for n in 0..N {
                let (image, at) = vectors[n];
                let out = &mut self.results[image * planes + first + m][at..];
                let sums: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&sums[m][n]));
                let len = out.len().min(sums.len());
                out[..len].copy_from_slice(&sums[..len]);
            }
        }
    }
}
