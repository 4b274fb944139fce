//! Matrix products.

mod blocks;
pub(super) mod packed;
pub(super) mod tiled;

use super::preferences::{self, Shape};
use super::{Algorithm, Pass, ShapeClass};
use crate::Result;
use crate::kernel::{self, Grid, Matmul as Params, StorageId};
use crate::op::{Lowering, Matmul};
use crate::plan::{NodeLowering, Target};

pub(super) use blocks::lower;

/// Emits a matrix product. `operands`: a, b and the bias, or a placeholder if `params.bias` is 0.
pub(super) fn launch(
    node: &mut NodeLowering,
    params: &Params,
    operands: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let room = node.target().scratch_limit();
    match algorithm(node.target(), |subgroup| packed::bytes(params, subgroup) <= room) {
        Algorithm::Tiled => tiled::launch(node, params, operands, c),
        Algorithm::Packed => packed::launch(node, params, operands, c),
        _ => registers(node, params, operands, c),
    }
}

/// Emits the product in registers, which needs neither workgroup memory nor subgroups.
fn registers(node: &mut NodeLowering, p: &Params, operands: [StorageId; 3], c: StorageId) -> Result<()> {
    let kernel = &kernel::MATMUL_REGISTERS;
    let tiles = p.batches as u64 * p.m.div_ceil(kernel.constant("rows")) as u64 * p.n.div_ceil(256) as u64;
    node.launch(kernel, p, &operands, &[c], Grid::Workgroups(tiles), flops(p))
}

/// The algorithm for products on a target. `fit`: whether packed operands for a subgroup size fit in scratch memory.
fn algorithm(target: &Target, fit: impl Fn(u32) -> bool) -> Algorithm {
    let can = |algorithm| algorithm != Algorithm::Packed || (target.subgroup > 0 && fit(target.subgroup));
    let found = preferences::algorithm(target, Pass::Matmul, |shape| shape == Shape::Any, can);
    found.unwrap_or(Algorithm::Registers)
}

/// Floating-point operations of a product.
fn flops(p: &Params) -> u64 {
    let per_step = 2 * p.m as u64 * p.n as u64 * p.k as u64 * p.inner as u64;
    let outer = p.batches as u64 / p.inner as u64;
    // The last slice may be short.
    per_step * (outer * p.reduce as u64).min(p.reduce_total as u64).max(outer)
}

/// The tuning class of a product, with sizes rounded up to powers of two.
pub(super) fn shape_class(op: &Matmul, inputs: &[&[usize]]) -> ShapeClass {
    let sizes = op.sizes(inputs[0], inputs[1]).expect("shapes were checked when the node was made");
    let [batch, m, n, k] = sizes.map(usize::next_power_of_two);
    let transposed = |yes: bool, name: &str| if yes { format!(", {name} transposed") } else { String::new() };
    let [a, b] = [transposed(op.transpose_a, "a"), transposed(op.transpose_b, "b")];
    let batch = if batch == 1 { String::new() } else { format!("{batch} of ") };
    ShapeClass { pass: Pass::Matmul, shape: format!("{batch}{m}x{n}, {k} terms{a}{b}") }
}
