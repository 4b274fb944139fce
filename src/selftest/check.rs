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

/// The device under test. It is opened again after a failure.
pub(super) struct Tester<'a> {
    open: &'a dyn Fn() -> Result<Device>,
    pub device: Device,
    /// How often it failed since a check succeeded.
    failures: usize,
    /// Names of the kernels at which the device fails.
    fatal: BTreeSet<&'static str>,
}

/// After so many failures in a row, the device and not its kernels is at fault.
const MAX_FAILURES: usize = 12;

impl<'a> Tester<'a> {
    pub fn new(open: &'a dyn Fn() -> Result<Device>) -> Result<Self> {
        Ok(Self { open, device: open()?.as_opened(), failures: 0, fatal: BTreeSet::new() })
    }

    /// Runs checks. If the device fails, each runs again alone, and a kernel is found wrong if the device fails at it again: a
    /// single failure may have any cause. Such a kernel does not run again.
    ///
    /// # Errors
    ///
    /// If the device cannot be opened again, or always fails.
    pub fn run(&mut self, checks: &[Check], found: &mut Found) -> Result<()> {
        let possible: Vec<&Check> = checks.iter().filter(|check| !self.is_fatal(check)).collect();
        if possible.is_empty() || self.attempt(&possible, found)?.is_none() {
            return Ok(());
        }
        for check in possible {
            if self.is_fatal(check) || self.attempt(&[check], found)?.is_none() {
                continue;
            }
            let Some(Failure { kernels, error }) = self.attempt(&[check], found)? else { continue };
            for kernel in kernels {
                found(kernel, Some(format!("the device fails: {error}")));
                self.fatal.insert(kernel.name);
            }
        }
        Ok(())
    }

    fn is_fatal(&self, check: &Check) -> bool {
        check.plan.launches.iter().any(|launch| self.fatal.contains(launch.kernel.name))
    }

    /// Runs checks until the device fails, and opens it again then.
    fn attempt(&mut self, checks: &[&Check], found: &mut Found) -> Result<Option<Failure>> {
        let Err(failure) = run(&self.device, checks, found) else {
            self.failures = 0;
            return Ok(None);
        };
        self.failures += 1;
        if self.failures == MAX_FAILURES {
            return Err(failure.error);
        }
        self.device = (self.open)()?.as_opened();
        Ok(Some(failure))
    }
}

/// The device failed, or refused a pipeline.
struct Failure {
    /// The kernel that it was to run, or all that it was to compile: drivers do not say which one they refuse.
    kernels: Vec<&'static Kernel>,
    error: Error,
}

/// Runs checks. A launch always starts from the reference's values, so a kernel is not blamed for the errors of those before it.
fn run(device: &Device, checks: &[&Check], found: &mut Found) -> Result<(), Failure> {
    let sessions = || {
        let plans = || checks.iter().map(|check| check.plan.clone()).collect();
        let reference = Session::new(&Device::cpu_reference(), plans())?;
        Ok(Pair { tested: Session::new(device, plans())?, reference })
    };
    let kernels =
        || checks.iter().flat_map(|check| &check.plan.launches).map(|launch| launch.kernel).collect();
    let mut pair = sessions().map_err(|error| Failure { kernels: kernels(), error })?;
    checks.iter().enumerate().try_for_each(|(program, check)| pair.run(program, check, found))
}

struct Pair {
    tested: Session,
    reference: Session,
}

impl Pair {
    fn run(&mut self, program: usize, check: &Check, found: &mut Found) -> Result<(), Failure> {
        let mut written = BTreeSet::new();
        for (i, launch) in check.plan.launches.iter().enumerate() {
            let problem = self.compare(program, check, i, &mut written);
            let problem = problem.map_err(|error| Failure { kernels: vec![launch.kernel], error })?;
            found(launch.kernel, problem.map(|problem| format!("{}: {problem}", check.name)));
        }
        Ok(())
    }

    /// Runs a launch on both, and describes how what they write differs.
    fn compare(
        &mut self,
        program: usize,
        check: &Check,
        index: usize,
        written: &mut BTreeSet<StorageId>,
    ) -> Result<Option<String>> {
        let (plan, launch) = (&check.plan, &check.plan.launches[index]);
        if index == 0 {
            let feed = check.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.into()));
            self.reference.load(program, &feed.collect::<Vec<(&str, Input)>>())?;
        }
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
        self.reference.run_launch(program, index)?;
        self.tested.run_launch(program, index)?;
        let mut problem = None;
        for storage in &launch.writes {
            let got = self.tested.read_storage(program, *storage)?;
            let want = self.reference.read_storage(program, *storage)?;
            problem = problem.or(words_difference(got, want, check.tolerance, check.floor)?);
        }
        Ok(problem)
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
