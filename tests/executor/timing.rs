//! Timed and profiled steps.

use crate::common::*;
use crate::support::*;
use striate::graph::Graph;
use striate::{Clock, Device, Result, Tensor, TensorType, Timing};

pub fn each_group_is_timed(device: &Device) -> Outcome {
    let graph = training(BATCH)?;
    let run = |timed: bool| -> Result<(usize, Vec<Timing>, State)> {
        let mut session = session(device, &[&graph])?;
        session.initialize(3)?;
        let mut timings = Vec::new();
        for i in 0..3 {
            if timed {
                timings.push(session.time(0, &Batch::new(BATCH, i).feed())?);
            } else {
                session.run(0, &Batch::new(BATCH, i).feed())?;
            }
        }
        assert_eq!(session.pending(), 0);
        Ok((session.plans()[0].groups.len(), timings, everything(&mut session)?))
    };
    let (groups, timings, state) = run(true)?;
    for timing in &timings {
        let plausible = |s: &f64| s.is_finite() && (0.0..10.0).contains(s);
        if timing.seconds.len() != groups || !timing.seconds.iter().all(plausible) {
            return Err(format!("expected {groups} times between 0 and 10 s, found {timing:?}").into());
        }
        if timing.seconds.iter().sum::<f64>() <= 0.0 {
            return Err(format!("a step took no time at all: {timing:?}").into());
        }
        if !device.is_gpu() && timing.clock != Clock::Wall {
            return Err(format!("the CPU has no {:?}", timing.clock).into());
        }
    }
    // Timing does not change results.
    let (_, _, untimed) = run(false)?;
    for ((name, got), (_, want)) in state.iter().zip(&untimed) {
        compare(name, got, want, 0.0, 0.0)?;
    }
    Ok(())
}

pub fn each_launch_is_profiled(device: &Device) -> Outcome {
    let graph = training(BATCH)?;
    let mut session = session(device, &[&graph])?;
    session.initialize(3)?;
    let profile = session.profile(0, &Batch::new(BATCH, 0).feed())?;
    assert_eq!(profile.spans.len(), session.plans()[0].launches.len());
    assert_eq!(profile.spans[0][0], 0.0);
    let plausible = |[start, end]: &[f64; 2]| 0.0 <= *start && start <= end && *end < 10.0;
    // A GPU may start a launch before the one before it has ended.
    let one_by_one = device.is_gpu() || profile.spans.as_flattened().is_sorted();
    if !profile.spans.iter().all(plausible) || !one_by_one {
        return Err(format!("launches should be in order, found {:?}", profile.spans).into());
    }
    let host: Vec<f64> = profile.host.iter().flat_map(|span| [span.start, span.end]).collect();
    assert!(
        host.is_sorted() && host.len() >= 4,
        "spans of the host should be in order, found {:?}",
        profile.host
    );
    Ok(())
}

pub fn a_plan_without_launches_can_be_timed(device: &Device) -> Outcome {
    let run = || -> Result<(Timing, Tensor)> {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorType::f32([2]))?;
        graph.output("x", x);
        let mut session = session(device, &[&graph])?;
        let feed = [1.0f32, 2.0];
        let feed = [("x", (&feed).into())];
        let timing = session.time(0, &feed)?;
        Ok((timing, session.run(0, &feed)?.into_tensors().remove(0)))
    };
    let (timing, x) = run()?;
    assert!(
        timing.seconds.is_empty() && x.as_f32() == [1.0, 2.0],
        "expected no times and the input, found {timing:?} and {x:?}"
    );
    Ok(())
}
