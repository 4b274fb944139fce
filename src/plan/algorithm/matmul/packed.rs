//! Matrix product of operands packed into panels, which subgroups multiply by broadcasts.

use super::super::{self as algorithm, Algorithm, Candidate, Pass};
use super::{flops, launch as product};
use crate::Result;
use crate::kernel::{self, Grid, Kernel, Matmul as Params, MatmulPack, MatmulPacked, StorageId};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};

const fn candidate(kernel: &'static Kernel) -> Candidate {
    Candidate { passes: &[Pass::Matmul], algorithm: Algorithm::Packed, kernel }
}

/// The first that fits and pays is taken.
pub static CANDIDATES: [Candidate; 3] = [
    candidate(&kernel::MATMUL_PACKED_PAIRS),
    candidate(&kernel::MATMUL_PACKED_VEC4),
    candidate(&kernel::MATMUL_PACKED),
];

/// Rows of a that one panel holds nearly all of: a second one at a time would be little but zeros.
const ROWS_OF_ONE: u32 = 24;

/// Operations for which a kernel is worth a longer compilation.
const MANY: u64 = 50_000_000;

/// Which operand of a product.
#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    A,
    B,
}

/// How an operand lies that was made for a product, as `[batch, panel, depth, width]`: row i of a, or column i of b, is
/// in panel i / width, at i % width.
pub struct Order {
    pub panels: u32,
    /// Numbers along the sum; past the last that there is must be zeros.
    pub depth: u32,
    /// A multiple of four.
    pub width: u32,
}

impl Order {
    /// What suits a target, for `count` rows or columns of `depth` numbers.
    pub fn new(target: &Target, side: Side, count: u32, depth: u32) -> Self {
        if !takes_panels(target) {
            return Self { panels: 1, depth, width: count.next_multiple_of(4) };
        }
        let width = match side {
            Side::A => kernel::MATMUL_PACKED.constant("rows"),
            Side::B => panel_width(target.subgroup),
        };
        Self { panels: count.div_ceil(width), depth: depth.next_multiple_of(2), width }
    }

    /// Size of so many of them.
    pub fn elements(&self, batches: u32) -> usize {
        batches as usize * self.panels as usize * self.depth as usize * self.width as usize
    }
}

/// Whether a target's products are best made of panels.
fn takes_panels(target: &Target) -> bool {
    super::algorithm(target, |_| true) == Algorithm::Packed
}

/// Emits `batches` products of m x n results, a sum of k terms each, from operands that lie in [`Order`].
/// Results: `[batches, m, n]`.
pub fn multiply_ordered(
    node: &mut NodeLowering,
    batches: u32,
    [m, n, k]: [u32; 3],
    [(a_order, a), (b_order, b)]: [(&Order, StorageId); 2],
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
        a_col: a_order.width,
        a_outer: a_order.depth * a_order.width,
        b_row: b_order.width,
        b_col: 1,
        b_outer: b_order.depth * b_order.width,
        c_row: n,
        c_outer: m * n,
        ..Default::default()
    };
    match takes_panels(node.target()) {
        true => multiply(node, &params, [a_order.panels, b_order.panels], a_order.depth, [a, b, a], c),
        false => product(node, &params, [a, b, a], c),
    }
}

/// Columns of b that one panel has.
fn panel_width(subgroup: u32) -> u32 {
    8 * subgroup
}

/// Size of the larger operand in panels: thin ones grow.
pub(super) fn bytes(p: &Params, subgroup: u32) -> u64 {
    let rows = kernel::MATMUL_PACKED.constant("rows");
    let width = p.m.next_multiple_of(rows).max(p.n.next_multiple_of(panel_width(subgroup)));
    4 * p.batches as u64 * width as u64 * (p.reduce.min(p.reduce_total) as u64 * p.k as u64 + 1)
}

/// Both operands are put into panels, and those multiplied.
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

/// Multiplies two operands in panels.
fn multiply(
    node: &mut NodeLowering,
    p: &Params,
    panels: [u32; 2],
    depth: u32,
    [a, b, bias]: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let (target, subgroup) = (node.target(), node.target().subgroup);
    let whole = [p.n, p.c_offset, p.c_row, p.c_outer, p.c_inner].iter().all(|size| size.is_multiple_of(4));
    let pays = |kernel: &Kernel| kernel.constant("high") == 1 || (p.m > ROWS_OF_ONE && flops(p) >= MANY);
    let fits = |kernel: &Kernel| whole || !kernel.has("vec4");
    let cost = |kernel: &Kernel| if pays(kernel) { 0.0 } else { f64::INFINITY };
    let kernel = algorithm::kernel(target, Pass::Matmul, Algorithm::Packed, fits, cost);
    let kernel = kernel.expect("the last one fits everything");
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
