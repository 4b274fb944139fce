//! The division of plans into submissions, without a device.

use std::ops::Range;
use striate::models;
use striate::plan::{Dispatch, Family, Plan, Report, Submission, Target};
use striate::train::{Recipe, training_graph};

/// Networks with image sizes and batches.
const NETWORKS: [(&str, usize, usize); 6] = [
    ("lenet", 28, 64),
    ("resnet20", 32, 8),
    ("resnet20", 32, 1024),
    ("googlenet", 224, 4),
    ("alexnet", 224, 64),
    ("resnet50", 224, 64),
];

fn plan(name: &str, size: usize, batch: usize, target: &Target) -> Plan {
    let channels = if name == "lenet" { 1 } else { 3 };
    let model = models::by_name(name, channels, 10).unwrap();
    let graph = training_graph(&*model, [batch, channels, size, size], &Recipe::default()).unwrap();
    Plan::new(&graph, target).unwrap()
}

fn gpu(submission_ms: Option<f64>) -> Target {
    // Large batches need more than WebGPU's smallest limits.
    Target { submission_ms, max_binding: 4 << 30, max_buffer: 4 << 30, ..Target::baseline(Family::Gpu) }
}

fn count(dispatch: &Dispatch) -> u64 {
    dispatch.workgroups.iter().map(|n| u64::from(*n)).product()
}

/// Every workgroup of every launch runs once, in order, and every dispatch is submitted once.
fn check_order(plan: &Plan, target: &Target, what: &str) {
    for (i, launch) in plan.launches.iter().enumerate() {
        let what = format!("{what}, launch {i} ({})", launch.kernel.name);
        let mut next = 0;
        for dispatch in &plan.dispatches[plan.dispatches_of(&(i..i + 1))] {
            assert_eq!((dispatch.launch, u64::from(dispatch.first_workgroup)), (i, next), "{what}");
            let fits = |n: &u32| (1..=target.max_workgroups).contains(n);
            assert!(dispatch.workgroups.iter().all(fits), "{what}: {dispatch:?}");
            next += count(dispatch);
        }
        assert_eq!(next, launch.workgroups.iter().map(|n| u64::from(*n)).product::<u64>(), "{what}");
    }
    assert!(plan.dispatches.is_sorted_by_key(|dispatch| (dispatch.launch, dispatch.first_workgroup)));
    let submitted: Vec<usize> = plan.submissions.iter().flat_map(|s| s.dispatches.clone()).collect();
    assert!(submitted.into_iter().eq(0..plan.dispatches.len()), "{what}");
}

#[test]
fn no_submission_exceeds_the_limit_unless_it_is_one_workgroup() {
    for (name, size, batch) in NETWORKS {
        for ms in [500.0, 20.0, 1.0] {
            for max_workgroups in [65_535, 5_000] {
                let target = Target { max_workgroups, ..gpu(Some(ms)) };
                let plan = plan(name, size, batch, &target);
                let what = format!("{name} in batches of {batch}, {ms} ms, {max_workgroups} workgroups");
                check_order(&plan, &target, &what);
                let long = |s: &&Submission| 1e3 * s.seconds > ms * (1.0 + 1e-9);
                for submission in plan.submissions.iter().filter(long) {
                    let dispatches = &plan.dispatches[submission.dispatches.clone()];
                    assert!(dispatches.len() == 1 && count(&dispatches[0]) == 1, "{what}: {submission:?}");
                }
            }
        }
    }
}

/// Without a limit, and under one that is far away, whole groups are submitted together, in submissions of at least 32 launches.
#[test]
fn short_submissions_are_whole_groups_of_at_least_32_launches() {
    for (name, size, batch) in NETWORKS {
        let free = plan(name, size, batch, &gpu(None));
        check_order(&free, &gpu(None), name);
        assert_eq!(free.dispatches.len(), free.launches.len(), "{name}");
        let ends = |s: &Submission| free.groups.iter().any(|g| g.launches.end == s.dispatches.end);
        assert!(free.submissions.iter().all(ends), "{name}: a submission ends within a group");
        let (_, others) = free.submissions.split_last().unwrap();
        let short = |s: &Submission| {
            let last = free.groups.iter().find(|g| g.launches.end == s.dispatches.end).unwrap();
            s.dispatches.len() < 32 || last.launches.start - s.dispatches.start >= 32
        };
        assert!(!others.iter().any(short), "{name}: {others:?}");
    }
    let ranges =
        |plan: Plan| plan.submissions.into_iter().map(|s| s.dispatches).collect::<Vec<Range<usize>>>();
    let [free, limited] = [None, Some(500.0)].map(|ms| ranges(plan("resnet20", 32, 32, &gpu(ms))));
    assert_eq!(free, limited, "ResNet-20 in batches of 32 needs no limit");
}

#[test]
fn only_hardware_gpus_have_a_limit_by_default() {
    assert!(Target::baseline(Family::Gpu).submission_ms.is_some_and(|ms| ms <= 1000.0));
    assert_eq!(Target::baseline(Family::Software).submission_ms, None);
    assert_eq!(Target::cpu(None).submission_ms, None);
}

#[test]
fn the_report_names_the_longest_submission() {
    let plan = plan("resnet20", 32, 1024, &gpu(Some(20.0)));
    let report = Report::new(&plan);
    let longest = report.longest_submission.as_ref().unwrap();
    let seconds = plan.submissions.iter().map(|s| s.seconds).fold(0.0, f64::max);
    assert_eq!((report.totals.submissions, longest.ms), (plan.submissions.len(), 1e3 * seconds));
    let group = plan.groups.iter().find(|g| *g.scope == *longest.scope && g.phase.name() == longest.phase);
    let launches = group.unwrap().launches.clone();
    let launch = launches.clone().find(|i| plan.launches[*i].kernel.name == longest.kernel).unwrap();
    assert!(longest.parts > 1 && plan.dispatches_of(&(launch..launch + 1)).len() > 1, "{longest:?}");
    let line = format!("longest    of {} submissions, predicted: {longest}\n", plan.submissions.len());
    assert!(report.to_string().contains(&line), "{report}");
}
