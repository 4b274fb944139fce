//! Runs plans on a device and on the CPU reference side by side and compares what each launch writes.

use super::compare::{UNWRITTEN, words_difference};
use crate::kernel::Kernel;
use crate::plan::{Placement, Plan, StorageId};
use crate::{Device, Error, Input, Result, Session, Tensor};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A plan, its inputs, and how accurate it should be.
pub(super) struct Check {
    /// For messages.
    pub name: String,
    pub plan: Plan,
    pub inputs: Arc<[(String, Tensor)]>,
    /// See [`super::difference`].
    pub tolerance: f64,
    pub floor: f64,
}

/// What was found out about a kernel: nothing wrong, or what.
pub(super) type Found<'a> = dyn FnMut(&'static Kernel, Option<String>) + 'a;

/// Runs checks. A launch always starts from the reference's values, so a kernel is not blamed for the errors of those before it.
///
/// # Errors
///
/// If the device fails. The kernel that it failed at is found wrong before.
pub(super) fn run(device: &Device, checks: &[Check], found: &mut Found) -> Result<()> {
    let plans = |checks: &[Check]| checks.iter().map(|check| check.plan.clone()).collect::<Vec<_>>();
    let session = match Session::new(device, plans(checks)) {
        Ok(session) => session,
        Err(error @ Error::DeviceLost(_)) => return Err(error),
        // A pipeline was refused. Find out whose, plan by plan.
        Err(_) if checks.len() > 1 => {
            return checks.iter().try_for_each(|check| run(device, std::slice::from_ref(check), found));
        }
        Err(error) => {
            let kernels = checks.iter().flat_map(|check| &check.plan.launches).map(|launch| launch.kernel);
            kernels.for_each(|kernel| found(kernel, Some(format!("cannot be used: {error}"))));
            return Ok(());
        }
    };
    let reference = Session::new(&Device::cpu_reference(), plans(checks))?;
    let mut pair = Pair { tested: session, reference };
    checks.iter().enumerate().try_for_each(|(program, check)| pair.run(program, check, found))
}

struct Pair {
    tested: Session,
    reference: Session,
}

impl Pair {
    fn run(&mut self, program: usize, check: &Check, found: &mut Found) -> Result<()> {
        let feed: Vec<(&str, Input)> =
            check.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.into())).collect();
        self.reference.load(program, &feed)?;
        let plan = &check.plan;
        let mut written = BTreeSet::new();
        for (i, launch) in plan.launches.iter().enumerate() {
            for (root, _) in launch.writes.iter().map(|storage| plan.locate(*storage)) {
                let is_transient = matches!(plan.storages[root.index()].placement, Placement::Slot(_));
                if is_transient && written.insert(root) {
                    self.erase(program, plan, root)?;
                }
            }
            for storage in launch.storages().collect::<BTreeSet<_>>() {
                let words = self.reference.read_storage(program, storage)?;
                self.tested.write_storage(program, storage, &words)?;
            }
            self.reference.run_launch(program, i)?;
            let mut problem = None;
            let ran = self.tested.run_launch(program, i);
            for storage in launch.writes.iter().filter(|_| ran.is_ok()) {
                let got = self.tested.read_storage(program, *storage)?;
                let want = self.reference.read_storage(program, *storage)?;
                let difference = words_difference(got, want, check.tolerance, check.floor)?;
                problem = problem.or(difference);
            }
            if let Err(error) = &ran {
                problem = Some(format!("the device failed: {error}"));
            }
            found(launch.kernel, problem.map(|problem| format!("{}: {problem}", check.name)));
            ran?;
        }
        Ok(())
    }

    /// Marks a storage as not written yet, along with all that share its memory.
    fn erase(&mut self, program: usize, plan: &Plan, root: StorageId) -> Result<()> {
        let bound: BTreeSet<StorageId> = plan.launches.iter().flat_map(|launch| launch.storages()).collect();
        for storage in bound.into_iter().filter(|storage| plan.locate(*storage).0 == root) {
            let words = plan.storages[storage.index()].bytes as usize / 4;
            self.reference.write_storage(program, storage, &vec![UNWRITTEN; words])?;
        }
        Ok(())
    }
}
