//! The search for the origin of NaN and infinity: a step that produced them runs again, one launch at a time.

use super::step::is_sum;
use super::steps::Steps;
use crate::data::Batch;
use crate::plan::{Placement, Plan, StorageId};
use crate::{DType, Error, Input, Result, Session, Tensor};
use std::fmt;
use std::ops::ControlFlow;

/// Inspects the state of training after every step. Keeps the state before it, from which a step can run again.
pub(super) struct Anomaly {
    before: Vec<(String, Tensor)>,
}

/// An element that is not finite.
#[derive(Debug, PartialEq)]
pub(super) struct Bad {
    index: usize,
    len: usize,
    value: f32,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.value.is_nan() { "NaN" } else { "infinity" };
        write!(f, "{value} as element {} of {}", self.index, self.len)
    }
}

impl Bad {
    /// The first element that is not finite.
    fn first(words: &[u32]) -> Option<Self> {
        let index = words.iter().position(|word| !f32::from_bits(*word).is_finite())?;
        Some(Self { index, len: words.len(), value: f32::from_bits(words[index]) })
    }
}

impl Anomaly {
    pub fn new(session: &mut Session) -> Result<Self> {
        Ok(Self { before: state(session)? })
    }

    /// Checks the state after the step of `batch`, whose outputs have `arrived`.
    ///
    /// # Errors
    ///
    /// If loss, gradients or state are not finite: an error that names the origin. The state is then that before the step.
    pub fn check(
        &mut self,
        steps: &mut Steps<'_>,
        batch: &Batch,
        arrived: Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        if !matches!(arrived, Ok(_) | Err(Error::Argument { .. })) {
            return arrived;
        }
        let after = state(steps.stream.session())?;
        let broken = first_bad(&after);
        if arrived.is_ok() && broken.is_none() {
            self.before = after;
            return arrived;
        }
        let place = steps.place();
        if let Some((name, bad)) = first_bad(&self.before) {
            let problem = format!("has {bad} before {place}; start from finite weights");
            return Err(Error::argument(name, problem));
        }
        self.restore(steps)?;
        let mut origin = None;
        steps.each_part(batch, steps.position.step - 1, |stream, program, inputs, _| {
            if origin.is_none() {
                origin = find(stream.session(), program, inputs)?;
            }
            Ok(())
        })?;
        self.restore(steps)?;
        let what = match (origin, broken) {
            (Some(origin), _) => format!("at {place}, {origin}"),
            (None, Some((name, bad))) => format!("{name} has {bad} after {place}"),
            (None, None) => return arrived,
        };
        Err(steps.config.diverged(&what, ""))
    }

    fn restore(&self, steps: &mut Steps<'_>) -> Result<()> {
        let session = steps.stream.session();
        self.before.iter().try_for_each(|(name, tensor)| session.write(name, tensor))
    }
}

/// All persistent values that a step reads.
fn state(session: &mut Session) -> Result<Vec<(String, Tensor)>> {
    let mut state = session.read_all(|_| true)?;
    state.retain(|(name, _)| !is_sum(name));
    Ok(state)
}

/// The first tensor with an element that is not finite, and that element.
pub(super) fn first_bad(state: &[(String, Tensor)]) -> Option<(&str, Bad)> {
    let mut floats = state.iter().filter(|(_, tensor)| tensor.ty().dtype == DType::F32);
    floats.find_map(|(name, tensor)| Some((name.as_str(), Bad::first(tensor.as_u32())?)))
}

/// Runs a graph one launch at a time, until something written is not finite, and describes that. Images and all other inputs are
/// finite, since their settings are checked.
fn find(session: &mut Session, program: usize, inputs: &[(&str, Input<'_>)]) -> Result<Option<String>> {
    session.load(program, inputs)?;
    let plan = session.plans()[program].clone();
    clear(session, program, &plan)?;
    for (index, launch) in plan.launches.iter().enumerate() {
        session.run_launch(program, index)?;
        for storage in &launch.writes {
            if let Some(bad) = Bad::first(&session.read_storage(program, *storage)?) {
                return Ok(Some(describe(&plan, index, *storage, &bad)));
            }
        }
    }
    Ok(None)
}

/// Zeroes transient memory: launches may write only part of what they bind, and the rest would still have values of the step
/// that went wrong.
fn clear(session: &mut Session, program: usize, plan: &Plan) -> Result<()> {
    for slot in 0..plan.slots.len() {
        let there = plan.storages.iter().enumerate().filter(|(_, s)| s.placement == Placement::Slot(slot));
        if let Some((index, storage)) = there.max_by_key(|(_, storage)| storage.bytes) {
            let zeros = vec![0; storage.bytes as usize / 4];
            session.write_storage(program, StorageId(index as u32), &zeros)?;
        }
    }
    Ok(())
}

/// What a launch wrote: layer, value, tensor and kernel.
fn describe(plan: &Plan, launch: usize, storage: StorageId, bad: &Bad) -> String {
    let group = plan.groups.iter().find(|group| group.launches.contains(&launch));
    let group = group.map(|group| group.label()).unwrap_or_default();
    let (whole, start) = plan.locate(storage);
    let at = start + 4 * bad.index as u64;
    // Several tensors may be stored contiguously: the smallest storage is that of one of them.
    let parts = plan.storages.iter().enumerate().filter_map(|(i, storage)| {
        let (other, start) = plan.locate(StorageId(i as u32));
        (other == whole && (start..start + storage.bytes).contains(&at)).then_some((storage, start))
    });
    let (tensor, start) = parts.min_by_key(|(storage, _)| storage.bytes).expect("the storage is one of them");
    let bad = Bad { index: (at - start) as usize / 4, len: tensor.bytes as usize / 4, ..*bad };
    let (kernel, tensor) = (plan.launches[launch].kernel.name, &tensor.label);
    format!("{group} wrote {bad} of {tensor} (kernel {kernel}), from finite operands")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_element_is_found_by_its_bits() {
        let finite = [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45].map(f32::to_bits);
        assert_eq!(Bad::first(&finite), None);
        for bits in [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffff_ffff, 0x7f80_0001] {
            let bad = Bad::first(&[finite.to_vec(), vec![bits, 0]].concat()).unwrap();
            assert_eq!((bad.index, bad.len), (6, 8), "{bits:#x}");
        }
        assert_eq!(Bad::first(&[0xff80_0000]).unwrap().to_string(), "infinity as element 0 of 1");
    }
}
