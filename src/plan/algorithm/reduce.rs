//! Sums over slices: one invocation per result, or a tree reduction on GPUs.

use crate::kernel::{self, Grid, Kernel};
use crate::plan::{Family, Target};

/// From this many slices on, a GPU uses a tree: in a serial loop, every step waits for memory.
const MANY_SLICES: usize = 16;

/// The kernel that sums `slices` arrays of `len` elements, and the size of its launch.
pub fn slice_sum(target: &Target, slices: usize, len: usize) -> (&'static Kernel, Grid) {
    let vec4s = (len / 4) as u64;
    let can = |kernel| len.is_multiple_of(4) && target.allows(kernel);
    if target.family == Family::Gpu && slices >= MANY_SLICES && can(&kernel::SLICE_SUM_TREE) {
        (&kernel::SLICE_SUM_TREE, Grid::Invocations(16 * vec4s))
    } else if can(&kernel::SLICE_SUM_VEC4) {
        (&kernel::SLICE_SUM_VEC4, Grid::Invocations(vec4s))
    } else {
        (&kernel::SLICE_SUM, Grid::Invocations(len as u64))
    }
}
