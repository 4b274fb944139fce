//! Fuses the sums over slices that end the weight gradients of several layers into one launch. Each is small, and a GPU takes
//! as long to start it as to run it. The gradients must be contiguous, as horizontal fusion makes small ones.

use super::{Group, Launch, Storage, StorageId, Target, locate, remove_launches};
use crate::kernel::{self, Grid, SliceSum, SliceSums};
use crate::op::to_u32;
use std::ops::Range;

/// Arrays per launch: with the result they are 8 storage buffers, which every device can bind.
const PER_LAUNCH: usize = kernel::SLICE_SUMS.reads;

/// Maximum bytes of slices that a launch sums. They stay in memory until then.
const MAX_BYTES: u64 = 24 << 20;

/// Replaces the last sum of each batch by one launch for all of them, and removes the others.
pub(super) fn fuse(storages: &[Storage], launches: &mut Vec<Launch>, groups: &mut [Group], target: &Target) {
    // Recomputation is for lack of memory.
    if target.recompute || !target.allows(&kernel::SLICE_SUMS) {
        return;
    }
    let mut removed = vec![false; launches.len()];
    for batch in batches(storages, launches, target) {
        let [others @ .., last] = &batch[..] else { continue };
        if others.is_empty() {
            continue;
        }
        if let Some(launch) = merged(storages, batch.iter().map(|at| &launches[*at]), target) {
            launches[*last] = launch;
            others.iter().for_each(|at| removed[*at] = true);
        }
    }
    remove_launches(launches, groups, &removed);
}

/// The sums to merge: they write to ranges of one storage, and no launch between them touches these ranges or overwrites what is
/// summed.
fn batches(storages: &[Storage], launches: &[Launch], target: &Target) -> Vec<Vec<usize>> {
    let whole = |sum: &Launch| locate(storages, sum.writes[0]).0;
    let (mut batches, mut batch): (Vec<Vec<usize>>, Vec<usize>) = Default::default();
    for (at, launch) in launches.iter().enumerate() {
        let is_sum = is_sum(storages, launch, target);
        let waiting = || batch.iter().map(|at| &launches[*at]);
        let bytes: u64 = waiting().chain([launch]).map(|sum| read_bytes(storages, sum)).sum();
        let is_full = batch.len() == PER_LAUNCH || bytes > MAX_BYTES;
        let is_other = waiting().any(|sum| whole(sum) != whole(launch));
        if waiting().any(|sum| conflicts(storages, launch, sum)) || is_sum && (is_full || is_other) {
            batches.push(std::mem::take(&mut batch));
        }
        if is_sum {
            batch.push(at);
        }
    }
    batches.push(batch);
    batches
}

/// Whether a launch must run after a sum that comes before it.
fn conflicts(storages: &[Storage], launch: &Launch, sum: &Launch) -> bool {
    launch.storages().any(|id| overlaps(storages, id, sum.writes[0]))
        || launch.writes.iter().any(|id| overlaps(storages, *id, sum.reads[0]))
}

/// Whether a launch is a sum that may be merged.
fn is_sum(storages: &[Storage], launch: &Launch, target: &Target) -> bool {
    if *launch.kernel != kernel::SLICE_SUM_TREE {
        return false;
    }
    let p: &SliceSum = launch.params();
    let (whole, _) = locate(storages, launch.writes[0]);
    p.scale == 1.0
        && p.accumulate == 0
        && whole != launch.writes[0]
        && storages[whole.index()].bytes <= target.binding_limit()
        && read_bytes(storages, launch) <= MAX_BYTES
}

fn read_bytes(storages: &[Storage], launch: &Launch) -> u64 {
    launch.reads.first().map_or(0, |id| storages[id.index()].bytes)
}

fn overlaps(storages: &[Storage], a: StorageId, b: StorageId) -> bool {
    let range = |id: StorageId| -> (StorageId, Range<u64>) {
        let (whole, start) = locate(storages, id);
        (whole, start..start + storages[id.index()].bytes)
    };
    let ((a_whole, a), (b_whole, b)) = (range(a), range(b));
    a_whole == b_whole && a.start < b.end && b.start < a.end
}

/// One launch for all sums; `None` if it would have too many workgroups.
fn merged<'a>(
    storages: &[Storage],
    sums: impl Iterator<Item = &'a Launch> + Clone,
    target: &Target,
) -> Option<Launch> {
    let last = sums.clone().last()?;
    let mut params = SliceSums { arrays: [[0; 4]; PER_LAUNCH] };
    let mut launch =
        Launch { kernel: &kernel::SLICE_SUMS, reads: Vec::new(), flops: 0, bytes: 0, ..last.clone() };
    let mut workgroups: u64 = 0;
    for (array, sum) in params.arrays.iter_mut().zip(sums) {
        let p: &SliceSum = sum.params();
        let (whole, start) = locate(storages, sum.writes[0]);
        *array = [p.len, p.slices, to_u32(start as usize / 4), 0];
        launch.reads.push(sum.reads[0]);
        launch.writes = vec![whole];
        launch.flops += sum.flops;
        launch.bytes += sum.bytes;
        workgroups += u64::from(p.len.div_ceil(64));
    }
    // Arrays of length 0 may be bound to anything.
    launch.reads.resize(PER_LAUNCH, launch.reads[0]);
    launch.workgroups = Grid::Workgroups(workgroups).workgroups(launch.kernel, target.max_workgroups).ok()?;
    launch.params = bytemuck::cast_slice(bytemuck::bytes_of(&params)).to_vec();
    Some(launch)
}
