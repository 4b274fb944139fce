//! A timeline of host and launches as Chrome trace events, for ui.perfetto.dev and chrome://tracing.

use super::Answer;
use super::steps::{Steps, device_seconds};
use crate::cli::numbers::bounds;
use serde_json::{Value, json};
use striate::{Clock, Profile};

// Process ids.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

// Thread ids of the device.
const LAYERS: u32 = 1;
const LAUNCHES: u32 = 2;

pub fn json(steps: &Steps, answer: &Answer) -> String {
    let alignment = Alignment::new(&steps.profiles, steps.clock());
    let mut events = names(answer);
    for (number, profile) in steps.profiles.iter().enumerate() {
        events.extend(host_events(number, profile));
        events.extend(device_events(steps, profile, profile.start + alignment.offset));
    }
    let trace = json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "model": answer.model,
            "device": answer.device,
            "clock": answer.clock,
            "alignment": alignment.describe(steps.clock()),
        },
    });
    trace.to_string() + "\n"
}

/// The offset from the device's clock to the host's.
struct Alignment {
    /// Seconds to add to times of the device.
    offset: f64,
    /// Largest error of the offset, in seconds.
    uncertainty: f64,
}

impl Alignment {
    /// No launch starts before its step is submitted or ends after the host has observed the end of the step. So each step gives a
    /// lower and an upper bound of the offset; this takes the middle between the tightest ones.
    fn new(profiles: &[Profile], clock: Clock) -> Self {
        if clock == Clock::Wall {
            return Self { offset: 0.0, uncertainty: 0.0 };
        }
        let (mut lower, mut upper) = (f64::NEG_INFINITY, f64::INFINITY);
        for profile in profiles {
            let submitted =
                profile.host.iter().find(|s| s.name == "submit").map_or(f64::NEG_INFINITY, |s| s.start);
            let observed = profile.host.last().map_or(f64::INFINITY, |s| s.end);
            lower = lower.max(submitted - profile.start);
            upper = upper.min(observed - profile.start - device_seconds(profile));
        }
        Self { offset: (lower + upper) / 2.0, uncertainty: ((upper - lower) / 2.0).abs() }
    }

    fn describe(&self, clock: Clock) -> String {
        match clock {
            Clock::Wall => "host and launches are timed by the same clock".into(),
            Clock::Timestamps => format!(
                "the device's clock is aligned so that no launch starts before its step is submitted or ends \
                 after the host observed the end of the step; it may be off by {:.3} ms",
                self.uncertainty * 1e3
            ),
        }
    }
}

/// Events that name processes and threads.
fn names(answer: &Answer) -> Vec<Value> {
    let name = |what: &str, pid: u32, tid: u32, name: &str| json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "args": { "name": name } });
    vec![
        name("process_name", HOST, 0, "host"),
        name("thread_name", HOST, 1, "steps"),
        name("process_name", DEVICE, 0, &answer.device),
        name("thread_name", DEVICE, LAYERS, "layers"),
        name("thread_name", DEVICE, LAUNCHES, "launches"),
    ]
}

/// An event from `start` to `end`, in seconds.
fn event(name: &str, category: &str, [pid, tid]: [u32; 2], [start, end]: [f64; 2], args: Value) -> Value {
    let (ts, dur) = (start * 1e6, (end - start) * 1e6);
    json!({ "ph": "X", "name": name, "cat": category, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args })
}

/// The events of a step on the host.
fn host_events(number: usize, profile: &Profile) -> Vec<Value> {
    let lane = [HOST, 1];
    let ends = profile.host.first().zip(profile.host.last());
    let step = ends.map(|(first, last)| {
        event(&format!("step {number}"), "step", lane, [first.start, last.end], json!({}))
    });
    let parts = profile.host.iter().map(|s| event(s.name, "host", lane, [s.start, s.end], json!({})));
    step.into_iter().chain(parts).collect()
}

/// The layers and launches of a step, with times shifted by `offset`.
fn device_events(steps: &Steps, profile: &Profile, offset: f64) -> Vec<Value> {
    let plan = &steps.plan;
    let mut events = Vec::new();
    for group in &plan.groups {
        let spans = &profile.spans[group.launches.clone()];
        // Launches may overlap.
        let (start, end) = bounds(spans.iter().flatten().copied());
        let category = group.phase.name();
        let span = [start, end].map(|t| t + offset);
        events.push(event(&group.label(), category, [DEVICE, LAYERS], span, json!({ "shape": group.shape })));
        for (launch, span) in plan.launches[group.launches.clone()].iter().zip(spans) {
            let nanoseconds = ((span[1] - span[0]) * 1e9).max(1e-3);
            let args = json!({
                "layer": group.label(),
                "workgroups": launch.workgroups,
                "flops": launch.flops,
                "bytes": launch.bytes,
                "GFLOP/s": launch.flops as f64 / nanoseconds,
                "GB/s": launch.bytes as f64 / nanoseconds,
            });
            let lane = [DEVICE, LAUNCHES];
            events.push(event(launch.kernel.name, category, lane, span.map(|t| t + offset), args));
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use striate::HostSpan;

    #[test]
    fn the_offset_is_in_the_middle_of_the_tightest_bounds() {
        let profile = |submit: f64, seen: f64, start: f64, length: f64| {
            let span = |name, start, end| HostSpan { name, start, end };
            let host = vec![span("submit", submit, submit + 0.1), span("wait", submit + 0.1, seen)];
            Profile { spans: vec![[0.0, length]], clock: Clock::Timestamps, start, host }
        };
        // The first allows -97 to -96, the second -96.8 to -95.
        let profiles = [profile(3.0, 6.0, 100.0, 2.0), profile(7.2, 11.0, 104.0, 2.0)];
        let found = Alignment::new(&profiles, Clock::Timestamps);
        assert!((found.offset + 96.4).abs() < 1e-9 && (found.uncertainty - 0.4).abs() < 1e-9);
        assert_eq!(Alignment::new(&profiles, Clock::Wall).offset, 0.0);
    }
}
