//! Products of matrices larger than a binding, split into blocks.

use super::{Matmul, Params, launch};
use crate::kernel::StorageId;
use crate::op::{Lowering, WeightedSum, launch_weighted_sum, to_u32};
use crate::plan::{ALIGNMENT_ELEMENTS, NodeLowering};
use crate::{Error, Result};
use std::ops::Range;

/// Sizes of the whole product.
struct Product {
    op: Matmul,
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

/// The block that one launch computes.
struct Block {
    batch: Range<usize>,
    m: Range<usize>,
    n: Range<usize>,
    k: Range<usize>,
}

/// Emits the products of a node: one launch if every matrix fits in a binding, otherwise one per block. Matrices are split along
/// their outer axis first, because the part of a matrix that a launch reads must be one range of memory.
pub fn lower(op: &Matmul, node: &mut NodeLowering) -> Result<()> {
    let [batch, m, n, k] = op
        .sizes(&node.input_shape(0), &node.input_shape(1))
        .expect("shapes were checked when the node was made");
    let product = Product { op: *op, batch, m, n, k };
    let max_block = product.max_block(node)?;
    let c = node.output(0);
    // If the sum over k is split, all blocks but the first are computed in scratch memory and then added.
    let next = if max_block[3] < k { Some(node.scratch("next terms", node.output_len(0))) } else { None };
    for terms in blocks(k, max_block[3]) {
        let to = next.filter(|_| terms.start > 0).unwrap_or(c);
        for batch in blocks(batch, max_block[0]) {
            for m in blocks(m, max_block[1]) {
                for n in blocks(n, max_block[2]) {
                    let block = Block { batch: batch.clone(), m: m.clone(), n, k: terms.clone() };
                    product.launch_block(node, &block, to)?;
                }
            }
        }
        if to != c {
            launch_weighted_sum(node, &WeightedSum { alpha: 1.0, beta: 1.0 }, to, c)?;
        }
    }
    Ok(())
}

fn blocks(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(most).map(move |start| start..len.min(start + most))
}

impl Product {
    /// Largest blocks of batch, m, n and k.
    fn max_block(&self, node: &NodeLowering) -> Result<[usize; 4]> {
        let Self { op, batch, m, n, k } = *self;
        let matrices = [m * k, k * n, m * n];
        let capacity = node.max_binding_elements();
        if matrices.iter().all(|size| batch * size <= capacity) {
            return Ok([batch, m, n, k]);
        }
        // Aligning the start of a range may extend it to the left.
        let capacity = capacity.saturating_sub(ALIGNMENT_ELEMENTS);
        let whole_matrices = matrices.iter().map(|size| capacity / size).min().unwrap_or(0);
        if whole_matrices > 0 {
            return Ok([whole_matrices.min(batch), m, n, k]);
        }
        let lines = |cut: bool, width: usize| if cut { capacity / width } else { usize::MAX };
        let rows = m.min(capacity / n).min(lines(!op.transpose_a, k));
        let terms = k.min(lines(op.transpose_a, m)).min(lines(!op.transpose_b, n));
        let columns = match lines(op.transpose_b, k) {
            columns if columns >= n => n,
            columns if node.inputs() == 3 => columns / ALIGNMENT_ELEMENTS * ALIGNMENT_ELEMENTS, // so that the bias can be bound
            columns => columns,
        };
        match [1, rows, columns, terms] {
            block if block.contains(&0) => Err(Error::TooLarge(format!(
                "even a few rows or columns of the product of {m}x{k} and {k}x{n} exceed a binding; use fewer features"
            ))),
            block => Ok(block),
        }
    }

    fn launch_block(&self, node: &mut NodeLowering, block: &Block, c: StorageId) -> Result<()> {
        let Self { op, m, n, k, .. } = *self;
        let (rows, columns, terms) = ((m, &block.m), (n, &block.n), (k, &block.k));
        let strides = |transposed, width| if transposed { (1, to_u32(width)) } else { (to_u32(width), 1) };
        let a_axes = stored_axes(op.transpose_a, rows, terms);
        let b_axes = stored_axes(op.transpose_b, terms, columns);
        let (a, a_offset) = bind_block(node, node.input(0), &block.batch, a_axes);
        let (b, b_offset) = bind_block(node, node.input(1), &block.batch, b_axes);
        let (c, c_offset) = bind_block(node, c, &block.batch, [rows, columns]);
        let (a_row, a_col) = strides(op.transpose_a, a_axes[1].0);
        let (b_row, b_col) = strides(op.transpose_b, b_axes[1].0);
        let has_bias = node.inputs() == 3 && block.k.start == 0;
        let bias = if has_bias { node.bind_range(node.input(2), block.n.clone()).0 } else { a };
        let params = Params {
            m: to_u32(block.m.len()),
            n: to_u32(block.n.len()),
            k: to_u32(block.k.len()),
            reduce: 1,
            reduce_total: u32::MAX,
            batches: to_u32(block.batch.len()),
            inner: 1,
            a_offset,
            a_row,
            a_col,
            a_outer: to_u32(m * k),
            b_offset,
            b_row,
            b_col,
            b_outer: to_u32(k * n),
            c_offset,
            c_row: to_u32(n),
            c_outer: to_u32(m * n),
            bias: has_bias as u32,
            ..Default::default()
        };
        launch(node, &params, [a, b, bias], c)
    }
}

/// The size of an axis, and the block's range along it.
type Axis<'p> = (usize, &'p Range<usize>);

/// The axes of a matrix in storage order, outer first.
fn stored_axes<'p>(transposed: bool, down: Axis<'p>, across: Axis<'p>) -> [Axis<'p>; 2] {
    if transposed { [across, down] } else { [down, across] }
}

/// Binds the range of a matrix that contains a block. Returns the range and the block's offset in it.
fn bind_block(
    node: &mut NodeLowering,
    matrix: StorageId,
    batch: &Range<usize>,
    [outer, inner]: [Axis; 2],
) -> (StorageId, u32) {
    let line = |batch: usize, line: usize| (batch * outer.0 + line) * inner.0;
    let (range, before) =
        node.bind_range(matrix, line(batch.start, outer.1.start)..line(batch.end - 1, outer.1.end));
    (range, before + to_u32(inner.1.start))
}
