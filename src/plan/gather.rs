//! Many small launches of one kernel as one: what they work on is laid side by side, parameters in one range of
//! memory, their gradients in another, and so on. An optimiser's step is then one launch for all small parameters.

use super::pieces::ALIGNMENT;
use super::{Group, Launch, Place, Storage, StorageId, Target, locate};
use crate::kernel::Grid;
use crate::kernel::{self, Kernel};
use crate::op::word;
use std::collections::HashMap;

/// Kernels whose results at one index depend on nothing but the operands there, whose first parameter is the number
/// of elements, and that take four elements an invocation. With each, which reads are the same for all elements.
static KERNELS: [(&Kernel, &[usize]); 4] =
    [(&kernel::SGD, &[1]), (&kernel::ADAM, &[1]), (&kernel::SCALE, &[1]), (&kernel::BLEND, &[])];

/// Bytes of the largest operand that is worth it. What is larger keeps a device busy by itself, and would need its
/// memory for as long as all others together.
const MOST: u64 = 1 << 20;

/// Joins launches of each group that differ only in what they work on.
pub(super) fn gather(
    storages: &mut Vec<Storage>,
    launches: &mut Vec<Launch>,
    groups: &mut [Group],
    target: &Target,
) {
    let old = std::mem::take(launches);
    let mut gather = Gather { storages, all: &old, target };
    for group in groups {
        let start = launches.len();
        for run in old[group.launches.clone()].chunk_by(|a, b| std::ptr::eq(a.kernel, b.kernel)) {
            match KERNELS.iter().find(|(kernel, _)| std::ptr::eq(*kernel, run[0].kernel)) {
                Some((_, shared)) if independent(run) => launches.extend(gather.join(run, shared)),
                _ => launches.extend_from_slice(run),
            }
        }
        group.launches = start..launches.len();
    }
}

/// Whether launches could run in any order: what one writes, no other touches.
fn independent(run: &[Launch]) -> bool {
    let mut touched: HashMap<StorageId, usize> = HashMap::new();
    for id in run.iter().flat_map(Launch::storages) {
        *touched.entry(id).or_default() += 1;
    }
    run.iter().flat_map(|l| &l.writes).all(|id| touched[id] == 1)
}

/// Bytes of each operand of a launch.
fn operand(launch: &Launch) -> u64 {
    4 * u64::from(launch.params[0])
}

/// Bytes from the start of a part to that of the next.
fn step(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

struct Gather<'a> {
    storages: &'a mut Vec<Storage>,
    /// Every launch of the plan as it was.
    all: &'a [Launch],
    target: &'a Target,
}

/// How operands of one kind come to lie side by side.
enum Range {
    /// They do, from this place on.
    There(StorageId, u64),
    /// Each has memory of its own so far.
    New,
}

impl Gather<'_> {
    /// The launches of a run, those that can be joined as one.
    fn join(&mut self, run: &[Launch], shared: &[usize]) -> Vec<Launch> {
        let limit = self.target.binding_limit();
        let (mut joined, mut classes): (Vec<Launch>, Vec<Vec<&Launch>>) = (vec![], vec![]);
        for launch in run {
            let fits = |class: &&mut Vec<&Launch>| {
                let taken: u64 = class.iter().map(|l| step(operand(l))).sum();
                class[0].params[1..] == launch.params[1..]
                    && shared.iter().all(|i| class[0].reads[*i] == launch.reads[*i])
                    && taken + operand(launch) <= limit
            };
            if operand(launch) > MOST {
                joined.push(launch.clone());
            } else if let Some(class) = classes.iter_mut().find(fits) {
                class.push(launch);
            } else {
                classes.push(vec![launch]);
            }
        }
        for class in classes {
            match self.as_one(&class, shared) {
                Some(launch) => joined.push(launch),
                None => joined.extend(class.into_iter().cloned()),
            }
        }
        joined
    }

    /// One launch for several, whose operands it lays side by side; `None` where these cannot lie so.
    fn as_one(&mut self, class: &[&Launch], shared: &[usize]) -> Option<Launch> {
        let [first, .., last] = class else { return None };
        let mut bytes = 0;
        let mut starts = Vec::new();
        for launch in class {
            starts.push(step(bytes));
            bytes = step(bytes) + operand(launch);
        }
        let own = |(i, _): &(usize, &StorageId)| !shared.contains(i);
        let own_reads: Vec<usize> = first.reads.iter().enumerate().filter(own).map(|(i, _)| i).collect();
        let reads = own_reads.iter().map(|i| class.iter().map(|l| l.reads[*i]).collect());
        let writes = (0..first.writes.len()).map(|i| class.iter().map(|l| l.writes[i]).collect());
        let kinds: Vec<Vec<StorageId>> = reads.chain(writes).collect();
        // All is looked at before anything is moved.
        let ranges: Vec<Range> =
            kinds.iter().map(|parts| self.range(parts, &starts)).collect::<Option<_>>()?;
        let workgroups =
            Grid::vec4(bytes as usize / 4).workgroups(first.kernel, self.target.max_workgroups).ok()?;
        let mut laid = kinds.iter().zip(ranges).map(|(parts, range)| match range {
            Range::There(whole, offset) => self.part(whole, offset, bytes),
            Range::New => self.lay(parts, &starts, bytes),
        });
        let mut launch = Launch { workgroups, ..(*last).clone() };
        launch.params[0] = word(bytes as usize / 4);
        own_reads.iter().for_each(|i| launch.reads[*i] = laid.next().expect("one range a kind"));
        launch.writes = laid.collect();
        launch.flops = class.iter().map(|l| l.flops).sum();
        launch.bytes = class.iter().map(|l| l.bytes).sum();
        Some(launch)
    }

    /// Whether operands lie side by side already, or could; `None` if neither.
    fn range(&self, parts: &[StorageId], starts: &[u64]) -> Option<Range> {
        let (whole, offset) = locate(self.storages, parts[0]);
        if whole != parts[0] {
            let lie =
                |(part, start): (&StorageId, &u64)| locate(self.storages, *part) == (whole, offset + start);
            return parts.iter().zip(starts).all(lie).then_some(Range::There(whole, offset));
        }
        let apart = |part: &StorageId| {
            matches!(self.storages[part.index()].place, Place::Persistent | Place::Slot(_))
                && self.storages[part.index()].place == self.storages[parts[0].index()].place
        };
        // WebGPU refuses a launch that reads one part of a buffer and writes another.
        let mixed = |launch: &Launch| {
            let any = |ids: &[StorageId]| ids.iter().any(|id| parts.contains(&locate(self.storages, *id).0));
            any(&launch.reads) && any(&launch.writes)
        };
        (parts.iter().all(apart) && !self.all.iter().any(mixed)).then_some(Range::New)
    }

    fn part(&mut self, whole: StorageId, offset: u64, bytes: u64) -> StorageId {
        let label = self.storages[whole.index()].label.clone();
        self.add(Storage { label, bytes, place: Place::Within { whole, offset } })
    }

    fn lay(&mut self, parts: &[StorageId], starts: &[u64], bytes: u64) -> StorageId {
        let Storage { label, place, .. } = &self.storages[parts[0].index()];
        let label = format!("{label} and {} more", parts.len() - 1);
        let whole = self.add(Storage { label, bytes, place: *place });
        for (part, offset) in parts.iter().zip(starts) {
            self.storages[part.index()].place = Place::Within { whole, offset: *offset };
        }
        whole
    }

    fn add(&mut self, storage: Storage) -> StorageId {
        self.storages.push(storage);
        StorageId(self.storages.len() as u32 - 1)
    }
}
