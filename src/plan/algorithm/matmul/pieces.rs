//! Products of matrices larger than a binding, in pieces that can be bound.

use super::{Matmul, Params, launch};
use crate::kernel::StorageId;
use crate::op::{Blend, Lowering, blend, word};
use crate::plan::{ALIGNED, NodeLowering};
use crate::{Error, Result};
use std::ops::Range;

/// Rows, columns and terms of all products.
struct Product {
    op: Matmul,
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

/// What one launch computes.
struct Piece {
    batch: Range<usize>,
    m: Range<usize>,
    n: Range<usize>,
    k: Range<usize>,
}

/// Emits the products of a node: one launch where all its matrices can be bound. Else they are cut along the outer of their axes,
/// for what a launch needs of a matrix must lie in one range of memory.
pub fn lower(op: &Matmul, node: &mut NodeLowering) -> Result<()> {
    let [batch, m, n, k] = op
        .sizes(&node.input_shape(0), &node.input_shape(1))
        .expect("shapes were checked when the node was made");
    let product = Product { op: *op, batch, m, n, k };
    let most = product.most(node)?;
    let c = node.output(0);
    // Of a sum in several pieces, all but the first are computed by themselves and added.
    let next = if most[3] < k { Some(node.scratch("next terms", node.output_len(0))) } else { None };
    for terms in pieces(k, most[3]) {
        let to = next.filter(|_| terms.start > 0).unwrap_or(c);
        for batch in pieces(batch, most[0]) {
            for m in pieces(m, most[1]) {
                for n in pieces(n, most[2]) {
                    let piece = Piece { batch: batch.clone(), m: m.clone(), n, k: terms.clone() };
                    product.emit(node, &piece, to)?;
                }
            }
        }
        if to != c {
            blend(node, &Blend { keep: 1.0, take: 1.0 }, to, c)?;
        }
    }
    Ok(())
}

fn pieces(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(most).map(move |start| start..len.min(start + most))
}

impl Product {
    /// Largest pieces of batch, m, n and k.
    fn most(&self, node: &NodeLowering) -> Result<[usize; 4]> {
        let Self { op, batch, m, n, k } = *self;
        let matrices = [m * k, k * n, m * n];
        let room = node.most_elements();
        if matrices.iter().all(|size| batch * size <= room) {
            return Ok([batch, m, n, k]);
        }
        // A part may have to start a little before what is wanted of it.
        let room = room.saturating_sub(ALIGNED);
        let at_once = matrices.iter().map(|size| room / size).min().unwrap_or(0);
        if at_once > 0 {
            return Ok([at_once.min(batch), m, n, k]);
        }
        let lines = |cut: bool, width: usize| if cut { room / width } else { usize::MAX };
        let rows = m.min(room / n).min(lines(!op.transpose_a, k));
        let terms = k.min(lines(op.transpose_a, m)).min(lines(!op.transpose_b, n));
        let columns = match lines(op.transpose_b, k) {
            columns if columns >= n => n,
            columns if node.inputs() == 3 => columns / ALIGNED * ALIGNED, // where the bias can be bound
            columns => columns,
        };
        match [1, rows, columns, terms] {
            most if most.contains(&0) => Err(Error::TooLarge(format!(
                "a few lines of the product of {m}x{k} and {k}x{n} are more than a binding can have here; use fewer features"
            ))),
            most => Ok(most),
        }
    }

    fn emit(&self, node: &mut NodeLowering, piece: &Piece, c: StorageId) -> Result<()> {
        let Self { op, m, n, k, .. } = *self;
        let (rows, columns, terms) = ((m, &piece.m), (n, &piece.n), (k, &piece.k));
        let strides = |transposed, width| if transposed { (1, word(width)) } else { (word(width), 1) };
        let a_axes = stored(op.transpose_a, rows, terms);
        let b_axes = stored(op.transpose_b, terms, columns);
        let (a, a_offset) = bind(node, node.input(0), &piece.batch, a_axes);
        let (b, b_offset) = bind(node, node.input(1), &piece.batch, b_axes);
        let (c, c_offset) = bind(node, c, &piece.batch, [rows, columns]);
        let (a_row, a_col) = strides(op.transpose_a, a_axes[1].0);
        let (b_row, b_col) = strides(op.transpose_b, b_axes[1].0);
        let has_bias = node.inputs() == 3 && piece.k.start == 0;
        let bias = if has_bias { node.part(node.input(2), piece.n.clone()).0 } else { a };
        let params = Params {
            m: word(piece.m.len()),
            n: word(piece.n.len()),
            k: word(piece.k.len()),
            reduce: 1,
            reduce_total: u32::MAX,
            batches: word(piece.batch.len()),
            inner: 1,
            a_offset,
            a_row,
            a_col,
            a_outer: word(m * k),
            b_offset,
            b_row,
            b_col,
            b_outer: word(k * n),
            c_offset,
            c_row: word(n),
            c_outer: word(m * n),
            bias: has_bias as u32,
            ..Default::default()
        };
        launch(node, &params, [a, b, bias], c)
    }
}

/// Size of an axis, and the piece of it.
type Axis<'p> = (usize, &'p Range<usize>);

/// The axes of a matrix as it is stored, the outer one first.
fn stored<'p>(transposed: bool, down: Axis<'p>, across: Axis<'p>) -> [Axis<'p>; 2] {
    if transposed { [across, down] } else { [down, across] }
}

/// The part of a matrix, stored as lines of its inner axis, that has a piece; and where in it that starts.
fn bind(
    node: &mut NodeLowering,
    of: StorageId,
    batch: &Range<usize>,
    [outer, inner]: [Axis; 2],
) -> (StorageId, u32) {
    let line = |batch: usize, line: usize| (batch * outer.0 + line) * inner.0;
    let (part, before) = node.part(of, line(batch.start, outer.1.start)..line(batch.end - 1, outer.1.end));
    (part, before + word(inner.1.start))
}
