//! Memory allocation by liveness: transient storages with disjoint lifetimes share a pooled buffer.

use super::{Launch, Placement, Storage, StorageId, locate};
use std::ops::RangeInclusive;

/// Assigns a slot to every transient storage and returns the slot sizes, largest first.
///
/// Storages are placed largest first, each into the smallest slot that is free for its whole lifetime ("greedy by size",
/// Pisarchyk & Lee 2020). Slots are separate buffers instead of ranges of one arena because WebGPU synchronizes whole
/// buffers and forbids binding one as read and as read-write at once.
pub(super) fn assign_slots(storages: &mut [Storage], launches: &[Launch], kept: &[StorageId]) -> Vec<u64> {
    let lifetimes = lifetimes(storages, launches, kept);
    let mut order: Vec<usize> =
        (0..storages.len()).filter(|i| matches!(storages[*i].placement, Placement::Slot(_))).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(storages[*i].span()), *i));
    let mut slots: Vec<(u64, Vec<RangeInclusive<usize>>)> = Vec::new();
    for i in order {
        let Some(life) = &lifetimes[i] else { continue };
        let free = |taken: &[RangeInclusive<usize>]| {
            taken.iter().all(|other| life.end() < other.start() || other.end() < life.start())
        };
        // Slots are sorted by size, and all existing ones are large enough.
        let slot = slots.iter().rposition(|(_, taken)| free(taken)).unwrap_or_else(|| {
            slots.push((storages[i].span(), Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push(life.clone());
        storages[i].placement = Placement::Slot(slot);
    }
    slots.into_iter().map(|(bytes, _)| bytes).collect()
}

/// The first and last launch that touches each storage or a range of it. `kept` storages live to the end.
fn lifetimes(
    storages: &[Storage],
    launches: &[Launch],
    kept: &[StorageId],
) -> Vec<Option<RangeInclusive<usize>>> {
    let mut lifetimes: Vec<Option<RangeInclusive<usize>>> = vec![None; storages.len()];
    for (at, launch) in launches.iter().enumerate() {
        for id in launch.storages() {
            let whole = locate(storages, id).0.index();
            let start = lifetimes[whole].as_ref().map_or(at, |life| *life.start());
            lifetimes[whole] = Some(start..=at);
        }
    }
    for id in kept {
        if let Some(life) = &mut lifetimes[locate(storages, *id).0.index()] {
            *life = *life.start()..=launches.len();
        }
    }
    lifetimes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel;

    fn storage(bytes: u64) -> Storage {
        Storage { label: String::new(), bytes, placement: Placement::Slot(usize::MAX) }
    }

    fn launch(reads: &[u32], writes: &[u32]) -> Launch {
        let ids = |v: &[u32]| v.iter().map(|i| StorageId(*i)).collect();
        Launch {
            kernel: &kernel::COPY,
            params: vec![],
            reads: ids(reads),
            writes: ids(writes),
            workgroups: [1, 1, 1],
            flops: 0,
            bytes: 0,
        }
    }

    #[test]
    fn storages_share_a_slot_only_if_their_lifetimes_are_disjoint() {
        // 0 -> 1 -> 2 -> 3: two adjacent values are live at any time.
        let mut storages = [storage(400), storage(100), storage(300), storage(50)];
        let launches = [launch(&[0], &[1]), launch(&[1], &[2]), launch(&[2], &[3])];
        let slots = assign_slots(&mut storages, &launches, &[StorageId(3)]);
        assert_eq!(slots, [400, 112]);
        assert_eq!(storages.map(|s| s.placement), [0, 1, 0, 1].map(Placement::Slot));
    }

    #[test]
    fn no_later_storage_shares_the_slot_of_a_kept_one() {
        let mut storages = [storage(8), storage(8), storage(8)];
        let launches = [launch(&[], &[0]), launch(&[], &[1]), launch(&[1], &[2])];
        let slots = assign_slots(&mut storages, &launches, &[StorageId(0), StorageId(2)]);
        assert_eq!(slots, [16; 3]);
    }
}
