//! Learning-rate schedules.

/// How the learning rate falls after the warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// Not at all.
    Constant,
    /// To zero along half a cosine (Loshchilov & Hutter 2017).
    Cosine,
    /// By `factor` at each of these shares of all steps, as He et al. 2015 did at 1/2 and 3/4.
    Steps {
        /// Shares in [0, 1].
        at: Vec<f32>,
        /// Factor at each.
        factor: f32,
    },
    /// Up from a 25th of the rate to all of it over the first 30 % of the steps, then down to a 10,000th of where it
    /// began, both along half cosines (Smith & Topin 2019, with PyTorch's numbers; the momentum stays). It has its
    /// own warm-up: another one's steps are not counted.
    OneCycle,
}

/// Learning rate by step: a linear warm-up, then a decay.
///
/// ```
/// use striate::nn::{Decay, Schedule};
/// let schedule = Schedule { lr: 0.1, steps: 100, warmup: 10, decay: Decay::Cosine };
/// assert_eq!(schedule.at(0), 0.01);
/// assert_eq!(schedule.at(9), 0.1);
/// assert!(schedule.at(99) < 1e-4);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub lr: f32,
    /// Steps in all.
    pub steps: usize,
    /// Steps of warm-up.
    pub warmup: usize,
    /// What comes then.
    pub decay: Decay,
}

impl Schedule {
    /// Learning rate of a step, from 0.
    pub fn at(&self, step: usize) -> f32 {
        if step < self.warmup && self.decay != Decay::OneCycle {
            return self.lr * (step + 1) as f32 / self.warmup as f32;
        }
        match &self.decay {
            Decay::OneCycle => self.one_cycle(step),
            Decay::Constant => self.lr,
            Decay::Cosine => {
                let rest = (self.steps.max(self.warmup + 1) - self.warmup) as f64;
                let done = ((step - self.warmup) as f64 / rest).min(1.0);
                (self.lr as f64 * half_cosine(done)) as f32
            }
            Decay::Steps { at, factor } => {
                let passed = at.iter().filter(|share| step as f32 >= **share * self.steps as f32).count();
                self.lr * factor.powi(passed as i32)
            }
        }
    }

    fn one_cycle(&self, step: usize) -> f32 {
        let (top, last) = (self.lr as f64, self.steps.saturating_sub(1) as f64);
        let first = top / 25.0;
        let peak = (0.3 * self.steps as f64 - 1.0).max(0.0);
        let at = (step as f64).min(last);
        let between = |from: f64, to: f64, done: f64| to + (from - to) * half_cosine(done);
        let rate = match at < peak {
            true => between(first, top, at / peak),
            false => between(top, first / 1e4, (at - peak) / (last - peak).max(1.0)),
        };
        rate as f32
    }
}

/// From 1 at 0 to 0 at 1, along half a cosine.
fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fall_at_their_shares() {
        let decay = Decay::Steps { at: vec![0.5, 0.75], factor: 0.1 };
        let schedule = Schedule { lr: 1.0, steps: 8, warmup: 0, decay };
        let rates: Vec<f32> = (0..8).map(|s| schedule.at(s)).collect();
        assert_eq!(rates[..4], [1.0; 4]);
        assert!(rates[4..6].iter().all(|r| (r - 0.1).abs() < 1e-6));
        assert!(rates[6..].iter().all(|r| (r - 0.01).abs() < 1e-6));
    }

    /// Rates of PyTorch's `OneCycleLR(max_lr=0.1, total_steps=10)`.
    #[test]
    fn one_cycle_is_pytorchs() {
        let schedule = Schedule { lr: 0.1, steps: 10, warmup: 0, decay: Decay::OneCycle };
        for (step, want) in [(0, 0.004), (1, 0.052), (2, 0.1), (5, 0.061_126_206), (9, 4e-7)] {
            let got = schedule.at(step);
            assert!((got - want).abs() < 1e-6, "{got} at step {step}, expected {want}");
        }
    }
}
