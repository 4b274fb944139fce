//! Tests a device: compares its kernels with the CPU.
//!
//! The self-test runs every kernel that a plan for the device may contain beside its CPU twin, and probes what all kernels take
//! for granted.
//!
//! Drivers have bugs, and a wrong kernel shows as a network that learns badly, if at all. [`run`] finds such kernels, and [`save`]
//! writes its [`Report`] to a file. [`Device::select`] reads it when it opens the same adapter again with the same driver, and
//! plans for that device never contain the kernels that failed.

pub mod cases;
mod check;
mod compare;
mod probes;
mod random;

pub use compare::{difference, shapes, tolerance};
pub use random::{Random, seed_of};

use crate::gpu::AdapterSummary;
use crate::kernel::{self, Kernel};
use crate::plan::Target;
use crate::plan::algorithm::{candidates, defaults};
use crate::plan::{Pass, Plan};
use crate::runtime::verdicts;
pub use crate::runtime::verdicts::{Extent, Verdicts};
use crate::{Device, Result};
use cases::Case;
use check::{Check, Tester};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The result of a self-test.
#[derive(Clone, Debug)]
pub struct Report {
    /// How much was tested.
    pub extent: Extent,
    /// What the device does where WGSL leaves it open. No kernel depends on it.
    pub properties: Vec<(&'static str, &'static str)>,
    /// All kernels and probes, in the order of the table.
    pub kernels: Vec<KernelReport>,
}

/// The outcome for one kernel.
#[derive(Clone, Debug)]
pub struct KernelReport {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// How many launches were compared; 0 if the kernel was not tested: the device cannot run it or fails at another kernel that
    /// its cases need, or the test is short and plans for the device do not choose the kernel by default.
    pub checks: usize,
    /// What was wrong first.
    pub failure: Option<String>,
}

impl Report {
    /// The kernels that failed.
    pub fn failures(&self) -> impl Iterator<Item = &KernelReport> {
        self.kernels.iter().filter(|kernel| kernel.failure.is_some())
    }
}

/// Tests a device, ignoring the results of earlier tests. `open` opens it, again after a failure. `watch` is called with the numbers
/// of finished cases and of all.
///
/// ```no_run
/// use striate::{Device, selftest};
///
/// let open = || Device::select("gpu");
/// let report = selftest::run(&open, selftest::Extent::Short, &mut |_, _| ())?;
/// for failed in report.failures() {
///     println!("{}: {}", failed.kernel.name, failed.failure.as_deref().unwrap_or_default());
/// }
/// selftest::save(&open()?, &report)?;
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// If the device cannot be opened, or fails without a kernel to blame. Kernels at which it fails repeatedly are in the report.
pub fn run(
    open: &dyn Fn() -> Result<Device>,
    extent: Extent,
    watch: &mut dyn FnMut(usize, usize),
) -> Result<Report> {
    let kernels = kernel::ALL.iter().map(|kernel| KernelReport { kernel, checks: 0, failure: None });
    let mut report = Report { extent, properties: Vec::new(), kernels: kernels.collect() };
    let mut tester = Tester::new(open)?;
    compare_all(&mut tester, &mut report, watch)?;
    report.properties = probes::properties(&tester.device)?;
    Ok(report)
}

fn compare_all(tester: &mut Tester, report: &mut Report, watch: &mut dyn FnMut(usize, usize)) -> Result<()> {
    let mut found = |kernel: &'static Kernel, problem: Option<String>| {
        let own = report.kernels.iter_mut().find(|own| *own.kernel == *kernel);
        let own = own.expect("every kernel is in the table");
        own.checks += 1;
        own.failure = own.failure.take().or(problem);
    };
    let (target, cases) = (tester.device.target().clone(), cases::all());
    let directions = directions(&cases);
    let count = directions.len();
    watch(0, count);
    tester.run(&probes::checks(&target), &mut found)?;
    if report.extent == Extent::Short {
        return tester.run(&cheapest(&directions, &target)?, &mut found);
    }
    for (i, (case, backward)) in directions.into_iter().enumerate() {
        watch(i, count);
        tester.run(&variants(case, backward, &target)?, &mut found)?;
    }
    Ok(())
}

/// The cheapest check of each kernel that plans for a target contain by default.
fn cheapest(directions: &[(&Case, bool)], target: &Target) -> Result<Vec<Check>> {
    let all = directions.par_iter().map(|(case, backward)| variants(case, *backward, target));
    let mut all: Vec<Check> = all.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    // Those without kernels that are not needed come first: compiling one may take minutes.
    let cost = |check: &Check| {
        let launches = &check.plan.launches;
        let others = launches.iter().filter(|launch| !is_default(launch.kernel, target)).count();
        (others, launches.iter().map(|launch| launch.flops + launch.bytes).sum::<u64>())
    };
    all.sort_by_cached_key(cost);
    let mut missing: BTreeSet<&str> =
        kernel::ALL.iter().filter(|k| is_default(k, target)).map(|k| k.name).collect();
    all.retain(|check| {
        let before = missing.len();
        for launch in &check.plan.launches {
            missing.remove(launch.kernel.name);
        }
        missing.len() < before
    });
    Ok(all)
}

/// Whether plans for a target may contain a kernel without a request or measurement.
fn is_default(kernel: &'static Kernel, target: &Target) -> bool {
    let kernel = kernel.without_moments();
    let of_algorithm = |pass: Pass| candidates(pass).any(|c| c.kernel == kernel);
    let preferred = |pass: Pass| {
        let mut algorithms = defaults(target, pass).into_iter();
        algorithms.any(|algorithm| pass.kernels_of(algorithm).any(|k| k == kernel))
    };
    Pass::ALL.into_iter().any(preferred) || !Pass::ALL.into_iter().any(of_algorithm)
}

/// Every case, forward, and backward if it has a gradient.
fn directions(cases: &[Case]) -> Vec<(&Case, bool)> {
    let both = cases.iter().flat_map(|case| [(case, false), (case, true)]);
    both.filter(|(case, backward)| case.backward || !backward).collect()
}

/// A case on each of its targets.
fn variants(case: &Case, backward: bool, target: &Target) -> Result<Vec<Check>> {
    let inputs: Arc<[_]> = case.feed(backward).into();
    let check = |(variant, target): (String, Target)| {
        let plan: Plan = case.plan(&target, backward)?;
        let direction = if backward { "backward" } else { "forward" };
        let name = format!("{} {direction}, {variant}", case.name);
        let tolerance = case.tolerance_on(&target, backward);
        Ok(Check { name, plan, inputs: inputs.clone(), tolerance, floor: case.floor })
    };
    case.targets(target, backward).into_iter().map(check).collect()
}

/// The stored result for an adapter; `None` if this version has not tested it with its current driver.
pub fn stored(adapter: &AdapterSummary) -> Option<Verdicts> {
    verdicts::load(adapter)
}

/// Whether a device was never tested, and the result of a test could be stored.
pub fn is_due(device: &Device) -> bool {
    device.adapter().is_some_and(|adapter| verdicts::can_be_stored() && stored(adapter).is_none())
}

/// Stores a report, so that [`Device::select`] excludes the kernels that failed. Returns the file, or `None` if there is no cache
/// folder or the device is the CPU executor.
pub fn save(device: &Device, report: &Report) -> Result<Option<PathBuf>> {
    let Some(adapter) = device.adapter() else { return Ok(None) };
    let mut verdicts = Verdicts { extent: report.extent, failed: BTreeMap::new() };
    if let Some(earlier) = stored(adapter) {
        // A short test does not clear what it did not test.
        let tested = |name: &str| report.kernels.iter().any(|k| k.kernel.name == name && k.checks > 0);
        verdicts.extent = verdicts.extent.max(earlier.extent);
        verdicts.failed.extend(earlier.failed.into_iter().filter(|(name, _)| !tested(name)));
    }
    for KernelReport { kernel, failure, .. } in report.failures() {
        verdicts.failed.insert(kernel.name.to_owned(), failure.clone().unwrap_or_default());
    }
    verdicts::save(adapter, &verdicts)
}
