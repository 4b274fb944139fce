//! Weight gradients of convolutions.

use super::super::Io;
use super::correlation::rows_that_fit;
use super::panel::{Axis, Layout};
use super::scratch::Scratch;
use super::tile::{self, Images};
use crate::kernel::Conv;
use crate::runtime::cpu::conv::{Geometry, conv_direct_grad_weight};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Minimum number of output channels per task.
const OUTS: usize = 64;
/// Output channels are padded to a multiple of this, the widest vector's lanes.
const LANES: usize = 16;
/// Pixels of an image at a time. The upstream gradients of two vectors of channels there fit the L1 cache.
const PIXELS: usize = 256;
/// Elements of panels that fit the L2 cache along with other data.
const PANELS: usize = 1 << 17;
/// Maximum number of elements of the partial sums of all slices.
const PARTIAL: usize = 1 << 19;

/// dw\[o, c, ky, kx\] = the sum over images and outputs of dy * x.
///
/// Vectors hold output channels: for each pixel, every tap's element times all channels' gradients.
pub fn grad_weight(p: &Conv, io: Io<'_>) {
    grad_weight_on(Arch::new(), p, io);
}

pub(super) fn grad_weight_on(arch: Arch, p: &Conv, io: Io<'_>) {
    let g = Geometry::new(p);
    if g.group_in == 1 && g.group_out == 1 {
        // Depthwise: only one lane would be used.
        return conv_direct_grad_weight(p, io);
    }
    let ([dy, x], [dw]) = io.f32();
    let work = Work::new(&g, p.groups as usize);
    let len = work.groups * work.chunks * work.task;
    let mut partial = Scratch::new(g.batch.div_ceil(work.images) * len);
    let tasks = partial.par_chunks_mut(work.task).enumerate();
    let scratch = <(Vec<f32>, Vec<f32>)>::default;
    tasks.for_each_init(scratch, |scratch, (i, sums)| work.run(arch, i, [x, dy], sums, scratch));
    work.write(&sum_slices(partial, len), &mut dw[..g.out_channels * work.offsets.len()]);
}

/// How the work is divided. A task sums some images for a chunk of output channels.
struct Work<'a> {
    g: &'a Geometry,
    groups: usize,
    layout: Layout,
    /// Offset in the panel for each tap.
    offsets: Vec<usize>,
    /// Rows of outputs in a panel.
    rows: usize,
    /// Images per slice.
    images: usize,
    /// Images processed at once: small ones, so that each sum is read and written less often.
    together: usize,
    /// Output channels per chunk.
    outs: usize,
    /// The same, padded.
    width: usize,
    /// Chunks per group.
    chunks: usize,
    /// Number of sums of a task, `[taps, width]`.
    task: usize,
}

impl<'a> Work<'a> {
    fn new(g: &'a Geometry, groups: usize) -> Self {
        let (y, x) = (Axis::forward(&g.y), Axis::forward(&g.x));
        let rows = rows_that_fit(&y, &x, g.group_in);
        let layout = Layout::new(&y, &x, g.group_in, rows);
        let mut offsets = Vec::new();
        layout.each(|_, _, _, offset| offsets.push(offset));

        // Depends on shapes alone, so that sums do not depend on the number of threads.
        let sums = groups * g.group_out.next_multiple_of(LANES) * offsets.len();
        let images = g.batch.div_ceil((PARTIAL / sums.max(1)).clamp(1, 32));
        let slices = g.batch.div_ceil(images);
        let is_whole = rows >= g.y.outs;
        let together = if is_whole { (PANELS / layout.len().max(1)).clamp(1, images) } else { 1 };
        // Every chunk fills panels of its own, so there are only as many as keep all threads busy.
        let threads = rayon::current_num_threads();
        let is_busy = |outs: usize| {
            let tasks = groups * slices * g.group_out.div_ceil(outs);
            tasks == threads || tasks >= 2 * threads
        };
        let mut outs = OUTS;
        while outs < g.group_out && is_busy(2 * outs) {
            outs *= 2;
        }
        let width = g.group_out.next_multiple_of(LANES).min(outs);
        let (chunks, task) = (g.group_out.div_ceil(outs), offsets.len() * width);
        Self { g, groups, layout, offsets, rows, images, together, outs, width, chunks, task }
    }

    /// Computes the sums of task `i`; chunks are innermost, then groups, then slices.
    fn run(
        &self,
        arch: Arch,
        i: usize,
        [x, dy]: [&[f32]; 2],
        sums: &mut [f32],
        (panels, columns): &mut (Vec<f32>, Vec<f32>),
    ) {
        let Self { g, layout, width, .. } = self;
        let (chunk, group, slice) =
            (i % self.chunks, i / self.chunks % self.groups, i / self.chunks / self.groups);
        let outs = chunk * self.outs..g.group_out.min((chunk + 1) * self.outs);
        let x = |n: usize| &x[(n * g.in_channels + group * g.group_in) * g.in_plane..];
        let dy = |n: usize| {
            let first = n * g.out_channels + group * g.group_out + outs.start;
            &dy[first * g.out_plane..][..outs.len() * g.out_plane]
        };
        sums.fill(0.0);
        let end = g.batch.min((slice + 1) * self.images);
        for first in (slice * self.images..end).step_by(self.together) {
            let images = first..end.min(first + self.together);
            panels.resize(images.len() * layout.len(), 0.0);
            for row in (0..g.y.outs).step_by(self.rows) {
                for (panel, n) in panels.chunks_exact_mut(layout.len().max(1)).zip(images.clone()) {
                    layout.fill(panel, x(n), row);
                }
                let filled = row * g.x.outs..g.y.outs.min(row + self.rows) * g.x.outs;
                for start in filled.clone().step_by(PIXELS) {
                    let pixels = start..filled.end.min(start + PIXELS);
                    columns.resize(images.len() * pixels.len() * width, 0.0);
                    let parts = columns.chunks_exact_mut(pixels.len() * width);
                    for (part, n) in parts.zip(images.clone()) {
                        transpose(dy(n), g.out_plane, pixels.clone(), *width, part);
                    }
                    let (panels, panel) = (&panels[start - filled.start..], layout.len());
                    let images = Images { panels, panel, columns, pixels: pixels.len(), width: *width };
                    arch.dispatch(Block { images, offsets: &self.offsets, sums });
                }
            }
        }
    }

    /// Writes the sums of all groups and chunks to the filters.
    fn write(&self, total: &[f32], dw: &mut [f32]) {
        let (taps, width) = (self.offsets.len(), self.width);
        dw.par_chunks_mut((LANES * taps).max(1)).enumerate().for_each(|(block, filters)| {
            // By square blocks, so that reads stay in the cache.
            for first in (0..taps).step_by(LANES) {
                for (i, filter) in filters.chunks_exact_mut(taps).enumerate() {
                    let o = block * LANES + i;
                    let (group, o) = (o / self.g.group_out, o % self.g.group_out);
                    let task = (group * self.chunks + o / self.outs) * self.task;
                    let sums = total[task..][first * width..self.task].chunks_exact(width);
                    for (dw, sums) in filter[first..].iter_mut().zip(sums).take(LANES) {
                        *dw = sums[o % self.outs];
                    }
                }
            }
        });
    }
}

/// The sum of slices of `len` elements.
fn sum_slices(partial: Scratch, len: usize) -> Scratch {
    if partial.len() == len {
        return partial;
    }
    let mut total = Scratch::new(len);
    total.par_chunks_mut(1 << 12).enumerate().for_each(|(i, total)| {
        let mut sums = [0.0f64; 1 << 12];
        for slice in partial.chunks_exact(len) {
            let slice = &slice[i << 12..][..total.len()];
            sums.iter_mut().zip(slice).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total = sum as f32);
    });
    total
}

/// Columns\[p\]\[o\] = planes\[o\]\[p\] for a range of pixels p; the padding is arbitrary.
fn transpose(
    planes: &[f32],
    plane: usize,
    pixels: std::ops::Range<usize>,
    width: usize,
    columns: &mut [f32],
) {
    for (i, planes) in planes.chunks(LANES * plane).enumerate() {
        // By square blocks, so that writes stay in the cache.
        let mut square = [[0.0; LANES]; LANES];
        for (start, columns) in pixels.clone().step_by(LANES).zip(columns.chunks_mut(LANES * width)) {
            for (square, plane) in square.iter_mut().zip(planes.chunks_exact(plane)) {
                match plane[start..].first_chunk() {
                    Some(pixels) => *square = *pixels,
                    None => square[..plane.len() - start].copy_from_slice(&plane[start..]),
                }
            }
            for (p, columns) in columns.chunks_exact_mut(width).enumerate() {
                let columns: &mut [f32; LANES] =
                    columns[i * LANES..].first_chunk_mut().expect("widths are whole vectors");
                for o in 0..LANES {
                    columns[o] = square[o][p];
                }
            }
        }
    }
}

/// Adds the products of a range of pixels to the sums, `[taps, width]`.
struct Block<'a> {
    images: Images<'a>,
    /// Offset in the panel for each tap.
    offsets: &'a [usize],
    sums: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.tiles::<S, 8>(simd) } else { self.tiles::<S, 6>(simd) }
    }
}

impl Block<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const K: usize>(&mut self, simd: S) {
        let mut first = 0;
        while first < self.images.width {
            let vectors = if self.images.width - first >= 2 * S::F32_LANES { 2 } else { 1 };
            for tap in (0..self.offsets.len()).step_by(K) {
                match vectors {
                    2 => self.tile::<S, K, 2>(simd, tap, first),
                    _ => self.tile::<S, K, 1>(simd, tap, first),
                }
            }
            first += vectors * S::F32_LANES;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const K: usize, const N: usize>(&mut self, simd: S, tap: usize, first: usize) {
        let last = self.offsets.len() - 1;
        let mut offsets = [0; K];
        for (k, offset) in offsets.iter_mut().enumerate() {
            // Results past the last tap are duplicates and are dropped.
            *offset = self.offsets[last.min(tap + k)];
        }
        let products = tile::outer_product::<S, K, N>(simd, &self.images, offsets, first);
        let width = self.images.width;
        let sums = self.sums[tap * width..].chunks_exact_mut(width);
        for (sums, products) in sums.zip(products) {
            let sums: &mut [S::f32s] = bytemuck::cast_slice_mut(&mut sums[first..][..N * S::F32_LANES]);
            for (sum, product) in sums.iter_mut().zip(products) {
                *sum = simd.add_f32s(*sum, product);
            }
        }
    }
}
