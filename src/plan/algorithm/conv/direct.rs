//! Convolution from the definition: one invocation per element of the result.

use super::super::{Algorithm, Candidate, Pass};
use super::{Geometry, Sizes};
use crate::Result;
use crate::kernel::{self, Grid, Kernel, StorageId};
use crate::op::Lowering;
use crate::plan::NodeLowering;

const ALGORITHM: Algorithm = Algorithm::Direct;

pub static CANDIDATES: [Candidate; 3] = [
    Candidate { passes: &[Pass::Forward], algorithm: ALGORITHM, kernel: &kernel::CONV_DIRECT },
    Candidate { passes: &[Pass::GradInput], algorithm: ALGORITHM, kernel: &kernel::CONV_DIRECT_GRAD_INPUT },
    Candidate { passes: &[Pass::GradWeight], algorithm: ALGORITHM, kernel: &kernel::CONV_DIRECT_GRAD_WEIGHT },
];

pub(super) fn launch(
    node: &mut NodeLowering,
    kernel: &'static Kernel,
    reads: &[StorageId],
    output: StorageId,
    g: &Geometry,
) -> Result<()> {
    let s = Sizes::new(g);
    let flops = 2 * g.batch as u64 * g.out_channels as u64 * s.pixels as u64 * s.taps as u64;
    node.launch(kernel, g, reads, &[output], Grid::Invocations(node.output_len(0) as u64), flops)
}
