//! Checks a plan from a file for what lowering guarantees and executors rely on.

use crate::plan::{Launch, NamedValue, Placement, Plan, Storage, StorageId};
use std::ops::Range;

/// Fails with the problem if the parts of a plan do not fit together.
pub(super) fn check(plan: &Plan) -> Result<(), String> {
    let storages = plan.storages.iter().enumerate();
    storages.into_iter().try_for_each(|(i, storage)| check_storage(plan, i, storage))?;
    total_bytes(plan).ok_or("its storages are too large to address")?;
    for (i, launch) in plan.launches.iter().enumerate() {
        check_launch(plan, launch)
            .map_err(|problem| format!("launch {i} ({}) {problem}", launch.kernel.name))?;
    }
    consecutive("group", plan.groups.iter().map(|group| &group.launches), plan.launches.len())?;
    check_dispatches(plan)?;
    consecutive("submission", plan.submissions.iter().map(|s| &s.dispatches), plan.dispatches.len())?;
    let persistent = plan.persistent.iter().map(|persistent| &persistent.value);
    let placed = |value: &NamedValue| plan.storages[plan.locate(value.storage).0.index()].placement;
    for value in plan.inputs.iter().chain(&plan.outputs).chain(persistent.clone()) {
        check_value(plan, value)?;
    }
    if let Some(input) = plan.inputs.iter().find(|input| placed(input) != Placement::Input) {
        return Err(format!("input {} is not stored as one", input.name));
    }
    if let Some(value) = persistent.clone().find(|value| placed(value) != Placement::Persistent) {
        return Err(format!("{} is not stored persistently", value.name));
    }
    Ok(())
}

fn check_storage(plan: &Plan, index: usize, storage: &Storage) -> Result<(), String> {
    let bytes = |other: StorageId| plan.storages.get(other.index()).map(|whole| whole.bytes);
    let fits = match storage.placement {
        Placement::Persistent | Placement::Input => true,
        Placement::Slot(slot) => plan.slots.get(slot).is_some_and(|bytes| storage.bytes <= *bytes),
        Placement::Within { whole, offset } => {
            let end = offset.checked_add(storage.bytes);
            whole.index() < plan.storages.len()
                && !reaches(plan, whole, index)
                && offset.is_multiple_of(4)
                && end.zip(bytes(whole)).is_some_and(|(end, bytes)| end <= bytes)
        }
    };
    let whole_words = storage.bytes.is_multiple_of(4) && storage.bytes > 0;
    if fits && whole_words {
        Ok(())
    } else {
        Err(format!("storage {index} ({}) does not fit where it is placed", storage.label))
    }
}

/// Whether following the chain of containing storages from `start` comes to `target` or does not end.
fn reaches(plan: &Plan, start: StorageId, target: usize) -> bool {
    let mut at = start.index();
    for _ in 0..plan.storages.len() {
        match plan.storages.get(at).map(|storage| storage.placement) {
            _ if at == target => return true,
            Some(Placement::Within { whole, .. }) => at = whole.index(),
            _ => return false,
        }
    }
    true
}

/// Bytes of all buffers, if they can be added.
fn total_bytes(plan: &Plan) -> Option<u64> {
    let sizes = plan.storages.iter().map(|storage| storage.bytes).chain(plan.slots.iter().copied());
    sizes.into_iter().try_fold(0u64, |sum, bytes| sum.checked_add(bytes.checked_next_multiple_of(256)?))
}

fn check_launch(plan: &Plan, launch: &Launch) -> Result<(), String> {
    let kernel = launch.kernel;
    // The last member of the uniform, the first workgroup, is no parameter.
    let words = kernel.params.fields.last().map(|first_workgroup| first_workgroup.offset / 4);
    if Some(launch.params.len()) != words {
        return Err(format!("has {} words of parameters", launch.params.len()));
    }
    if [launch.reads.len(), launch.writes.len()] != [kernel.reads, kernel.writes] {
        return Err(format!(
            "binds {} and {} storages, not {} and {}",
            launch.reads.len(),
            launch.writes.len(),
            kernel.reads,
            kernel.writes
        ));
    }
    if launch.storages().any(|storage| storage.index() >= plan.storages.len()) {
        return Err("binds a storage that does not exist".to_owned());
    }
    Ok(())
}

/// Every launch has dispatches, in order, with as many workgroups.
fn check_dispatches(plan: &Plan) -> Result<(), String> {
    let mut dispatches = plan.dispatches.iter().peekable();
    for (i, launch) in plan.launches.iter().enumerate() {
        let mut next = 0;
        while let Some(dispatch) = dispatches.next_if(|dispatch| dispatch.launch == i) {
            if u64::from(dispatch.first_workgroup) != next {
                return Err(format!("the dispatches of launch {i} leave out workgroups"));
            }
            next += count(dispatch.workgroups)
                .filter(|n| *n > 0)
                .ok_or(format!("launch {i} has no workgroups, or too many"))?;
        }
        if Some(next) != count(launch.workgroups) {
            return Err(format!("the dispatches of launch {i} do not have its workgroups"));
        }
    }
    match dispatches.next() {
        Some(dispatch) => Err(format!("a dispatch is of launch {}, out of order", dispatch.launch)),
        None => Ok(()),
    }
}

/// Number of workgroups, if it is below 2^32.
fn count(workgroups: [u32; 3]) -> Option<u64> {
    let count = workgroups.iter().try_fold(1u64, |product, n| product.checked_mul(u64::from(*n)));
    count.filter(|count| *count < 1 << 32)
}

/// The ranges cover everything once and in order.
fn consecutive<'a>(
    what: &str,
    ranges: impl Iterator<Item = &'a Range<usize>>,
    len: usize,
) -> Result<(), String> {
    let mut next = 0;
    for (i, range) in ranges.enumerate() {
        if range.start != next || range.end < range.start {
            return Err(format!("{what} {i} does not start where the one before it ends"));
        }
        next = range.end;
    }
    if next == len { Ok(()) } else { Err(format!("its {what}s do not cover all of it")) }
}

fn check_value(plan: &Plan, value: &NamedValue) -> Result<(), String> {
    let storage = plan.storages.get(value.storage.index());
    match storage.is_some_and(|storage| storage.bytes == value.ty.bytes()) {
        true => Ok(()),
        false => Err(format!("{} is stored in a storage that does not have its size", value.name)),
    }
}
