//! Horizontal fusion: merges many small launches of a kernel into one, like the multi-tensor optimizers of other frameworks.
//! Operands become contiguous, parameters in one range of memory, their gradients in another, and so on, so that an optimizer
//! updates all small parameters in one launch.

use super::target::ALIGNMENT;
use super::{Group, Launch, Placement, Storage, StorageId, Target, locate};
use crate::kernel::{self, Grid, Kernel};
use crate::op::to_u32;
use std::collections::HashMap;

/// The kernels to merge, each with the indices of reads that all elements share. They are element-wise, their first parameter is
/// the number of elements, and an invocation computes four.
static KERNELS: [(&Kernel, &[usize]); 5] = [
    (&kernel::SGD, &[1, 2]),
    (&kernel::ADAM, &[1, 2]),
    (&kernel::SCALE, &[1]),
    (&kernel::BLEND, &[]),
    (&kernel::GUARDED_BLEND, &[1]),
];

/// Maximum size of an operand to merge. Larger ones keep a device busy alone, and would stay live as long as every operand that
/// they are stored with.
const MAX_OPERAND_BYTES: u64 = 1 << 20;

/// Merges launches within each group that differ only in their operands.
pub(super) fn fuse(
    storages: &mut Vec<Storage>,
    launches: &mut Vec<Launch>,
    groups: &mut [Group],
    target: &Target,
) {
    let old = std::mem::take(launches);
    let mut fusion = Fusion { storages, all: &old, target };
    for group in groups {
        let start = launches.len();
        for run in old[group.launches.clone()].chunk_by(|a, b| std::ptr::eq(a.kernel, b.kernel)) {
            match KERNELS.iter().find(|(kernel, _)| std::ptr::eq(*kernel, run[0].kernel)) {
                Some((_, shared)) if independent(run) => launches.extend(fusion.merge_run(run, shared)),
                _ => launches.extend_from_slice(run),
            }
        }
        group.launches = start..launches.len();
    }
}

/// Whether the launches could run in any order: no launch touches what another writes.
fn independent(run: &[Launch]) -> bool {
    let mut touched: HashMap<StorageId, usize> = HashMap::new();
    for id in run.iter().flat_map(Launch::storages) {
        *touched.entry(id).or_default() += 1;
    }
    run.iter().flat_map(|l| &l.writes).all(|id| touched[id] == 1)
}

/// Bytes of each operand of a launch.
fn operand_bytes(launch: &Launch) -> u64 {
    4 * u64::from(launch.params[0])
}

/// Offset of the operand that follows `bytes` bytes.
fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

struct Fusion<'a> {
    storages: &'a mut Vec<Storage>,
    /// All launches of the original plan.
    all: &'a [Launch],
    target: &'a Target,
}

/// How the operands at one position of several launches are stored.
enum Operands {
    /// Already contiguous, from this offset on.
    Contiguous(StorageId, u64),
    /// In separate storages that can be made contiguous.
    Separate,
}

impl Fusion<'_> {
    /// Merges as many launches of a run as possible.
    fn merge_run(&mut self, run: &[Launch], shared: &[usize]) -> Vec<Launch> {
        let limit = self.target.binding_limit();
        let (mut merged, mut batches): (Vec<Launch>, Vec<Vec<&Launch>>) = (vec![], vec![]);
        for launch in run {
            let fits = |batch: &&mut Vec<&Launch>| {
                let used: u64 = batch.iter().map(|l| aligned(operand_bytes(l))).sum();
                batch[0].params[1..] == launch.params[1..]
                    && shared.iter().all(|i| batch[0].reads[*i] == launch.reads[*i])
                    && used + operand_bytes(launch) <= limit
            };
            if operand_bytes(launch) > MAX_OPERAND_BYTES {
                merged.push(launch.clone());
            } else if let Some(batch) = batches.iter_mut().find(fits) {
                batch.push(launch);
            } else {
                batches.push(vec![launch]);
            }
        }
        for batch in batches {
            match self.merge(&batch, shared) {
                Some(launch) => merged.push(launch),
                None => merged.extend(batch.into_iter().cloned()),
            }
        }
        merged
    }

    /// Merges launches by making their operands contiguous; `None` if that is impossible.
    fn merge(&mut self, batch: &[&Launch], shared: &[usize]) -> Option<Launch> {
        let [first, .., last] = batch else { return None };
        let mut bytes = 0;
        let mut starts = Vec::new();
        for launch in batch {
            starts.push(aligned(bytes));
            bytes = aligned(bytes) + operand_bytes(launch);
        }
        let own_reads: Vec<usize> = (0..first.reads.len()).filter(|i| !shared.contains(i)).collect();
        let reads = own_reads.iter().map(|i| batch.iter().map(|l| l.reads[*i]).collect());
        let writes = (0..first.writes.len()).map(|i| batch.iter().map(|l| l.writes[i]).collect());
        let positions: Vec<Vec<StorageId>> = reads.chain(writes).collect();
        // Check all operands before moving any.
        let operands: Vec<Operands> =
            positions.iter().map(|parts| self.operands(parts, &starts)).collect::<Option<_>>()?;
        let workgroups =
            Grid::vec4(bytes as usize / 4).workgroups(first.kernel, self.target.max_workgroups).ok()?;
        let mut merged = positions.iter().zip(operands).map(|(parts, operands)| match operands {
            Operands::Contiguous(whole, offset) => self.range(whole, offset, bytes),
            Operands::Separate => self.make_contiguous(parts, &starts, bytes),
        });
        let mut launch = Launch { workgroups, ..(*last).clone() };
        launch.params[0] = to_u32(bytes as usize / 4);
        for i in own_reads {
            launch.reads[i] = merged.next().expect("each position has its operands");
        }
        launch.writes = merged.collect();
        launch.flops = batch.iter().map(|l| l.flops).sum();
        launch.bytes = batch.iter().map(|l| l.bytes).sum();
        Some(launch)
    }

    /// How operands are stored; `None` if they are neither contiguous nor free to be moved.
    fn operands(&self, parts: &[StorageId], starts: &[u64]) -> Option<Operands> {
        let (whole, offset) = locate(self.storages, parts[0]);
        if whole != parts[0] {
            let contiguous =
                |(part, start): (&StorageId, &u64)| locate(self.storages, *part) == (whole, offset + start);
            return parts.iter().zip(starts).all(contiguous).then_some(Operands::Contiguous(whole, offset));
        }
        let movable = |part: &StorageId| {
            matches!(self.storages[part.index()].placement, Placement::Persistent | Placement::Slot(_))
                && self.storages[part.index()].placement == self.storages[parts[0].index()].placement
        };
        // WebGPU forbids a launch that reads one range of a buffer and writes another.
        let mixed = |launch: &Launch| {
            let any = |ids: &[StorageId]| ids.iter().any(|id| parts.contains(&locate(self.storages, *id).0));
            any(&launch.reads) && any(&launch.writes)
        };
        (parts.iter().all(movable) && !self.all.iter().any(mixed)).then_some(Operands::Separate)
    }

    fn range(&mut self, whole: StorageId, offset: u64, bytes: u64) -> StorageId {
        let label = self.storages[whole.index()].label.clone();
        self.add(Storage { label, bytes, placement: Placement::Within { whole, offset } })
    }

    fn make_contiguous(&mut self, parts: &[StorageId], starts: &[u64], bytes: u64) -> StorageId {
        let Storage { label, placement, .. } = &self.storages[parts[0].index()];
        let label = format!("{label} and {} more", parts.len() - 1);
        let whole = self.add(Storage { label, bytes, placement: *placement });
        for (part, offset) in parts.iter().zip(starts) {
            self.storages[part.index()].placement = Placement::Within { whole, offset: *offset };
        }
        whole
    }

    fn add(&mut self, storage: Storage) -> StorageId {
        self.storages.push(storage);
        StorageId(self.storages.len() as u32 - 1)
    }
}
