//! Learning-rate schedules.

use crate::error::require;
use crate::{Error, Result};

/// How the learning rate decays after the warmup. Schedules named after one of PyTorch's give the same rates.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// No decay.
    Constant,
    /// Half a cosine (Loshchilov & Hutter 2017): `CosineAnnealingLR` over the steps after the warmup.
    Cosine {
        /// The rate it would reach one step after the last.
        eta_min: f32,
    },
    /// Multiplied by `factor` at each milestone: `MultiStepLR`.
    Steps {
        /// The milestones.
        at: Vec<Milestone>,
        /// Factor at each milestone.
        factor: f32,
    },
    /// To zero along (1 - progress)^power: `PolynomialLR` over the steps after the warmup.
    Polynomial {
        /// The exponent; 1 is linear.
        power: f32,
    },
    /// `OneCycleLR`. It includes a warmup, so that [`Schedule::warmup`] is ignored.
    OneCycle(OneCycle),
}

/// A point in training at which the learning rate drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// After this many steps.
    Step(usize),
    /// After this many epochs of [`Schedule::steps_per_epoch`] steps.
    Epoch(usize),
    /// After this fraction of all steps, as numerator and denominator, rounded up: `Fraction(1, 2)` is halfway.
    Fraction(usize, usize),
}

/// One-cycle learning rate (Smith & Topin 2019) with the fields and defaults of PyTorch's `OneCycleLR`. Momentum is not
/// cycled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// Fraction of the steps in which the rate increases.
    pub pct_start: f32,
    /// Maximum rate divided by the initial rate.
    pub div_factor: f32,
    /// Initial rate divided by the final rate.
    pub final_div_factor: f32,
    /// Interpolation between the rates.
    pub anneal: Anneal,
    /// Return to the initial rate in as many steps as the increase took, then decay to the final rate.
    pub three_phase: bool,
}

/// Interpolation between two learning rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cosine,
    /// Linear.
    Linear,
}

impl Default for OneCycle {
    fn default() -> Self {
        Self {
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            anneal: Anneal::Cosine,
            three_phase: false,
        }
    }
}

/// Learning rate by step: a linear warmup, then a decay.
///
/// ```
/// use striate::nn::{Decay, Milestone, Schedule};
/// let cosine = Decay::Cosine { eta_min: 0.0 };
/// let schedule = Schedule { lr: 0.1, steps: 100, warmup: 10, decay: cosine, ..Default::default() };
/// assert_eq!(schedule.at(0), 0.01);
/// assert_eq!(schedule.at(9), 0.1);
/// assert!(schedule.at(99) < 1e-4);
///
/// let decay = Decay::Steps { at: vec![Milestone::Epoch(30), Milestone::Epoch(60)], factor: 0.1 };
/// let schedule = Schedule { lr: 1.0, steps: 90 * 7, steps_per_epoch: 7, decay, ..Default::default() };
/// assert_eq!([schedule.at(30 * 7 - 1), schedule.at(30 * 7)], [1.0, 0.1]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warmup.
    pub lr: f32,
    /// Total steps.
    pub steps: usize,
    /// Steps per epoch; only used for [`Milestone::Epoch`].
    pub steps_per_epoch: usize,
    /// Steps of warmup.
    pub warmup: usize,
    /// Fraction of `lr` at the first warmup step; the first step after the warmup has `lr`, as with PyTorch's
    /// `LinearLR`. If `None`, step i of the warmup (from 1) has `lr * i / warmup`, so that its last step has `lr`.
    pub start_factor: Option<f32>,
    /// What follows the warmup.
    pub decay: Decay,
}

impl Default for Schedule {
    /// A constant rate of 0.1.
    fn default() -> Self {
        Self { lr: 0.1, steps: 1, steps_per_epoch: 1, warmup: 0, start_factor: None, decay: Decay::Constant }
    }
}

impl Schedule {
    /// Learning rate of a step, counted from 0.
    pub fn at(&self, step: usize) -> f32 {
        if let Decay::OneCycle(cycle) = &self.decay {
            return cycle.at(self.lr, self.steps, step);
        }
        if step < self.warmup {
            return match self.start_factor {
                None => self.lr * (step + 1) as f32 / self.warmup as f32,
                Some(first) => {
                    let done = step as f64 / self.warmup as f64;
                    (f64::from(self.lr) * (f64::from(first) + (1.0 - f64::from(first)) * done)) as f32
                }
            };
        }
        let lr = f64::from(self.lr);
        let rest = (self.steps.max(self.warmup + 1) - self.warmup) as f64;
        let done = ((step - self.warmup) as f64 / rest).min(1.0);
        match &self.decay {
            Decay::Constant | Decay::OneCycle(_) => self.lr,
            Decay::Cosine { eta_min } => {
                let min = f64::from(*eta_min);
                (min + (lr - min) * half_cosine(done)) as f32
            }
            Decay::Polynomial { power } => (lr * (1.0 - done).powf(f64::from(*power))) as f32,
            Decay::Steps { at, factor } => {
                let passed = at.iter().filter(|milestone| step >= self.step_of(**milestone)).count();
                self.lr * factor.powi(passed as i32)
            }
        }
    }

    /// Index of the first step at the lower rate.
    pub fn step_of(&self, milestone: Milestone) -> usize {
        match milestone {
            Milestone::Step(step) => step,
            Milestone::Epoch(epoch) => epoch.saturating_mul(self.steps_per_epoch),
            Milestone::Fraction(numerator, denominator) => {
                let steps = (self.steps as u128 * numerator as u128).div_ceil(denominator.max(1) as u128);
                usize::try_from(steps).unwrap_or(usize::MAX)
            }
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] with the name of a setting that is out of range.
    pub fn check(&self) -> Result<()> {
        positive("lr", self.lr)?;
        if let Some(first) = self.start_factor {
            require("start_factor", first > 0.0 && first <= 1.0, "above 0 and at most 1", first)?;
        }
        match &self.decay {
            Decay::Constant => Ok(()),
            Decay::Cosine { eta_min } => {
                let expected = format!("between 0 and the learning rate {}", self.lr);
                require("eta_min", (0.0..=self.lr).contains(eta_min), expected, eta_min)
            }
            Decay::Steps { at, factor } => {
                if let Some(found) = at.iter().find(|at| matches!(at, Milestone::Fraction(_, 0))) {
                    return Err(Error::argument("milestones", format!("{found:?} has a denominator of 0")));
                }
                positive("factor", *factor)
            }
            Decay::Polynomial { power } => positive("power", *power),
            Decay::OneCycle(cycle) => {
                let pct_start = cycle.pct_start;
                require("pct_start", (0.0..=1.0).contains(&pct_start), "between 0 and 1", pct_start)?;
                positive("div_factor", cycle.div_factor)?;
                positive("final_div_factor", cycle.final_div_factor)
            }
        }
    }
}

fn positive(name: &str, number: f32) -> Result<()> {
    require(name, number > 0.0 && number.is_finite(), "positive and finite", number)
}

impl OneCycle {
    /// The rate at `step` of a cycle of `steps` steps with maximum `lr`.
    fn at(&self, lr: f32, steps: usize, step: usize) -> f32 {
        let [top, pct, div, final_div] =
            [lr, self.pct_start, self.div_factor, self.final_div_factor].map(f64::from);
        let (first, total) = (top / div, steps.max(1) as f64);
        let (last, rise) = (first / final_div, pct * total - 1.0);
        // End and final rate of each phase.
        let phases: &[(f64, f64)] = match self.three_phase {
            true => &[(rise, top), (2.0 * rise, first), (total - 1.0, last)],
            false => &[(rise, top), (total - 1.0, last)],
        };
        let step = (step as f64).min(total - 1.0);
        let (mut start, mut from) = (0.0, first);
        for (end, to) in phases {
            if step <= *end {
                let done = if *end > start { (step - start) / (end - start) } else { 1.0 };
                return match self.anneal {
                    Anneal::Cosine => to + (from - to) * half_cosine(done),
                    Anneal::Linear => from + (to - from) * done,
                } as f32;
            }
            (start, from) = (*end, *to);
        }
        last as f32
    }
}

/// Falls from 1 to 0 as `done` goes from 0 to 1.
fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(total: usize, steps_per_epoch: usize, at: Milestone) -> Schedule {
        let decay = Decay::Steps { at: vec![at], factor: 0.5 };
        Schedule { lr: 1.0, steps: total, steps_per_epoch, decay, ..Default::default() }
    }

    #[test]
    fn the_rate_drops_exactly_at_the_milestone() {
        for total in 1..=300 {
            for part in 0..=total {
                // The same step in all three forms.
                for schedule in [
                    steps(total, 1, Milestone::Step(part)),
                    steps(total * 7, 7, Milestone::Epoch(part)),
                    steps(total, 1, Milestone::Fraction(part, total)),
                ] {
                    let fall = part * schedule.steps_per_epoch;
                    let rates = [fall.saturating_sub(1), fall].map(|step| schedule.at(step));
                    assert_eq!(rates, [if fall == 0 { 0.5 } else { 1.0 }, 0.5], "{schedule:?}");
                }
            }
        }
        // Half of an odd number is rounded up.
        let half = steps(13, 1, Milestone::Fraction(1, 2));
        assert_eq!([half.at(6), half.at(7)], [1.0, 0.5]);
    }

    #[test]
    fn invalid_settings_are_rejected_by_name() {
        let cycle = OneCycle::default();
        for (name, decay) in [
            ("eta_min", Decay::Cosine { eta_min: 0.2 }),
            ("eta_min", Decay::Cosine { eta_min: f32::NAN }),
            ("factor", Decay::Steps { at: vec![], factor: 0.0 }),
            ("milestones", Decay::Steps { at: vec![Milestone::Fraction(1, 0)], factor: 0.1 }),
            ("power", Decay::Polynomial { power: -1.0 }),
            ("pct_start", Decay::OneCycle(OneCycle { pct_start: 1.5, ..cycle })),
            ("div_factor", Decay::OneCycle(OneCycle { div_factor: 0.0, ..cycle })),
            ("final_div_factor", Decay::OneCycle(OneCycle { final_div_factor: f32::INFINITY, ..cycle })),
        ] {
            let error = Schedule { decay, ..Default::default() }.check().unwrap_err();
            assert!(matches!(&error, Error::Argument { name: found, .. } if found == name), "{error}");
        }
        assert!(Schedule { start_factor: Some(0.0), ..Default::default() }.check().is_err());
        assert!(Schedule::default().check().is_ok());
    }
}
