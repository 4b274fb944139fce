//! The buffers of a session, which all of its plans share, and the location of each storage in them.

use super::{PersistentValue, Placement, Plan, StorageId, span};
use crate::{Error, Result};
use std::collections::HashMap;

/// Index of a buffer, and an offset in bytes.
pub(crate) type Location = (usize, u64);

/// Everything that an executor allocates except parameters and staging memory. Plain data.
pub(crate) struct Layout {
    /// Label and size in bytes of each buffer.
    pub buffers: Vec<(String, u64)>,
    /// Location of each persistent value, by name.
    pub persistent: HashMap<String, Location>,
    /// Locations by plan and storage; `None` for storages that no launch touches.
    pub storages: Vec<Vec<Option<Location>>>,
}

impl Layout {
    /// Plans run one at a time, so they share transient buffers. Persistent values are shared by name; those that a plan makes
    /// contiguous with others are laid out as in the first such plan. Each plan has its own inputs.
    pub fn new(plans: &[Plan]) -> Result<Self> {
        let slots = shared_slots(plans).into_iter().enumerate();
        let buffers = slots.map(|(i, bytes)| (format!("slot {i}"), bytes)).collect();
        let mut layout = Self { buffers, persistent: HashMap::new(), storages: Vec::new() };
        for plan in plans {
            layout.add_contiguous(plan)?;
        }
        for PersistentValue { value, .. } in plans.iter().flat_map(|plan| &plan.persistent) {
            if !layout.persistent.contains_key(&value.name) {
                let buffer = layout.add(&value.name, value.ty.bytes());
                layout.persistent.insert(value.name.clone(), (buffer, 0));
            }
        }
        for plan in plans {
            let locations = layout.locations(plan);
            check_no_conflicts(plan, &locations)?;
            layout.storages.push(locations);
        }
        Ok(layout)
    }

    /// Total size of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(|(_, bytes)| bytes).sum()
    }

    fn add(&mut self, label: &str, bytes: u64) -> usize {
        self.buffers.push((label.to_owned(), span(bytes)));
        self.buffers.len() - 1
    }

    /// Allocates the persistent values that a plan lays out contiguously.
    fn add_contiguous(&mut self, plan: &Plan) -> Result<()> {
        let mut buffers: HashMap<StorageId, usize> = HashMap::new();
        for PersistentValue { value, .. } in &plan.persistent {
            let (whole, offset) = plan.locate(value.storage);
            if whole == value.storage {
                continue;
            }
            let storage = &plan.storages[whole.index()];
            let there = self.persistent.get(&value.name).map(|(buffer, _)| *buffer);
            let buffer = *buffers
                .entry(whole)
                .or_insert_with(|| there.unwrap_or_else(|| self.add(&storage.label, storage.bytes)));
            let location = *self.persistent.entry(value.name.clone()).or_insert((buffer, offset));
            if location != (buffer, offset) || self.buffers[buffer].1 != storage.span() {
                return Err(conflict(&value.name));
            }
        }
        Ok(())
    }

    /// Locates the storages of a plan and allocates its inputs.
    fn locations(&mut self, plan: &Plan) -> Vec<Option<Location>> {
        let mut roots: HashMap<StorageId, Location> = HashMap::new();
        for value in &plan.inputs {
            roots.insert(value.storage, (self.add(&value.name, value.ty.bytes()), 0));
        }
        for PersistentValue { value, .. } in &plan.persistent {
            // The value may be alone in this plan but part of a larger buffer in another.
            let ((whole, offset), (buffer, at)) = (plan.locate(value.storage), self.persistent[&value.name]);
            roots.insert(whole, (buffer, at - offset));
        }
        let location = |i: usize| {
            let (whole, offset) = plan.locate(StorageId(i as u32));
            let root = match plan.storages[whole.index()].placement {
                Placement::Slot(slot) => (slot < plan.slots.len()).then_some((slot, 0)),
                _ => roots.get(&whole).copied(),
            };
            root.map(|(buffer, start)| (buffer, start + offset))
        };
        (0..plan.storages.len()).map(location).collect()
    }
}

/// Fails if a launch would read and write the same buffer, which WebGPU forbids. Plans cannot check this, because it depends on
/// which values other plans make contiguous.
fn check_no_conflicts(plan: &Plan, locations: &[Option<Location>]) -> Result<()> {
    let buffer = |s: &StorageId| locations[s.index()].map(|(buffer, _)| buffer);
    let mixed = |read: &&StorageId, writes: &[StorageId]| writes.iter().any(|w| buffer(w) == buffer(read));
    let mut found = plan.launches.iter().filter_map(|l| l.reads.iter().find(|read| mixed(read, &l.writes)));
    match found.next() {
        Some(read) => Err(conflict(&plan.storages[read.index()].label)),
        None => Ok(()),
    }
}

fn conflict(name: &str) -> Error {
    Error::argument(
        name,
        "two plans of a session store it contiguously with different values; plan them with `Target::fuse` off",
    )
}

/// Sizes of the transient buffers: for each index, the largest that any plan needs.
fn shared_slots(plans: &[Plan]) -> Vec<u64> {
    let count = plans.iter().map(|p| p.slots.len()).max().unwrap_or(0);
    (0..count).map(|i| plans.iter().filter_map(|p| p.slots.get(i)).copied().max().unwrap_or(0)).collect()
}
