//! Fuses reductions of many arrays (`shaders/arrays.wgsl`) where the arrays are ranges of one storage, as horizontal fusion makes
//! small gradients: one launch reduces 64 ranges, where a launch with a binding for each array reduces 7.

use super::{Group, Launch, Storage, StorageId, Target, locate, remove_launches};
use crate::kernel::{self, Arrays, Kernel, Ranges};
use crate::op::to_u32;
use std::collections::BTreeMap;

/// Reductions of arrays, and the same of ranges.
static KERNELS: [(&Kernel, &Kernel); 2] =
    [(&kernel::NON_FINITE, &kernel::NON_FINITE_RANGES), (&kernel::SUM_SQUARES, &kernel::SUM_SQUARES_RANGES)];

/// Ranges per launch, as many as fit in [`Ranges`].
const MAX_RANGES: usize = 64;
/// Arrays per launch.
const MAX_ARRAYS: usize = kernel::NON_FINITE.reads;

/// Replaces each series of launches that add to the same results, if fewer do.
pub(super) fn fuse(storages: &[Storage], launches: &mut Vec<Launch>, groups: &mut [Group], target: &Target) {
    let mut removed = vec![false; launches.len()];
    let mut start = 0;
    while start < launches.len() {
        let first = &launches[start];
        let end =
            start + 1 + launches[start + 1..].iter().take_while(|launch| continues(first, launch)).count();
        let of_ranges = KERNELS.iter().find(|(of_arrays, _)| first.kernel == *of_arrays).map(|row| row.1);
        let starts = |kernel: &&Kernel| target.allows(kernel) && first.params::<Arrays>().keep == 0;
        if let Some(of_ranges) = of_ranges.filter(starts) {
            let series = Series { storages, launches: &launches[start..end], of_ranges };
            let fused = series.fused(target.binding_limit());
            let kept = start + fused.len();
            if kept < end {
                removed[kept..end].fill(true);
                launches.splice(start..kept, fused);
            }
        }
        start = end;
    }
    remove_launches(launches, groups, &removed);
}

/// Whether a launch adds to the results of another.
fn continues(first: &Launch, launch: &Launch) -> bool {
    launch.kernel == first.kernel
        && launch.writes == first.writes
        && KERNELS.iter().any(|(of_arrays, _)| launch.kernel == *of_arrays)
        && launch.params::<Arrays>().keep == 1
}

/// An array to reduce, and its number of elements.
type Array = (StorageId, u32);

/// Launches that add to the same results.
struct Series<'a> {
    storages: &'a [Storage],
    launches: &'a [Launch],
    of_ranges: &'static Kernel,
}

impl Series<'_> {
    /// Launches that do the same, the ranges of each storage together.
    fn fused(&self, binding_limit: u64) -> Vec<Launch> {
        let mut ranges: BTreeMap<StorageId, Vec<Array>> = BTreeMap::new();
        let mut others: Vec<Array> = Vec::new();
        for (id, len) in self.launches.iter().flat_map(arrays) {
            let (whole, _) = locate(self.storages, id);
            let is_range = whole != id && self.storages[whole.index()].bytes <= binding_limit;
            if is_range { ranges.entry(whole).or_default() } else { &mut others }.push((id, len));
        }
        let mut fused = Vec::new();
        for (whole, all) in &ranges {
            for some in all.chunks(MAX_RANGES) {
                fused.push(self.launch_ranges(*whole, some, !fused.is_empty()));
            }
        }
        for some in others.chunks(MAX_ARRAYS) {
            fused.push(self.launch_arrays(some, !fused.is_empty()));
        }
        fused
    }

    fn launch_ranges(&self, whole: StorageId, arrays: &[Array], keep: bool) -> Launch {
        let mut ranges = [[0; 2]; MAX_RANGES];
        for (range, (id, len)) in ranges.iter_mut().zip(arrays) {
            *range = [to_u32(locate(self.storages, *id).1 as usize / 16), *len];
        }
        let ranges = bytemuck::cast(ranges);
        let params = Ranges { ranges, count: to_u32(arrays.len()), groups: self.groups(), keep: keep as u32 };
        self.launch(self.of_ranges, vec![whole], bytemuck::bytes_of(&params), arrays)
    }

    fn launch_arrays(&self, arrays: &[Array], keep: bool) -> Launch {
        let params = Arrays::new([self.groups(), keep as u32], arrays.iter().map(|(_, len)| *len));
        // Arrays of length 0 may be bound to anything.
        let mut reads = vec![arrays[0].0; MAX_ARRAYS];
        reads.iter_mut().zip(arrays).for_each(|(read, (id, _))| *read = *id);
        self.launch(self.launches[0].kernel, reads, bytemuck::bytes_of(&params), arrays)
    }

    /// Every launch writes all results of the first.
    fn groups(&self) -> u32 {
        self.launches[0].params::<Arrays>().groups
    }

    fn launch(&self, kernel: &'static Kernel, reads: Vec<StorageId>, params: &[u8], of: &[Array]) -> Launch {
        let first = &self.launches[0];
        let elements = |arrays: &[Array]| arrays.iter().map(|(_, len)| u64::from(*len)).sum::<u64>();
        let flops = first.flops * elements(of) / elements(&arrays(first).collect::<Vec<_>>());
        let bytes = 4 * (elements(of) + u64::from(self.groups()));
        Launch { kernel, reads, params: bytemuck::cast_slice(params).to_vec(), flops, bytes, ..first.clone() }
    }
}

/// The arrays of a launch.
fn arrays(launch: &Launch) -> impl Iterator<Item = Array> {
    let lens = launch.params::<Arrays>().lens();
    launch.reads.iter().copied().zip(lens).filter(|(_, len)| *len > 0)
}
