//! Matrix product in registers, without workgroup memory or subgroups.

use super::super::{Algorithm, Candidate, Pass};
use super::flops;
use crate::Result;
use crate::kernel::{self, Grid, Matmul as Params, StorageId};
use crate::op::Lowering;
use crate::plan::NodeLowering;

pub static CANDIDATES: [Candidate; 1] = [Candidate {
    passes: &[Pass::Matmul],
    algorithm: Algorithm::Registers,
    kernel: &kernel::MATMUL_REGISTERS,
}];

pub(super) fn launch(
    node: &mut NodeLowering,
    p: &Params,
    operands: [StorageId; 3],
    c: StorageId,
) -> Result<()> {
    let tiles = p.batches as u64 * p.m.div_ceil(16) as u64 * p.n.div_ceil(256) as u64;
    node.launch(&kernel::MATMUL_REGISTERS, p, &operands, &[c], Grid::Workgroups(tiles), flops(p))
}
