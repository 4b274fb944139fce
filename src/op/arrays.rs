//! Reductions of all elements of many arrays to one value.

use super::{Lowering, to_u32};
use crate::Result;
use crate::kernel::{self, Arrays, Grid, Kernel, StorageId};

/// Arrays per launch: with the result they are 8 storage buffers, which every device can bind.
pub(super) const PER_LAUNCH: usize = kernel::NON_FINITE.reads;

/// Elements that one workgroup reads at a time.
pub(super) const ELEMENTS: usize = 4 * kernel::NON_FINITE.threads as usize;

/// Most workgroups of a launch. Each writes one partial result, which one workgroup then combines.
const MAX_WORKGROUPS: usize = 256;

/// A range of an input, and its number of elements.
pub(super) type Array = (StorageId, usize);

/// All inputs, largest first, in ranges that fit a binding.
pub(super) fn inputs(node: &mut impl Lowering) -> Vec<Array> {
    let most = node.max_binding_elements();
    let mut arrays: Vec<Array> = Vec::new();
    for i in 0..node.inputs() {
        let (input, len) = (node.input(i), node.input_shape(i).iter().product::<usize>());
        for start in (0..len).step_by(most) {
            let range = start..len.min(start + most);
            arrays.push((node.bind_range(input, range.clone()).0, range.len()));
        }
    }
    arrays.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
    arrays
}

/// Emits launches that reduce arrays to partial results, with so many operations per element. Returns the results.
pub(super) fn reduce(
    node: &mut impl Lowering,
    kernel: &'static Kernel,
    arrays: &[Array],
    flops: u64,
) -> Result<Array> {
    let count = |arrays: &[Array]| arrays.iter().map(|(_, len)| len).sum::<usize>();
    let results = count(arrays).div_ceil(ELEMENTS).min(MAX_WORKGROUPS);
    let partial = node.scratch("partial results", results);
    for (i, some) in arrays.chunks(PER_LAUNCH).enumerate() {
        // The first launch writes all results, the others add to some.
        let groups = if i == 0 { results } else { some[0].1.div_ceil(ELEMENTS).min(results) };
        launch(node, kernel, some, (partial, groups), i > 0, flops * count(some) as u64)?;
    }
    Ok((partial, results))
}

/// Emits a launch that writes results to `out`, one per workgroup, or adds to those there if `keep`.
pub(super) fn launch(
    node: &mut impl Lowering,
    kernel: &'static Kernel,
    arrays: &[Array],
    (out, groups): Array,
    keep: bool,
    flops: u64,
) -> Result<()> {
    // Arrays of length 0 may be bound to anything.
    let mut all = [(arrays[0].0, 0); PER_LAUNCH];
    all[..arrays.len()].copy_from_slice(arrays);
    let params = Arrays::new([to_u32(groups), keep as u32], arrays.iter().map(|(_, len)| to_u32(*len)));
    let grid = Grid::Workgroups(groups as u64);
    node.launch(kernel, &params, &all.map(|(storage, _)| storage), &[out], grid, flops)
}
