//! The buffers of a session: what plans that run in turns need together, and where their storages lie in it.

use super::{PersistentPort, Place, Plan, StorageId, span};
use crate::{Error, Result};
use std::collections::HashMap;

/// A place in a buffer: its number, and bytes from its start.
pub(crate) type Spot = (usize, u64);

/// Everything that executors allocate besides parameters and staging memory. Pure data.
pub(crate) struct Layout {
    /// Sizes of the buffers in bytes, each with what it is called.
    pub buffers: Vec<(String, u64)>,
    /// By name of a persistent value: where it lies.
    pub persistent: HashMap<String, Spot>,
    /// By plan and storage: where it lies; `None` for storages that nothing touches.
    pub storages: Vec<Vec<Option<Spot>>>,
}

impl Layout {
    /// Transient buffers serve all plans, since only one runs at a time; persistent values are shared by name, and
    /// lie as the first plan says that has them side by side; inputs are each plan's own.
    pub fn new(plans: &[Plan], persistent: &[PersistentPort]) -> Result<Self> {
        let slots = shared_slots(plans).into_iter().enumerate();
        let buffers = slots.map(|(i, bytes)| (format!("slot {i}"), bytes)).collect();
        let mut layout = Self { buffers, persistent: HashMap::new(), storages: Vec::new() };
        for plan in plans {
            layout.add_wholes(plan)?;
        }
        for PersistentPort { port, .. } in persistent {
            if !layout.persistent.contains_key(&port.name) {
                let buffer = layout.add(&port.name, port.ty.bytes());
                layout.persistent.insert(port.name.clone(), (buffer, 0));
            }
        }
        for plan in plans {
            let spots = layout.spots(plan);
            check_apart(plan, &spots)?;
            layout.storages.push(spots);
        }
        Ok(layout)
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(|(_, bytes)| bytes).sum()
    }

    fn add(&mut self, label: &str, bytes: u64) -> usize {
        self.buffers.push((label.to_owned(), span(bytes)));
        self.buffers.len() - 1
    }

    /// Places the persistent values that a plan has side by side.
    fn add_wholes(&mut self, plan: &Plan) -> Result<()> {
        let mut buffers: HashMap<StorageId, usize> = HashMap::new();
        for PersistentPort { port, .. } in &plan.persistent {
            let (whole, offset) = plan.locate(port.storage);
            if whole == port.storage {
                continue;
            }
            let storage = &plan.storages[whole.index()];
            let there = self.persistent.get(&port.name).map(|(buffer, _)| *buffer);
            let buffer = *buffers
                .entry(whole)
                .or_insert_with(|| there.unwrap_or_else(|| self.add(&storage.label, storage.bytes)));
            let spot = *self.persistent.entry(port.name.clone()).or_insert((buffer, offset));
            if spot != (buffer, offset) || self.buffers[buffer].1 != storage.span() {
                return Err(disagree(&port.name));
            }
        }
        Ok(())
    }

    /// Where the storages of a plan lie; makes buffers for its inputs.
    fn spots(&mut self, plan: &Plan) -> Vec<Option<Spot>> {
        let mut roots: HashMap<StorageId, Spot> = HashMap::new();
        for port in &plan.inputs {
            roots.insert(port.storage, (self.add(&port.name, port.ty.bytes()), 0));
        }
        for PersistentPort { port, .. } in &plan.persistent {
            // Another plan may have laid beside others what this one has by itself.
            let ((whole, offset), (buffer, at)) = (plan.locate(port.storage), self.persistent[&port.name]);
            roots.insert(whole, (buffer, at - offset));
        }
        let spot = |i: usize| {
            let (whole, offset) = plan.locate(StorageId(i as u32));
            let root = match plan.storages[whole.index()].place {
                Place::Slot(slot) => (slot < plan.slots.len()).then_some((slot, 0)),
                _ => roots.get(&whole).copied(),
            };
            root.map(|(buffer, start)| (buffer, start + offset))
        };
        (0..plan.storages.len()).map(spot).collect()
    }
}

/// Fails where a launch would read one part of a buffer and write another, which WebGPU refuses: a plan does not know
/// what another lays side by side.
fn check_apart(plan: &Plan, spots: &[Option<Spot>]) -> Result<()> {
    let buffer = |s: &StorageId| spots[s.index()].map(|(buffer, _)| buffer);
    let mixed = |read: &&StorageId, writes: &[StorageId]| writes.iter().any(|w| buffer(w) == buffer(read));
    let mut found = plan.launches.iter().filter_map(|l| l.reads.iter().find(|read| mixed(read, &l.writes)));
    match found.next() {
        Some(read) => Err(disagree(&plan.storages[read.index()].label)),
        None => Ok(()),
    }
}

fn disagree(name: &str) -> Error {
    Error::argument(
        name,
        "two plans of a session want it beside different values; plan them with `Target::fuse` off",
    )
}

/// Sizes of the transient buffers that serve all plans: the largest each plan wants of its n-th.
fn shared_slots(plans: &[Plan]) -> Vec<u64> {
    let count = plans.iter().map(|p| p.slots.len()).max().unwrap_or(0);
    (0..count).map(|i| plans.iter().filter_map(|p| p.slots.get(i)).copied().max().unwrap_or(0)).collect()
}
