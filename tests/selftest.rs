//! The self-test passes on right devices, and plans contain no kernel that failed it. `tests/device_faults` breaks kernels.

mod common;

use common::{CPU_AND_GPU, Failed, Outcome, Suite, named};
use std::process::ExitCode;
use striate::graph::Graph;
use striate::kernel::{self, Kernel};
use striate::op::Relu;
use striate::plan::algorithm::candidates;
use striate::plan::{Family, Pass, Plan, ShapeClass, Target, Tuned};
use striate::selftest::{self, Extent, Report, cases};
use striate::{Device, Error, TensorType};

/// Runs the self-test; a failed kernel is an error.
fn passing(device: &Device, extent: Extent, watch: &mut dyn FnMut(usize, usize)) -> Result<Report, Failed> {
    let report = selftest::run(&|| Ok(device.clone()), extent, watch)?;
    if let Some(failed) = report.failures().next() {
        return Err(format!("{}: {:?}", failed.kernel.name, failed.failure).into());
    }
    Ok(report)
}

fn a_right_device_passes(device: &Device) -> Outcome {
    let mut watched = Vec::new();
    let report = passing(device, Extent::Short, &mut |done, of| watched.push((done, of)))?;
    assert!(watched.iter().all(|(done, of)| done < of) && !watched.is_empty(), "{watched:?}");
    let tested = |name: &str| report.kernels.iter().any(|k| k.kernel.name == name && k.checks > 0);
    for name in ["relu", "conv_direct", "batch_norm_apply", "sgd", "probe_integers", "probe_barriers"] {
        assert!(tested(name), "{name} was not tested");
    }
    // Every kernel that is not chosen among others is used everywhere.
    let chosen = |kernel: &Kernel| Pass::ALL.iter().any(|pass| candidates(*pass).any(|c| c.kernel == kernel));
    let optional = |kernel: &Kernel| {
        kernel.uses_subgroups()
            || kernel.file.starts_with("winograd")
            || kernel.name.contains("pack")
            // Of GPUs only.
            || kernel.name.ends_with("tree")
            || kernel.name == "slice_sums"
            || kernel.name.ends_with("moments")
            || kernel.file == "batch_norm_merge.wgsl"
    };
    for own in report.kernels.iter().filter(|own| own.checks == 0) {
        let kernel = own.kernel;
        let is_expected = chosen(kernel) || optional(kernel) || kernel.name == "probe_ieee";
        assert!(is_expected, "{} was not tested", kernel.name);
    }
    Ok(())
}

fn a_right_device_passes_all_checks(device: &Device) -> Outcome {
    passing(device, Extent::Full, &mut |_, _| {}).map(|_| ())
}

/// With any kernel excluded, the plans of all cases avoid it or are refused, and convolutions and products are never refused.
fn an_excluded_kernel_is_never_planned() -> Outcome {
    let cases = cases::all();
    for family in [Family::Gpu, Family::Software] {
        let base = Target { subgroup: 8, ..Target::baseline(family) };
        for case in &cases {
            for backward in [false, true].into_iter().filter(|b| !b || case.backward) {
                let mut kernels: Vec<&Kernel> =
                    case.plan(&base, backward)?.launches.iter().map(|launch| launch.kernel).collect();
                kernels.sort_by_key(|kernel| kernel.name);
                kernels.dedup();
                for kernel in kernels {
                    avoids(case, backward, kernel, &base)?;
                }
            }
        }
    }
    Ok(())
}

fn avoids(case: &cases::Case, backward: bool, kernel: &'static Kernel, base: &Target) -> Outcome {
    let target = Target { excluded: vec![kernel], ..base.clone() };
    match case.plan(&target, backward) {
        Ok(plan) => {
            let used = plan.launches.iter().any(|launch| launch.kernel == kernel);
            assert!(!used, "{} contains {}", case.name, kernel.name);
        }
        Err(Error::Device(problem)) => {
            assert!(problem.contains(kernel.name), "{problem}");
            let several = Pass::ALL.iter().any(|pass| candidates(*pass).any(|c| c.kernel == kernel));
            assert!(!several, "{} could use another kernel than {}", case.name, kernel.name);
        }
        Err(error) => return Err(format!("{} without {}: {error}", case.name, kernel.name).into()),
    }
    Ok(())
}

fn requests_and_measurements_do_not_bring_an_excluded_kernel_back() -> Outcome {
    let case = cases::all().into_iter().find(|case| case.name == "conv2d::same3x3_bias").expect("a case");
    let base = Target { subgroup: 8, ..Target::baseline(Family::Gpu) };
    let plan = case.plan(&base, false)?;
    let kernel = plan.launches[0].kernel;
    let excluded = vec![kernel];
    let forced =
        Target { kernels: vec![(Pass::Forward, kernel)], excluded: excluded.clone(), ..base.clone() };
    let error = case.plan(&forced, false).unwrap_err().to_string();
    assert!(error.contains(kernel.name) && error.contains("self-test"), "{error}");

    let class = ShapeClass {
        pass: Pass::Forward,
        shape: "3x3 stride 1, 4 to 4 channels, 8x8 pixels, batch 2".into(),
    };
    let mut tuned = Tuned::default();
    tuned.set(class, Some(kernel));
    let plan = case.plan(&Target { tuned, excluded, ..base }, false)?;
    assert!(plan.launches.iter().all(|launch| launch.kernel != kernel));
    Ok(())
}

fn a_device_that_fails_a_probe_is_not_used() -> Outcome {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([4]))?;
    let y = graph.apply(Relu, &[x])?[0];
    graph.output("y", y);
    for probe in [&kernel::PROBE_INTEGERS, &kernel::PROBE_BARRIERS] {
        let target = Target { excluded: vec![probe], ..Target::baseline(Family::Gpu) };
        let error = Plan::new(&graph, &target).unwrap_err().to_string();
        assert!(error.contains(probe.name) && error.contains("another device"), "{error}");
    }
    // Only kernels with subgroup operations need subgroups.
    let target = Target { excluded: vec![&kernel::PROBE_SUBGROUPS], ..Target::baseline(Family::Gpu) };
    Plan::new(&graph, &target)?;
    Ok(())
}

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.add_all_on(CPU_AND_GPU, named![a_right_device_passes, a_right_device_passes_all_checks]);
    suite.add_all(named![
        an_excluded_kernel_is_never_planned,
        requests_and_measurements_do_not_bring_an_excluded_kernel_back,
        a_device_that_fails_a_probe_is_not_used,
    ]);
    suite.run()
}
