//! Learning-rate schedules.

use crate::{Error, Result};

/// How the learning rate falls after the warm-up. Where PyTorch has a schedule of the same kind, rates are its rates.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// Not at all.
    Constant,
    /// Along half a cosine (Loshchilov & Hutter 2017): `CosineAnnealingLR` over the steps after the warm-up.
    Cosine {
        /// The rate that it would reach one step after the last.
        eta_min: f32,
    },
    /// By `factor` at each milestone: `MultiStepLR`.
    Steps {
        /// When it falls.
        at: Vec<Milestone>,
        /// What it is multiplied by each time.
        factor: f32,
    },
    /// To zero along (1 - done)^power: `PolynomialLR` over the steps after the warm-up.
    Polynomial {
        /// 1 is a straight line.
        power: f32,
    },
    /// Up and down again: `OneCycleLR`. It has its own warm-up: another one's steps are not counted.
    OneCycle(OneCycle),
}

/// When the learning rate falls, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// After so many steps.
    Step(usize),
    /// After so many epochs of [`Schedule::steps_per_epoch`] steps.
    Epoch(usize),
    /// After this part of all steps, numerator and denominator, rounded up: `Fraction(1, 2)` is half of them.
    Fraction(usize, usize),
}

/// One cycle of the learning rate (Smith & Topin 2019); fields and defaults of PyTorch's `OneCycleLR`. The momentum stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// Share of the steps over which the rate rises.
    pub pct_start: f32,
    /// The first rate is the largest one divided by this.
    pub div_factor: f32,
    /// The last rate is the first one divided by this.
    pub final_div_factor: f32,
    /// The way between the rates.
    pub anneal: Anneal,
    /// Fall to the first rate in as many steps as it took to rise, and to the last rate only then.
    pub three_phase: bool,
}

/// The way from one rate to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anneal {
    /// Along half a cosine.
    #[default]
    Cosine,
    /// Along a straight line.
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

/// Learning rate by step: a linear warm-up, then a decay.
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
    /// Rate at the end of the warm-up.
    pub lr: f32,
    /// Steps in all.
    pub steps: usize,
    /// Steps of an epoch; only [`Milestone::Epoch`] asks for them.
    pub steps_per_epoch: usize,
    /// Steps of warm-up.
    pub warmup: usize,
    /// Share of the rate that the first step of warm-up has; the first step after it has the whole rate, as with
    /// PyTorch's `LinearLR`. `None`: each step adds as much as the first has, and the last one of the warm-up has the
    /// whole rate.
    pub start_factor: Option<f32>,
    /// What comes then.
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
                let least = f64::from(*eta_min);
                (least + (lr - least) * half_cosine(done)) as f32
            }
            Decay::Polynomial { power } => (lr * (1.0 - done).powf(f64::from(*power))) as f32,
            Decay::Steps { at, factor } => {
                let passed = at.iter().filter(|milestone| step >= self.step_of(**milestone)).count();
                self.lr * factor.powi(passed as i32)
            }
        }
    }

    /// The first step after a milestone.
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

    /// Fails, naming the setting, where a number makes no sense.
    pub fn check(&self) -> Result<()> {
        above_zero("lr", self.lr)?;
        if let Some(first) = self.start_factor.filter(|first| !(*first > 0.0 && *first <= 1.0)) {
            let problem = format!("must be above 0 and at most 1, and is {first}");
            return Err(Error::argument("start_factor", problem));
        }
        match &self.decay {
            Decay::Constant => Ok(()),
            Decay::Cosine { eta_min } if (0.0..=self.lr).contains(eta_min) => Ok(()),
            Decay::Cosine { eta_min } => {
                let problem = format!("must be from 0 to the learning rate of {}, and is {eta_min}", self.lr);
                Err(Error::argument("eta_min", problem))
            }
            Decay::Steps { at, factor } => {
                let fraction = |milestone: &&Milestone| matches!(milestone, Milestone::Fraction(_, 0));
                match at.iter().find(fraction) {
                    Some(found) => {
                        Err(Error::argument("milestones", format!("{found:?} has a denominator of 0")))
                    }
                    None => above_zero("factor", *factor),
                }
            }
            Decay::Polynomial { power } => above_zero("power", *power),
            Decay::OneCycle(cycle) => {
                if !(0.0..=1.0).contains(&cycle.pct_start) {
                    let problem = format!("must be from 0 to 1, and is {}", cycle.pct_start);
                    return Err(Error::argument("pct_start", problem));
                }
                above_zero("div_factor", cycle.div_factor)?;
                above_zero("final_div_factor", cycle.final_div_factor)
            }
        }
    }
}

fn above_zero(name: &str, number: f32) -> Result<()> {
    match number > 0.0 && number.is_finite() {
        true => Ok(()),
        false => Err(Error::argument(name, format!("must be a finite number above 0, and is {number}"))),
    }
}

impl OneCycle {
    /// The rate of a step, in a cycle of so many, up to `lr`.
    fn at(&self, lr: f32, steps: usize, step: usize) -> f32 {
        let [top, pct, div, final_div] =
            [lr, self.pct_start, self.div_factor, self.final_div_factor].map(f64::from);
        let (first, total) = (top / div, steps.max(1) as f64);
        let (last, rise) = (first / final_div, pct * total - 1.0);
        // Where each phase ends, and its rate there.
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

/// From 1 at 0 to 0 at 1, along half a cosine.
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
    fn the_rate_falls_at_the_milestone_whatever_the_numbers() {
        for total in 1..=300 {
            for part in 0..=total {
                // The same step, said in three ways.
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
        // A half of an odd number is rounded up.
        let half = steps(13, 1, Milestone::Fraction(1, 2));
        assert_eq!([half.at(6), half.at(7)], [1.0, 0.5]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_by_name() {
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
