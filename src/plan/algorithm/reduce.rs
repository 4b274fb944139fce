//! Sums over slices: one invocation per result, or a tree reduction on GPUs.

use super::super::{Family, NodeLowering};
use crate::Result;
use crate::kernel::{self, Grid, SliceSum, StorageId};
use crate::op::{Lowering, to_u32};

/// From this many slices on, a GPU uses a tree: in a serial loop every step waits for memory.
const MANY_SLICES: usize = 16;

/// See [`Lowering::sum_slices`].
pub fn sum_slices(
    node: &mut NodeLowering,
    x: StorageId,
    out: StorageId,
    [slices, len]: [usize; 2],
    scale: f32,
    accumulate: bool,
) -> Result<()> {
    let params = SliceSum { len: to_u32(len), slices: to_u32(slices), scale, accumulate: accumulate as u32 };
    let vec4s = (len / 4) as u64;
    let (kernel, invocations) = match len.is_multiple_of(4) {
        true if node.target().family == Family::Gpu && slices >= MANY_SLICES => {
            (&kernel::SLICE_SUM_TREE, 16 * vec4s)
        }
        true => (&kernel::SLICE_SUM_VEC4, vec4s),
        false => (&kernel::SLICE_SUM, len as u64),
    };
    node.launch(kernel, &params, &[x], &[out], Grid::Invocations(invocations), (slices * len) as u64)
}
