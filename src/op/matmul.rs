//! Matrix product.

use super::{ChannelSum, Operation, floats};
use crate::graph::Gradient;
use crate::kernel::{self, Kernel, Matmul as Params};
use crate::plan::{Family, Grid, Lowering, Pass, StorageId, Target};
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
static TILED: [&Kernel; 4] = [
    &kernel::MATMUL_TILED_128X128,
    &kernel::MATMUL_TILED_64X64,
    &kernel::MATMUL_TILED_32X128,
    &kernel::MATMUL_TILED_16X128,
];

/// All kernels that multiply matrices.
pub(crate) fn kernels() -> impl Iterator<Item = &'static Kernel> {
    TILED.into_iter().chain([&kernel::MATMUL_REGISTERS, &kernel::MATMUL_SUBGROUPS])
}

/// Workgroups that keep a GPU busy. Fewer leave a part of it idle.
const ENOUGH: u64 = 256;

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
        // Loads for each result: of an invocation from workgroup memory, and of a workgroup from global memory.
        let loads = 1.0 / each_m + 1.0 / each_n + 4.0 * (1.0 / tile_m + 1.0 / tile_n);
        work * (1.0 + loads)
    };
    let possible = kernels.iter().filter(|kernel| kernel.threads <= target.max_invocations);
    let forced = target.forced(pass).filter(|kernel| kernels.contains(kernel));
    let best = forced.or(possible.min_by(|a, b| cost(a).total_cmp(&cost(b))).copied()).unwrap_or(kernels[0]);
    (best, tiles(best))
}

/// The matrix-product kernel that suits a target, and its number of workgroups.
fn kernel_for(target: &Target, p: &Params) -> (&'static Kernel, u64) {
    let tiled = |kernels| suits(target, Pass::Matmul, kernels, [p.m, p.n], p.batches as u64);
    let fixed = |kernel, [rows, columns]: [u32; 2]| {
        (kernel, p.batches as u64 * p.m.div_ceil(rows) as u64 * p.n.div_ceil(columns) as u64)
    };
    let by_subgroups = || fixed(&kernel::MATMUL_SUBGROUPS, [16, 512]);
    let in_registers = || fixed(&kernel::MATMUL_REGISTERS, [16, 256]);
    match target.forced(Pass::Matmul) {
        Some(kernel) if TILED.contains(&kernel) => return tiled(&TILED),
        Some(kernel) if *kernel == kernel::MATMUL_SUBGROUPS && target.subgroup >= 8 => return by_subgroups(),
        Some(kernel) if *kernel == kernel::MATMUL_REGISTERS => return in_registers(),
        _ => {}
    }
    match target.family {
        Family::Gpu => tiled(&TILED),
        Family::Software if target.subgroup >= 8 => by_subgroups(),
        Family::Software | Family::Cpu => in_registers(),
    }
}

/// Emits a matrix product. `operands`: a, b and, where `params.bias` is not 0, the bias.
pub(super) fn launch(
    node: &mut Lowering,
    params: &Params,
    operands: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let (kernel, tiles) = kernel_for(node.target(), params);
    let per_step = 2 * params.m as u64 * params.n as u64 * params.k as u64 * params.inner as u64;
    let outer = params.batches as u64 / params.inner as u64;
    // The last slice may be short.
    let steps = (outer * params.reduce as u64).min(params.reduce_total as u64).max(outer);
    node.launch(kernel, params, &operands, &[c], Grid::Workgroups(tiles), per_step * steps)
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

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let (a, b) = (node.input_shape(0), node.input_shape(1));
        let [batch, m, n, k] = sizes(self, a, b).expect("shapes were checked when the node was made");
        let strides = |transposed: bool, rows: usize, cols: usize| match transposed {
            false => (cols as u32, 1),
            true => (1, rows as u32),
        };
        let (a_row, a_col) = strides(self.transpose_a, m, k);
        let (b_row, b_col) = strides(self.transpose_b, k, n);
        let has_bias = node.inputs() == 3;
        let params = Params {
            m: m as u32,
            n: n as u32,
            k: k as u32,
            reduce: 1,
            reduce_total: u32::MAX,
            batches: batch as u32,
            inner: 1,
            a_row,
            a_col,
            a_outer: (m * k) as u32,
            b_row,
            b_col,
            b_outer: (k * n) as u32,
            c_row: n as u32,
            c_outer: (m * n) as u32,
            bias: has_bias as u32,
            ..Default::default()
        };
        let bias = node.input(if has_bias { 2 } else { 0 });
        let operands = [node.input(0), node.input(1), bias];
        launch(node, &params, operands, node.output(0))
    }
}
