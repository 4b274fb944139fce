//! Timings of steps and their parts.

use std::time::Instant;

/// Time per group of a plan.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Seconds for each group of the plan.
    pub seconds: Vec<f64>,
    /// The clock that measured them.
    pub clock: Clock,
}

/// The clock of a [`Timing`] or a [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The device's own timestamps.
    Timestamps,
    /// The host's clock, submission and waiting included.
    Wall,
}

/// A step's timeline, launch by launch.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Start and end of each of the plan's launches, in seconds from the start of the first.
    pub spans: Vec<[f64; 2]>,
    /// The clock that measured them.
    pub clock: Clock,
    /// When the first launch started, in seconds on that clock. [`Clock::Wall`] has the same origin as `host`, a device's
    /// clock an arbitrary one.
    pub start: f64,
    /// The host's work in this step, in order.
    pub host: Vec<HostSpan>,
}

/// A part of a step on the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostSpan {
    /// The kind of work: `record`, `submit`, `wait`, ...
    pub name: &'static str,
    /// Seconds since the session was created.
    pub start: f64,
    /// Seconds since the session was created.
    pub end: f64,
}

/// Divides the host's time into spans.
pub(crate) struct HostClock {
    zero: Instant,
    last: f64,
    spans: Vec<HostSpan>,
}

impl HostClock {
    /// Starts the first span. Times are relative to `zero`.
    pub fn start(zero: Instant) -> Self {
        Self { zero, last: zero.elapsed().as_secs_f64(), spans: Vec::new() }
    }

    /// Seconds since `zero`.
    pub fn now(&self) -> f64 {
        self.zero.elapsed().as_secs_f64()
    }

    /// Ends the current span and starts the next.
    pub fn done(&mut self, name: &'static str) {
        let now = self.now();
        self.spans.push(HostSpan { name, start: self.last, end: now });
        self.last = now;
    }

    /// A profile of pieces measured by this clock, in seconds since `zero`.
    pub fn profile(self, mut spans: Vec<[f64; 2]>) -> Profile {
        let start = spans.first().map_or(self.last, |[start, _]| *start);
        spans.iter_mut().flatten().for_each(|time| *time -= start);
        Profile { spans, clock: Clock::Wall, start, host: self.spans }
    }

    /// A profile of pieces measured by the device, relative to the start of the first.
    pub fn profile_on_device(self, spans: Vec<[f64; 2]>, start: f64) -> Profile {
        Profile { spans, clock: Clock::Timestamps, start, host: self.spans }
    }
}
