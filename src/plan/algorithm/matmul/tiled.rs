//! Tiled matrix product through workgroup memory, and the choice of the tile size, also for implicit GEMM.

use super::super::{Algorithm, Pass, choose_kernel};
use super::flops;
use crate::Result;
use crate::kernel::{Grid, Kernel, Matmul as Params, StorageId};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};

/// Workgroups that fill a GPU.
const TARGET_WORKGROUPS: u64 = 160;

/// Chooses among an algorithm's kernels, which differ in tile size, for `batches` products. `sizes`: the rows, columns and terms
/// that a kernel computes. The cost accounts for padding at the edges, idle processors, and loads per result, which large tiles
/// reduce. Also returns the number of workgroups.
pub fn choose(
    target: &Target,
    pass: Pass,
    algorithm: Algorithm,
    sizes: impl Fn(&Kernel) -> [u64; 3],
    batches: u64,
) -> (&'static Kernel, u64) {
    let tiles = |kernel: &Kernel| tiles(kernel, sizes(kernel), batches);
    let cost = |kernel: &Kernel| {
        let [tile_m, tile_n, each_m, each_n] =
            ["tile_m", "tile_n", "each_m", "each_n"].map(|name| kernel.constant(name) as f64);
        let [.., terms] = sizes(kernel);
        let work = tiles(kernel).max(TARGET_WORKGROUPS) as f64 * tile_m * tile_n * terms as f64;
        // Loads per result from workgroup memory and from global memory. The weight was fitted to the layers of two ResNets on an
        // H200.
        let loads = 1.0 / each_m + 1.0 / each_n + 16.0 * (1.0 / tile_m + 1.0 / tile_n);
        // With few channels, lanes compute more addresses.
        let addresses = if kernel.name.ends_with("stem") { 1.15 } else { 1.0 };
        work * (1.0 + loads) * addresses
    };
    let launchable = |kernel: &Kernel| kernel.threads <= target.max_invocations;
    let kernel = choose_kernel(target, pass, algorithm, launchable, cost);
    // If the device can launch none, fall back to one that it cannot, so that the error names a kernel.
    let kernel = kernel.or_else(|| choose_kernel(target, pass, algorithm, |_| true, cost));
    let kernel = kernel.expect("every kernel can compute any product");
    (kernel, tiles(kernel))
}

/// Number of workgroups.
pub fn tiles(kernel: &Kernel, [m, n, _]: [u64; 3], batches: u64) -> u64 {
    let [tile_m, tile_n] = ["tile_m", "tile_n"].map(|name| kernel.constant(name) as u64);
    batches * m.div_ceil(tile_m) * n.div_ceil(tile_n)
}

pub(super) fn launch(
    node: &mut NodeLowering,
    p: &Params,
    operands: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let sizes = [p.m, p.n, p.k].map(u64::from);
    let (kernel, tiles) = choose(node.target(), Pass::Matmul, Algorithm::Tiled, |_| sizes, p.batches as u64);
    node.launch(kernel, p, &operands, &[c], Grid::Workgroups(tiles), flops(p))
}
