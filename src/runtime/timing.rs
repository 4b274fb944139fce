//! How long steps and their parts take.

use std::time::Instant;

/// How long the groups of a plan took.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Seconds, by group of the plan.
    pub seconds: Vec<f64>,
    /// What measured them.
    pub clock: Clock,
}

/// What measured a [`Timing`] or a [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The device's own timestamps.
    Timestamps,
    /// The host's clock, submission and waiting included.
    Wall,
}

/// One step, launch by launch.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Start and end of each of the plan's launches, in seconds from the start of the first.
    pub spans: Vec<[f64; 2]>,
    /// What measured them.
    pub clock: Clock,
    /// When the first launch started, in seconds on that clock. Where it is the host's, the same as in `host`;
    /// a device's counts from some time of its own.
    pub start: f64,
    /// What the host did in this step, one after another.
    pub host: Vec<HostSpan>,
}

/// A part of a step on the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostSpan {
    /// What was done: `record`, `submit`, `wait`, ...
    pub name: &'static str,
    /// Seconds since the session was made.
    pub start: f64,
    /// Seconds since the session was made.
    pub end: f64,
}

/// What is timed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    /// Each group of the plan.
    Group,
    /// Each launch of the plan.
    Launch,
}

impl Each {
    /// The launches of each piece.
    pub fn pieces(self, plan: &crate::plan::Plan) -> Vec<std::ops::Range<usize>> {
        match self {
            Each::Group => plan.groups.iter().map(|g| g.launches.clone()).collect(),
            Each::Launch => (0..plan.launches.len()).map(|i| i..i + 1).collect(),
        }
    }
}

/// Cuts the host's time into spans.
pub(crate) struct HostClock {
    zero: Instant,
    last: f64,
    spans: Vec<HostSpan>,
}

impl HostClock {
    /// Starts now. Times count from `zero`.
    pub fn start(zero: Instant) -> Self {
        Self { zero, last: zero.elapsed().as_secs_f64(), spans: Vec::new() }
    }

    /// Seconds since `zero`.
    pub fn now(&self) -> f64 {
        self.zero.elapsed().as_secs_f64()
    }

    /// What was done since the last span, or the start.
    pub fn done(&mut self, name: &'static str) {
        let now = self.now();
        self.spans.push(HostSpan { name, start: self.last, end: now });
        self.last = now;
    }

    /// A profile of pieces that were timed by this clock, given since `zero`.
    pub fn profile(self, mut spans: Vec<[f64; 2]>) -> Profile {
        let start = spans.first().map_or(self.last, |[start, _]| *start);
        spans.iter_mut().flatten().for_each(|time| *time -= start);
        Profile { spans, clock: Clock::Wall, start, host: self.spans }
    }

    /// A profile of pieces that the device timed, from the first one's start on.
    pub fn profile_on_device(self, spans: Vec<[f64; 2]>, start: f64) -> Profile {
        Profile { spans, clock: Clock::Timestamps, start, host: self.spans }
    }
}
