//! Tiled matrix product through workgroup memory, and the choice of the tile size, also for implicit GEMM.

use super::super::{self as algorithm, Algorithm, Candidate, Pass};
use super::flops;
use crate::Result;
use crate::kernel::{self, Grid, Kernel, Matmul as Params, StorageId};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};

const fn candidate(kernel: &'static Kernel) -> Candidate {
    Candidate { passes: &[Pass::Matmul], algorithm: Algorithm::Tiled, kernel }
}

/// Largest tile first.
pub static CANDIDATES: [Candidate; 5] = [
    candidate(&kernel::MATMUL_TILED_128X128),
    candidate(&kernel::MATMUL_TILED_64X128),
    candidate(&kernel::MATMUL_TILED_64X64),
    candidate(&kernel::MATMUL_TILED_32X128),
    candidate(&kernel::MATMUL_TILED_16X128),
];

/// Workgroups that fill a GPU.
const TARGET_WORKGROUPS: u64 = 160;

/// Chooses among an algorithm's kernels, which differ in tile size, for `batches` products of m x n results. Weighs waste at the
/// edges, idle processors, and loads per result, of which large tiles need fewer. Returns the number of workgroups too.
pub fn choose(
    target: &Target,
    pass: Pass,
    algorithm: Algorithm,
    can: impl Fn(&Kernel) -> bool,
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
        let work = tiles(kernel).max(TARGET_WORKGROUPS) as f64 * tile_m * tile_n;
        // Loads per result: by an invocation from workgroup memory, and by a workgroup from global memory. With this weight the
        // choice is within 2 % of the fastest tile on average, over the layers of two ResNets on an H200.
        let loads = 1.0 / each_m + 1.0 / each_n + 16.0 * (1.0 / tile_m + 1.0 / tile_n);
        work * (1.0 + loads)
    };
    let launchable = |kernel: &Kernel| kernel.threads <= target.max_invocations && can(kernel);
    let kernel = algorithm::kernel(target, pass, algorithm, launchable, cost);
    // Fall back to a kernel that the device cannot launch, so that the error names it.
    let kernel = kernel.or_else(|| algorithm::kernel(target, pass, algorithm, &can, cost));
    let kernel = kernel.expect("there is a kernel for any number of taps");
    (kernel, tiles(kernel))
}

pub(super) fn launch(
    node: &mut NodeLowering,
    p: &Params,
    operands: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let (kernel, tiles) =
        choose(node.target(), Pass::Matmul, Algorithm::Tiled, |_| true, [p.m, p.n], p.batches as u64);
    node.launch(kernel, p, &operands, &[c], Grid::Workgroups(tiles), flops(p))
}
