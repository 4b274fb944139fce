//! Matrix product.

mod pieces;

use super::{ChannelSum, Operation, floats};
use crate::graph::Gradient;
use crate::kernel::{self, Kernel, Matmul as Params, MatmulPack, MatmulPanels};
use crate::plan::choice::{self, MatmulAlgorithm, PRODUCTS};
use crate::plan::{Grid, Lowering, Pass, ShapeClass, StorageId, Target};
use crate::{Result, TensorType};

/// op(a) op(b) + bias, where op transposes the last two axes if asked. Inputs: a `[m, k]` and b `[k, n]`, or
/// with an equal batch axis before; optionally bias `[n]`. Output `[m, n]`, or `[batch, m, n]`.
///
/// A fully connected layer is `Matmul { transpose_b: true, .. }` with weight `[out, in]` as b.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Matmul {
    /// a is stored as `[k, m]`.
    pub transpose_a: bool,
    /// b is stored as `[n, k]`.
    pub transpose_b: bool,
}

/// Batch, m, n and k.
fn sizes(op: &Matmul, a: &[usize], b: &[usize]) -> Result<[usize; 4], String> {
    let split = |s: &[usize], transpose: bool| match *s {
        [r, c] => Some((None, if transpose { (c, r) } else { (r, c) })),
        [n, r, c] => Some((Some(n), if transpose { (c, r) } else { (r, c) })),
        _ => None,
    };
    match (split(a, op.transpose_a), split(b, op.transpose_b)) {
        (Some((batch, (m, k))), Some((batch_b, (k_b, n)))) if batch == batch_b && k == k_b => {
            Ok([batch.unwrap_or(1), m, n, k])
        }
        _ => Err(format!(
            "expected {} and {} (or both with an equal batch before), found {a:?} and {b:?}",
            if op.transpose_a { "[k, m]" } else { "[m, k]" },
            if op.transpose_b { "[n, k]" } else { "[k, n]" },
        )),
    }
}

/// The matrix products through workgroup memory, largest tile first.
static TILED: [&Kernel; 5] = [
    &kernel::MATMUL_TILED_128X128,
    &kernel::MATMUL_TILED_64X128,
    &kernel::MATMUL_TILED_64X64,
    &kernel::MATMUL_TILED_32X128,
    &kernel::MATMUL_TILED_16X128,
];

/// Those of operands in panels. The first that fits and pays is taken.
static PANELS: [&Kernel; 3] =
    [&kernel::MATMUL_PANELS_PAIRS, &kernel::MATMUL_PANELS_QUADS, &kernel::MATMUL_PANELS];
static REGISTERS: [&Kernel; 1] = [&kernel::MATMUL_REGISTERS];

/// The kernels that a way of multiplying matrices takes.
pub(crate) fn kernels(way: MatmulAlgorithm) -> &'static [&'static Kernel] {
    match way {
        MatmulAlgorithm::Tiled => &TILED,
        MatmulAlgorithm::Panels => &PANELS,
        MatmulAlgorithm::Registers => &REGISTERS,
    }
}

/// Rows of a that one panel holds nearly all of: a second one at a time would be little but zeros.
const ROWS_OF_ONE: u32 = 24;

/// Operations for which a kernel is worth a longer compilation.
const MANY: u64 = 50_000_000;

/// Workgroups that keep a GPU busy. Fewer leave a part of it idle.
const ENOUGH: u64 = 160;

/// Of kernels that differ in their tiles, the one that suits `batches` products of m x n results, and its
/// number of workgroups: little waste past the edges, enough workgroups, and large tiles, which load less for each result.
pub(super) fn suits(
    target: &Target,
    pass: Pass,
    kernels: &[&'static Kernel],
    [m, n]: [u32; 2],
    batches: u64,
) -> (&'static Kernel, u64) {
    let tiles = |kernel: &Kernel| {
        let [tile_m, tile_n] = ["tile_m", "tile_n"].map(|name| kernel.constant(name));
        batches * m.div_ceil(tile_m) as u64 * n.div_ceil(tile_n) as u64
    };
    let cost = |kernel: &Kernel| {
        let [tile_m, tile_n, each_m, each_n] =
            ["tile_m", "tile_n", "each_m", "each_n"].map(|name| kernel.constant(name) as f64);
        let work = tiles(kernel).max(ENOUGH) as f64 * tile_m * tile_n;
        // Loads for each result: of an invocation from workgroup memory, and of a workgroup from global memory. Weighed so that
        // the choice is within 2 % of the fastest tile on average, over the layers of two ResNets on an H200.
        let loads = 1.0 / each_m + 1.0 / each_n + 16.0 * (1.0 / tile_m + 1.0 / tile_n);
        work * (1.0 + loads)
    };
    let possible = kernels.iter().filter(|kernel| kernel.threads <= target.max_invocations);
    let forced = target.forced(pass).filter(|kernel| kernels.contains(kernel));
    let best = forced.or(possible.min_by(|a, b| cost(a).total_cmp(&cost(b))).copied()).unwrap_or(kernels[0]);
    (best, tiles(best))
}

/// Floating-point operations of a product.
fn flops(p: &Params) -> u64 {
    let per_step = 2 * p.m as u64 * p.n as u64 * p.k as u64 * p.inner as u64;
    let outer = p.batches as u64 / p.inner as u64;
    // The last slice may be short.
    per_step * (outer * p.reduce as u64).min(p.reduce_total as u64).max(outer)
}

/// Emits a matrix product. `operands`: a, b and, where `params.bias` is not 0, the bias.
pub(super) fn launch(
    node: &mut Lowering,
    params: &Params,
    operands: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let target = node.target();
    let can = |way| {
        way != MatmulAlgorithm::Panels
            || (target.subgroup > 0 && panel_bytes(params, target.subgroup) <= target.scratch_limit())
    };
    let forced = PRODUCTS.iter().map(|row| row.way).find(|way| {
        target.forced(Pass::Matmul).is_some_and(|kernel| kernels(*way).contains(&kernel)) && can(*way)
    });
    match forced.or_else(|| choice::first(&PRODUCTS, target, Pass::Matmul, |_, way| can(way))) {
        Some(MatmulAlgorithm::Tiled) => tiled(node, params, operands, c),
        Some(MatmulAlgorithm::Panels) => in_panels(node, params, operands, c),
        Some(MatmulAlgorithm::Registers) | None => in_registers(node, params, operands, c),
    }
}

fn tiled(node: &mut Lowering, p: &Params, operands: [StorageId; 3], c: StorageId) -> Result<()> {
    let (kernel, tiles) = suits(node.target(), Pass::Matmul, &TILED, [p.m, p.n], p.batches as u64);
    node.launch(kernel, p, &operands, &[c], Grid::Workgroups(tiles), flops(p))
}

fn in_registers(node: &mut Lowering, p: &Params, operands: [StorageId; 3], c: StorageId) -> Result<()> {
    let tiles = p.batches as u64 * p.m.div_ceil(16) as u64 * p.n.div_ceil(256) as u64;
    node.launch(&kernel::MATMUL_REGISTERS, p, &operands, &[c], Grid::Workgroups(tiles), flops(p))
}

/// Which operand of a product.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    A,
    B,
}

/// How an operand lies that was made for a product, as `[batch, panel, depth, width]`: row i of a, or column i of b, is
/// in panel i / width, at i % width.
pub(super) struct Order {
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
            Side::A => kernel::MATMUL_PANELS.constant("rows"),
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
    target.subgroup > 0
        && match target.forced(Pass::Matmul) {
            Some(kernel) => PANELS.contains(&kernel),
            None => {
                let way = choice::first(&PRODUCTS, target, Pass::Matmul, |_, _| true);
                way == Some(MatmulAlgorithm::Panels)
            }
        }
}

/// Emits `batches` products of m x n results, a sum of k terms each, from operands that lie in [`Order`].
/// Results: `[batches, m, n]`.
pub(super) fn launch_in_order(
    node: &mut Lowering,
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
        false => launch(node, &params, [a, b, a], c),
    }
}

/// Columns of b that one panel has.
fn panel_width(subgroup: u32) -> u32 {
    8 * subgroup
}

/// Size of the larger operand in panels: thin ones grow.
fn panel_bytes(p: &Params, subgroup: u32) -> u64 {
    let rows = kernel::MATMUL_PANELS.constant("rows");
    let width = p.m.next_multiple_of(rows).max(p.n.next_multiple_of(panel_width(subgroup)));
    4 * p.batches as u64 * width as u64 * (p.reduce.min(p.reduce_total) as u64 * p.k as u64 + 1)
}

/// Both operands are put into panels, and those multiplied.
fn in_panels(node: &mut Lowering, p: &Params, [a, b, bias]: [StorageId; 3], c: StorageId) -> Result<()> {
    let subgroup = node.target().subgroup;
    let (rows, width) = (kernel::MATMUL_PANELS.constant("rows"), panel_width(subgroup));
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
    node: &mut Lowering,
    p: &Params,
    panels: [u32; 2],
    depth: u32,
    [a, b, bias]: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let (target, subgroup) = (node.target(), node.target().subgroup);
    let whole = [p.n, p.c_offset, p.c_row, p.c_outer, p.c_inner].iter().all(|size| size.is_multiple_of(4));
    let forced = target.forced(Pass::Matmul).filter(|kernel| PANELS.contains(kernel));
    let pays = |kernel: &&Kernel| kernel.constant("high") == 1 || (p.m > ROWS_OF_ONE && flops(p) >= MANY);
    let by_worth = forced.into_iter().chain(PANELS.into_iter().filter(pays));
    let mut fitting = by_worth.filter(|kernel| whole || !kernel.has("quads"));
    let kernel = fitting.next().expect("the last one fits everything");
    let params = MatmulPanels {
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

fn pack(node: &mut Lowering, label: &str, p: &MatmulPack, x: StorageId) -> Result<StorageId> {
    let lines = p.batches as usize * p.panels as usize;
    let packed = node.scratch(label, lines * p.depth as usize * p.width as usize);
    let invocations = lines as u64 * p.depth.div_ceil(8) as u64 * (p.width / 4) as u64;
    node.launch(&kernel::MATMUL_PACK, p, &[x], &[packed], Grid::Invocations(invocations), 0)?;
    Ok(packed)
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (a, b, bias) = match inputs.len() {
            3 => {
                let [a, b, bias] = floats(inputs)?;
                (a, b, Some(bias))
            }
            _ => {
                let [a, b] = floats(inputs)?;
                (a, b, None)
            }
        };
        let [batch, m, n, _] = sizes(self, &a.shape, &b.shape)?;
        if let Some(bias) = bias {
            super::expect_shape("a bias", bias, &[n])?;
        }
        Ok(vec![TensorType::f32(if a.shape.len() == 3 { vec![batch, m, n] } else { vec![m, n] })])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        let (a, b, g) = (node.input(0), node.input(1), node.grad_output()?);
        let Matmul { transpose_a: ta, transpose_b: tb } = *self;
        if node.needs(0) {
            let (op, operands) = match ta {
                false => (Matmul { transpose_a: false, transpose_b: !tb }, [g, b]),
                true => (Matmul { transpose_a: tb, transpose_b: true }, [b, g]),
            };
            let grad = node.apply(op, &operands)?[0];
            node.set(0, grad);
        }
        if node.needs(1) {
            let (op, operands) = match tb {
                false => (Matmul { transpose_a: !ta, transpose_b: false }, [a, g]),
                true => (Matmul { transpose_a: true, transpose_b: ta }, [g, a]),
            };
            let grad = node.apply(op, &operands)?[0];
            node.set(1, grad);
        }
        if node.needs(2) {
            let shape = node.ty(g).shape.clone();
            let n = shape[shape.len() - 1];
            let rows =
                node.apply(super::Reshape { shape: vec![shape.iter().product::<usize>() / n, n] }, &[g])?[0];
            let grad = node.apply(ChannelSum, &[rows])?[0];
            node.set(2, grad);
        }
        Ok(())
    }

    fn shape_class(&self, inputs: &[&[usize]]) -> Option<ShapeClass> {
        let sizes = sizes(self, inputs[0], inputs[1]).ok()?;
        let [batch, m, n, k] = sizes.map(usize::next_power_of_two);
        let transposed =
            |yes: bool, name: &str| if yes { format!(", {name} transposed") } else { String::new() };
        let [a, b] = [transposed(self.transpose_a, "a"), transposed(self.transpose_b, "b")];
        let batch = if batch == 1 { String::new() } else { format!("{batch} of ") };
        Some(ShapeClass { pass: Pass::Matmul, shape: format!("{batch}{m}x{n}, {k} terms{a}{b}") })
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        pieces::lower(self, node)
    }
}
