//! Checks a plan against the memory limits of its target.

use super::{Launch, NamedValue, Placement, Plan, Storage, StorageId, Target};
use crate::op::to_u32;
use crate::{Error, Result};

/// Fails if a plan exceeds the limits of its target.
pub(super) fn check(plan: &Plan, target: &Target) -> Result<()> {
    // Some operations bind large values in ranges, so bindings and buffers are checked separately.
    let bound =
        plan.launches.iter().flat_map(Launch::storages).map(|id| (id, "binding", target.binding_limit()));
    let buffers = (0..plan.storages.len()).map(|i| (StorageId(to_u32(i)), "buffer", target.max_buffer));
    let all = bound.chain(buffers).map(|(id, what, limit)| (&plan.storages[id.index()], what, limit));
    let ratio = |(storage, _, limit): &(&Storage, &str, u64)| *limit as f64 / storage.span() as f64;
    let is_persistent = |(storage, ..): &(&Storage, &str, u64)| storage.placement == Placement::Persistent;
    // Report weights first, since a smaller batch does not help there; then the storage that needs the smallest batch, since that
    // batch fits the others too.
    let worst = all
        .filter(|one| ratio(one) < 1.0)
        .min_by(|a, b| is_persistent(b).cmp(&is_persistent(a)).then(ratio(a).total_cmp(&ratio(b))));
    if let Some((storage, what, limit)) = worst {
        return Err(Error::TooLarge(format!(
            "{} takes {}, but a {what} can have at most {}; use {}",
            storage.label,
            mib(storage.bytes),
            mib(limit),
            remedy(plan, storage, limit)
        )));
    }
    if let Some(memory) = target.memory.filter(|m| plan.peak_bytes() > *m) {
        return Err(Error::TooLarge(format!(
            "the plan takes {} of memory, but the device has {}; use a smaller batch, smaller images or a smaller model",
            mib(plan.peak_bytes()),
            mib(memory)
        )));
    }
    Ok(())
}

/// How to bring a storage within a limit.
fn remedy(plan: &Plan, storage: &Storage, limit: u64) -> String {
    if storage.placement == Placement::Persistent {
        return "fewer channels, features or classes".to_owned();
    }
    // Images are the input with four axes.
    let images = plan.inputs.iter().find(|input| input.ty.shape.len() == 4);
    let fitting =
        |input: &NamedValue| u128::from(limit) * input.ty.shape[0] as u128 / u128::from(storage.span());
    match images.map_or(0, fitting) {
        0 => "a smaller batch or smaller images".to_owned(),
        batch => format!("a batch of at most {batch} or smaller images"),
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}
