//! A model of the time of a step on many ranks, in the style of LogP (Culler et al. 1993).

/// What connects the ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Seconds from sending a message to receiving it.
    pub latency: f64,
    /// Seconds that a rank is busy with each message.
    pub overhead: f64,
    /// Bytes that a rank can send per second, while it receives as many.
    pub bandwidth: f64,
    /// Bytes per second between a device and its host.
    pub copy: f64,
}

/// When a step on one rank has something to sum, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sum {
    /// Seconds from the start of the step until the values are computed.
    pub ready: f64,
    /// Seconds from the start of the step until the sums are needed.
    pub needed: f64,
    pub bytes: f64,
}

/// The measured timeline of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// Seconds of the step without exchanging.
    pub seconds: f64,
    /// In the order in which they are exchanged.
    pub sums: Vec<Sum>,
}

/// The predicted time of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub seconds: f64,
    /// Seconds of sums, hidden or not.
    pub exchange: f64,
}

impl Link {
    /// Seconds to sum some bytes on `ranks` ranks: copies from the device and back, and two phases. In each, every rank sends a part to
    /// every other one: first of the values, then of the sums.
    pub fn sum(&self, ranks: usize, bytes: f64) -> f64 {
        let others = (ranks - 1) as f64;
        let phase = self.latency + others * self.overhead + bytes * others / ranks as f64 / self.bandwidth;
        2.0 * (phase + bytes / self.copy)
    }
}

impl Timeline {
    /// The step on `ranks` ranks. Sums are computed one after another while the device works, and it waits for those that it needs.
    pub fn on(&self, ranks: usize, link: &Link) -> Step {
        if ranks == 1 {
            return Step { seconds: self.seconds, exchange: 0.0 };
        }
        let mut order: Vec<&Sum> = self.sums.iter().collect();
        order.sort_by(|a, b| a.needed.total_cmp(&b.needed));
        let (mut delay, mut free, mut exchange) = (0.0f64, 0.0f64, 0.0);
        let mut started = 0;
        let mut done = vec![0.0; self.sums.len()];
        for needed in order {
            // Everything that is ready by then has been started, in order.
            while let Some(sum) = self.sums.get(started).filter(|sum| sum.ready <= needed.needed) {
                let seconds = link.sum(ranks, sum.bytes);
                free = free.max(sum.ready + delay) + seconds;
                exchange += seconds;
                done[started] = free;
                started += 1;
            }
            let index = self.sums.iter().position(|sum| std::ptr::eq(sum, needed));
            let ended = done[index.expect("it is one of them")];
            delay = delay.max(ended - needed.needed);
        }
        Step { seconds: self.seconds + delay, exchange }
    }

    /// The fraction of the ideal speed on `ranks` ranks, each with as many images as one.
    pub fn efficiency(&self, ranks: usize, link: &Link) -> f64 {
        self.seconds / self.on(ranks, link).seconds
    }

    /// The timeline of a step that takes `factor` times as long in all its parts, to sum as much.
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |sum: &Sum| Sum { ready: sum.ready * factor, needed: sum.needed * factor, ..*sum };
        Self { seconds: self.seconds * factor, sums: self.sums.iter().map(scale).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { latency: 1e-3, overhead: 1e-4, bandwidth: 1e6, copy: f64::INFINITY };

    /// A backward pass from 1 to 3 s, and an update of 0.5 s.
    fn timeline(bytes: f64) -> Timeline {
        let sums = [1.5, 3.0].map(|ready| Sum { ready, needed: 3.0, bytes });
        Timeline { seconds: 3.5, sums: sums.to_vec() }
    }

    #[test]
    fn a_sum_takes_two_phases() {
        assert!((LINK.sum(2, 1e6) - 2.0 * (1e-3 + 1e-4 + 0.5)).abs() < 1e-12);
        assert!((LINK.sum(4, 1e6) - 2.0 * (1e-3 + 3e-4 + 0.75)).abs() < 1e-12);
        let copied = Link { copy: 1e6, ..LINK };
        assert!((copied.sum(2, 1e6) - LINK.sum(2, 1e6) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_device_waits_only_for_what_is_not_hidden() {
        let sum = LINK.sum(2, 1e6);
        let step = timeline(1e6).on(2, &LINK);
        // The first sum takes place during the backward pass.
        assert!((step.seconds - 3.5 - sum).abs() < 1e-12, "{step:?}");
        assert!((step.exchange - 2.0 * sum).abs() < 1e-12);
        // Two seconds each: the first one ends half a second after the backward pass.
        let sum = LINK.sum(2, 2e6);
        let step = timeline(2e6).on(2, &LINK);
        assert!((step.seconds - 3.5 - (1.5 + sum - 3.0) - sum).abs() < 1e-12, "{step:?}");
        assert_eq!(timeline(1e6).on(1, &LINK).seconds, 3.5);
        assert!(timeline(1e6).efficiency(2, &LINK) < 1.0);
    }

    #[test]
    fn sums_that_are_needed_at_once_delay_everything_after_them() {
        let sums =
            vec![Sum { ready: 1.0, needed: 1.0, bytes: 1e6 }, Sum { ready: 2.0, needed: 3.0, bytes: 0.0 }];
        let (first, second) = (LINK.sum(2, 1e6), LINK.sum(2, 0.0));
        assert!(second < 1.0);
        let step = Timeline { seconds: 3.5, sums }.on(2, &LINK);
        assert!((step.seconds - 3.5 - first).abs() < 1e-12, "{step:?}");
    }
}
