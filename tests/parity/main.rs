//! Every operation, forward and backward, on the GPU and on the fast CPU executor, against the definition: the CPU reference with
//! direct convolutions. Each row of a table is a test for each direction and device.

#[path = "../common/mod.rs"]
mod common;

mod limits;
mod nan;
mod pieces;
mod sizes;
mod submissions;
mod winograd;

use common::*;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use striate::kernel;
use striate::plan::algorithm::PREFERENCES;
use striate::plan::{Algorithm, Family, Target};
use striate::selftest::cases::{self, Case};
use striate::{Device, Input, Session, Tensor};

fn main() -> ExitCode {
    let mut suite = Suite::new();
    let cases: Vec<Arc<Case>> = cases::all().into_iter().map(Arc::new).collect();
    for case in &cases {
        let directions: &[bool] = if case.backward { &[false, true] } else { &[false] };
        for &backward in directions {
            let direction = if backward { "backward" } else { "forward" };
            let own = case.clone();
            suite.add_on(CPU_AND_GPU, format!("{}::{direction}", case.name), move |device| {
                agrees(&own, backward, device)
            });
        }
    }
    suite.add("names_are_unique", {
        let cases = cases.clone();
        move || names_are_unique(&cases)
    });
    suite.add("every_kernel_has_a_case", {
        let cases = cases.clone();
        move || every_kernel_has_a_case(&cases)
    });
    submissions::add(&mut suite, &cases);
    suite.add("every_preference_has_a_case", move || every_preference_has_a_case(&cases));
    limits::add(&mut suite);
    nan::add(&mut suite);
    pieces::add(&mut suite);
    sizes::add(&mut suite);
    winograd::add(&mut suite);
    suite.run()
}

/// Computes results from the definition.
pub static REFERENCE: LazyLock<Device> = LazyLock::new(|| {
    let device = Device::cpu_reference();
    let target = device.target().clone().with_convolutions(Algorithm::Direct);
    device.with_target(target)
});

/// All outputs of a case, or the gradients of all float inputs for a random upstream gradient.
fn evaluate(case: &Case, device: &Device, backward: bool) -> striate::Result<Vec<Tensor>> {
    let mut session = Session::new(device, vec![case.plan(device.target(), backward)?])?;
    let feed = case.feed(backward);
    let feed: Vec<(&str, Input)> = feed.iter().map(|(name, tensor)| (name.as_str(), tensor.into())).collect();
    Ok(session.run(0, &feed)?.into_tensors())
}

/// Compares a case on a device, with each of its targets, with the definition.
fn agrees(case: &Case, backward: bool, device: &Device) -> Outcome {
    let direction = if backward { "backward" } else { "forward" };
    let want = evaluate(case, &REFERENCE, backward)
        .map_err(|e| format!("{}: {e}", case.describe(direction, "the reference", "")))?;
    for (variant, target) in case.targets(device.target(), backward) {
        let what = case.describe(direction, &device.name(), &variant);
        let tolerance = case.tolerance_on(&target, backward);
        let got = evaluate(case, &device.clone().with_target(target), backward)
            .map_err(|e| format!("{what}: {e}"))?;
        compare_all(&what, &got, &want, tolerance, case.floor)?;
    }
    Ok(())
}

fn names_are_unique(cases: &[Arc<Case>]) -> Outcome {
    let mut seen = BTreeSet::new();
    match cases.iter().find(|c| !seen.insert(&c.name)) {
        Some(case) => Err(format!("two cases are named {}", case.name).into()),
        None => Ok(()),
    }
}

/// The kernels of all plans of the cases on a GPU.
fn kernels_on_a_gpu(cases: &[Arc<Case>]) -> Result<BTreeSet<&'static str>, Failed> {
    let base = Target { subgroup: 8, ..Target::baseline(Family::Gpu) };
    let mut used = BTreeSet::new();
    for case in cases {
        for backward in [false, true].into_iter().filter(|b| !b || case.backward) {
            for (variant, target) in case.targets(&base, backward) {
                used.extend(kernels(case, backward, &variant, &target)?);
            }
        }
    }
    Ok(used)
}

fn kernels(case: &Case, backward: bool, variant: &str, target: &Target) -> Result<Vec<&'static str>, Failed> {
    let plan = case
        .plan(target, backward)
        .map_err(|e| format!("{}: {e}", case.describe("plan", "no device", variant)))?;
    Ok(plan.launches.iter().map(|l| l.kernel.name).collect())
}

fn every_kernel_has_a_case(cases: &[Arc<Case>]) -> Outcome {
    let used = kernels_on_a_gpu(cases)?;
    let missing: Vec<&str> = kernel::ALL
        .iter()
        .filter(|k| !k.file.starts_with("probe"))
        .map(|k| k.name)
        .filter(|n| !used.contains(n))
        .collect();
    assert!(missing.is_empty(), "no case uses the kernels {}; add a row for each", missing.join(", "));
    Ok(())
}

/// Every kernel of every preference is compared with the definition, and every preference is reachable: some case uses one of its
/// kernels on a matching target without requesting it.
fn every_preference_has_a_case(cases: &[Arc<Case>]) -> Outcome {
    let used = kernels_on_a_gpu(cases)?;
    for row in &PREFERENCES {
        let all: BTreeSet<&str> = row.kernels().map(|k| k.name).collect();
        if let Some(kernel) = all.iter().find(|name| !used.contains(*name)) {
            return Err(format!("{row:?}: no case uses {kernel}").into());
        }
        let families = row.family.map_or(vec![Family::Gpu, Family::Software, Family::Cpu], |f| vec![f]);
        let lanes = [0, 8, *row.lanes.end()].into_iter().filter(|lanes| row.lanes.contains(lanes));
        let mut chosen = BTreeSet::new();
        for (family, subgroup) in lanes.flat_map(|lanes| families.iter().map(move |f| (*f, lanes))) {
            let vendor = row.vendor.unwrap_or_default();
            let target = Target { subgroup, vendor, ..Target::baseline(family) };
            for case in cases {
                for backward in [false, true].into_iter().filter(|b| !b || case.backward) {
                    chosen.extend(kernels(case, backward, "without requests", &target)?);
                }
            }
        }
        if all.is_disjoint(&chosen) {
            return Err(
                format!("no case uses a kernel because of {row:?}; add one, or remove the row").into()
            );
        }
    }
    Ok(())
}
