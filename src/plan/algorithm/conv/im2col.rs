//! Convolution by im2col and a matrix product: the baseline, which every target supports.

use super::super::matmul;
use super::{Geometry, MAX_SLICES, Sizes, affordable_slices};
use crate::kernel::{self, Grid, Kernel, Matmul, StorageId};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};
use crate::{Error, Result};

/// Whether the columns would be the image itself.
fn is_pointwise(g: &Geometry) -> bool {
    [g.kernel_h, g.kernel_w, g.stride_h, g.stride_w] == [1; 4] && [g.padding_h, g.padding_w] == [0; 2]
}

/// Chunks whose columns fit in a scratch buffer: several images, or some rows of one.
fn chunks(g: &Geometry, target: &Target) -> Result<Vec<Geometry>> {
    if is_pointwise(g) {
        return Ok(vec![*g]);
    }
    let row = Sizes::new(g).lines as u64 * g.out_w as u64 * 4;
    if row > target.binding_limit() {
        return Err(Error::TooLarge(format!(
            "one row of a convolution's im2col matrix takes {row} bytes, but a binding can have at most {}; use smaller images, smaller kernels or fewer channels",
            target.binding_limit()
        )));
    }
    let rows = (target.scratch_limit() / row).max(1);
    let within = |count: u64, all: u32| u32::try_from(count).unwrap_or(all).min(all);
    let images = within(rows / g.out_h as u64, g.batch);
    let rows = within(rows, g.out_h);
    let mut chunks = Vec::new();
    for image_start in (0..g.batch).step_by(images.max(1) as usize) {
        let images = images.max(1).min(g.batch - image_start);
        for row_start in (0..g.out_h).step_by(rows as usize) {
            chunks.push(Geometry {
                image_start,
                images,
                row_start,
                rows: rows.min(g.out_h - row_start),
                ..*g
            });
        }
    }
    Ok(chunks)
}

/// Scratch memory for the columns of the first chunk, which is the largest.
fn columns(node: &mut NodeLowering, chunks: &[Geometry]) -> StorageId {
    let c = &chunks[0];
    let lines = Sizes::new(c).lines as usize;
    node.scratch("columns", lines * (c.images * c.rows * c.out_w) as usize)
}

fn unfold(
    node: &mut NodeLowering,
    kernel: &'static Kernel,
    c: &Geometry,
    from: StorageId,
    to: StorageId,
) -> Result<()> {
    let columns = Sizes::new(c).lines as u64 * (c.images * c.rows * c.out_w) as u64;
    let image = (c.images * c.in_channels * c.in_h) as u64 * c.in_w as u64;
    let (groups, flops) = if *kernel == kernel::IM2COL {
        (c.images * Sizes::new(c).lines, 0)
    } else {
        (c.images * c.in_channels, columns)
    };
    node.launch(kernel, c, &[from], &[to], Grid::Workgroups(groups as u64), flops)?;
    node.set_bytes(4 * (columns + image));
    Ok(())
}

/// Parameters common to all three products of a chunk: one batch per image and group.
fn product(c: &Geometry, m: u32, n: u32, k: u32) -> Matmul {
    Matmul {
        m,
        n,
        k,
        reduce: 1,
        reduce_total: u32::MAX,
        batches: c.images * c.groups,
        inner: c.groups,
        ..Default::default()
    }
}

/// y = weight * columns for each image.
pub(super) fn forward(node: &mut NodeLowering, g: &Geometry, y: StorageId) -> Result<()> {
    let s = Sizes::new(g);
    let chunks = chunks(g, node.target())?;
    let (x, weight) = (node.input(0), node.input(1));
    let bias = if g.has_bias == 1 { node.input(2) } else { weight };
    let columns = if is_pointwise(g) { x } else { columns(node, &chunks) };
    for c in &chunks {
        if !is_pointwise(g) {
            unfold(node, &kernel::IM2COL, c, x, columns)?;
        }
        let n = c.rows * c.out_w;
        let params = Matmul {
            a_row: s.taps,
            a_col: 1,
            a_inner: s.outs * s.taps,
            b_row: n,
            b_col: 1,
            b_outer: s.lines * n,
            b_inner: s.taps * n,
            c_offset: c.image_start * g.out_channels * s.pixels + c.row_start * g.out_w,
            c_row: s.pixels,
            c_outer: g.out_channels * s.pixels,
            c_inner: s.outs * s.pixels,
            bias: if g.has_bias == 1 { 2 } else { 0 },
            ..product(c, s.outs, n, s.taps)
        };
        matmul::launch(node, &params, [weight, columns, bias], y)?;
    }
    Ok(())
}

/// columns = weight^T * grad_output, then col2im.
pub(super) fn grad_input(node: &mut NodeLowering, g: &Geometry, grad_input: StorageId) -> Result<()> {
    let s = Sizes::new(g);
    let chunks = chunks(g, node.target())?;
    let (grad_output, weight) = (node.input(0), node.input(1));
    let columns = if is_pointwise(g) { grad_input } else { columns(node, &chunks) };
    for c in &chunks {
        let n = c.rows * c.out_w;
        let params = Matmul {
            a_row: 1,
            a_col: s.taps,
            a_inner: s.outs * s.taps,
            b_offset: c.image_start * g.out_channels * s.pixels + c.row_start * g.out_w,
            b_row: s.pixels,
            b_col: 1,
            b_outer: g.out_channels * s.pixels,
            b_inner: s.outs * s.pixels,
            c_row: n,
            c_outer: s.lines * n,
            c_inner: s.taps * n,
            ..product(c, s.taps, n, s.outs)
        };
        matmul::launch(node, &params, [weight, grad_output, weight], columns)?;
        if !is_pointwise(g) {
            let part = Geometry { accumulate: (c.row_start > 0) as u32, ..*c };
            unfold(node, &kernel::COL2IM, &part, columns, grad_input)?;
        }
    }
    Ok(())
}

/// The sum over images of grad_output * columns^T: slices of images in parallel, then their sum.
pub(super) fn grad_weight(node: &mut NodeLowering, g: &Geometry) -> Result<()> {
    let s = Sizes::new(g);
    let chunks = chunks(g, node.target())?;
    let (x, grad_output, grad_weight) = (node.input(0), node.input(1), node.output(0));
    let columns = if is_pointwise(g) { x } else { columns(node, &chunks) };
    let len = g.out_channels * s.taps;
    let reduce = chunks[0].images.div_ceil(affordable_slices(node.target(), len, MAX_SLICES));
    let most = chunks[0].images.div_ceil(reduce);
    let whole = chunks.len() == 1 && most == 1;
    let partial = if whole { grad_weight } else { node.scratch("slices", (most * len) as usize) };
    for (i, c) in chunks.iter().enumerate() {
        if !is_pointwise(g) {
            unfold(node, &kernel::IM2COL, c, x, columns)?;
        }
        let k = c.rows * c.out_w;
        let slices = c.images.div_ceil(reduce);
        let params = Matmul {
            reduce,
            reduce_total: c.images,
            batches: slices * g.groups,
            a_offset: c.image_start * g.out_channels * s.pixels + c.row_start * g.out_w,
            a_row: s.pixels,
            a_col: 1,
            a_reduce: g.out_channels * s.pixels,
            a_outer: reduce * g.out_channels * s.pixels,
            a_inner: s.outs * s.pixels,
            b_row: 1,
            b_col: k,
            b_reduce: s.lines * k,
            b_outer: reduce * s.lines * k,
            b_inner: s.taps * k,
            c_row: s.taps,
            c_outer: len,
            c_inner: s.outs * s.taps,
            ..product(c, s.outs, s.taps, k)
        };
        matmul::launch(node, &params, [grad_output, columns, grad_output], partial)?;
        if !whole {
            node.sum_slices(partial, grad_weight, [slices as usize, len as usize], 1.0, i > 0)?;
        }
    }
    Ok(())
}
