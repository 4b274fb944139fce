//! Matrix product of operands packed into panels, which subgroups multiply by broadcasts.

use super::super::{Algorithm, Pass, choose_kernel};
use super::{flops, launch as product};
use crate::Result;
use crate::kernel::{self, Grid, Kernel, Matmul as Params, MatmulPack, MatmulPacked, StorageId};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};

/// Up to this many rows, a kernel that computes two panels of a at a time would compute mostly zeros.
const SINGLE_PANEL_ROWS: u32 = 24;

/// Floating-point operations from which a longer compile time pays off.
const LARGE_FLOPS: u64 = 50_000_000;

/// An operand of a product.
#[derive(Clone, Copy, PartialEq)]
pub enum Operand {
    A,
    B,
}

/// Layout of a packed operand, `[batch, panel, depth, width]`: row i of a, or column i of b, is at i % width of panel
/// i / width.
pub struct PackedLayout {
    pub panels: u32,
    /// Elements along the sum, padded with zeros.
    pub depth: u32,
    /// A multiple of four.
    pub width: u32,
}

impl PackedLayout {
    /// The layout that a target prefers for `count` rows or columns of `depth` elements.
    pub fn new(target: &Target, operand: Operand, count: u32, depth: u32) -> Self {
        if !prefers_packed(target) {
            return Self { panels: 1, depth, width: count.next_multiple_of(4) };
        }
        let width = match operand {
            Operand::A => kernel::MATMUL_PACKED.constant("rows"),
            Operand::B => panel_width(target.subgroup),
        };
        Self { panels: count.div_ceil(width), depth: depth.next_multiple_of(2), width }
    }

    /// Elements of `batches` such operands.
    pub fn elements(&self, batches: u32) -> usize {
        batches as usize * self.panels as usize * self.depth as usize * self.width as usize
    }
}

/// Whether a target prefers packed products.
fn prefers_packed(target: &Target) -> bool {
    super::algorithm(target, |_| true) == Algorithm::Packed
}

/// Emits `batches` products of m x n results, each a sum of k terms, from packed operands. Results: `[batches, m, n]`.
pub fn multiply_packed(
    node: &mut NodeLowering,
    batches: u32,
    [m, n, k]: [u32; 3],
    [(a_layout, a), (b_layout, b)]: [(&PackedLayout, StorageId); 2],
    c: StorageId,
) -> Result<()> {
    let params = Params {
        m,
        n,
        k,
        reduce: 1,
        reduce_total: u32::MAX,
        batches,
        inner: 1,
        a_row: 1,
        a_col: a_layout.width,
        a_outer: a_layout.depth * a_layout.width,
        b_row: b_layout.width,
        b_col: 1,
        b_outer: b_layout.depth * b_layout.width,
        c_row: n,
        c_outer: m * n,
        ..Default::default()
    };
    match prefers_packed(node.target()) {
        true => multiply(node, &params, [a_layout.panels, b_layout.panels], a_layout.depth, [a, b, a], c),
        false => product(node, &params, [a, b, a], c),
    }
}

/// Columns of b in a panel.
fn panel_width(subgroup: u32) -> u32 {
    8 * subgroup
}

/// Bytes of the larger packed operand, padding included.
pub(super) fn bytes(p: &Params, subgroup: u32) -> u64 {
    let rows = kernel::MATMUL_PACKED.constant("rows");
    let width = p.m.next_multiple_of(rows).max(p.n.next_multiple_of(panel_width(subgroup)));
    4 * p.batches as u64 * width as u64 * (p.reduce.min(p.reduce_total) as u64 * p.k as u64 + 1)
}

/// Emits the packing of both operands, then their product.
pub(super) fn launch(
    node: &mut NodeLowering,
    p: &Params,
    [a, b, bias]: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let subgroup = node.target().subgroup;
    let (rows, width) = (kernel::MATMUL_PACKED.constant("rows"), panel_width(subgroup));
    let depth = (p.reduce.min(p.reduce_total) * p.k).next_multiple_of(2);
    let common = MatmulPack {
        batches: p.batches,
        inner: p.inner,
        depth,
        size: p.k,
        reduce: p.reduce,
        reduce_total: p.reduce_total,
        ..Default::default()
    };
    let a_pack = MatmulPack {
        panels: p.m.div_ceil(rows),
        width: rows,
        count: p.m,
        offset: p.a_offset,
        step: p.a_row,
        k_step: p.a_col,
        reduce_step: p.a_reduce,
        outer: p.a_outer,
        inner_step: p.a_inner,
        ..common
    };
    let b_pack = MatmulPack {
        panels: p.n.div_ceil(width),
        width,
        count: p.n,
        offset: p.b_offset,
        step: p.b_col,
        k_step: p.b_row,
        reduce_step: p.b_reduce,
        outer: p.b_outer,
        inner_step: p.b_inner,
        ..common
    };
    let a = pack(node, "panels of a", &a_pack, a)?;
    let b = pack(node, "panels of b", &b_pack, b)?;
    multiply(node, p, [a_pack.panels, b_pack.panels], depth, [a, b, bias], c)
}

/// Emits the product of packed operands.
fn multiply(
    node: &mut NodeLowering,
    p: &Params,
    panels: [u32; 2],
    depth: u32,
    [a, b, bias]: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let (target, subgroup) = (node.target(), node.target().subgroup);
    let vec4 = [p.n, p.c_offset, p.c_row, p.c_outer, p.c_inner].iter().all(|size| size.is_multiple_of(4));
    let worthwhile = |kernel: &Kernel| {
        kernel.constant("high") == 1 || (p.m > SINGLE_PANEL_ROWS && flops(p) >= LARGE_FLOPS)
    };
    let supports = |kernel: &Kernel| vec4 || !kernel.has("vec4");
    let cost = |kernel: &Kernel| if worthwhile(kernel) { 0.0 } else { f64::INFINITY };
    let kernel = choose_kernel(target, Pass::Matmul, Algorithm::Packed, supports, cost);
    let kernel = kernel.expect("the last kernel is scalar and fits any sizes");
    let params = MatmulPacked {
        m: p.m,
        n: p.n,
        depth,
        batches: p.batches,
        inner: p.inner,
        c_offset: p.c_offset,
        c_row: p.c_row,
        c_outer: p.c_outer,
        c_inner: p.c_inner,
        bias: p.bias,
        width: panel_width(subgroup),
    };
    let down = panels[0].div_ceil(kernel.constant("high"));
    let subgroups = down as u64 * panels[1] as u64 * p.batches as u64;
    let grid = Grid::Workgroups(subgroups.div_ceil((kernel.threads / subgroup) as u64));
    node.launch(kernel, &params, &[a, b, bias], &[c], grid, flops(p))
}

fn pack(node: &mut NodeLowering, label: &str, p: &MatmulPack, x: StorageId) -> Result<StorageId> {
    let lines = p.batches as usize * p.panels as usize;
    let packed = node.scratch(label, lines * p.depth as usize * p.width as usize);
    let invocations = lines as u64 * p.depth.div_ceil(8) as u64 * (p.width / 4) as u64;
    node.launch(&kernel::MATMUL_PACK, p, &[x], &[packed], Grid::Invocations(invocations), 0)?;
    Ok(packed)
}
