//! The timed steps.

use crate::cli::numbers::median;
use serde::Serialize;
use striate::nn::{Builder, Optimizer};
use striate::plan::{Launch, Plan};
use striate::rng::SplitMix64;
use striate::train::Recipe;
use striate::{Clock, Device, Input, Profile, Result, Session};

/// Steps before the timed ones: drivers may compile shaders in the first.
const WARM_UP: u32 = 2;
const SEED: u64 = 1;
const LEARNING_RATE: f32 = 0.01;
/// Step and seed, for networks with dropout.
const COUNTER: [u32; 2] = [0, SEED as u32];

/// A plan, and the profiles of its timed steps.
pub struct Steps {
    pub plan: Plan,
    pub profiles: Vec<Profile>,
}

/// Something the host does in a step, and its median time.
#[derive(Serialize)]
pub struct Host {
    pub name: &'static str,
    pub ms: f64,
}

impl Steps {
    pub fn run(device: &Device, plan: Plan, input: [usize; 4], classes: usize, steps: u32) -> Result<Self> {
        let mut session = Session::new(device, vec![plan])?;
        session.initialize(SEED)?;
        let mut rng = SplitMix64::new(SEED);
        let images: Vec<f32> = (0..input.iter().product()).map(|_| rng.normal() as f32).collect();
        let labels: Vec<u32> = (0..input[0]).map(|_| rng.below(classes as u32)).collect();
        let schedule = super::recipe().optimizer.schedule(LEARNING_RATE, 0);
        let mut inputs: Vec<(&str, Input)> = vec![
            (Builder::IMAGES, (&images).into()),
            (Recipe::LABELS, (&labels).into()),
            (Optimizer::SCHEDULE, (&schedule).into()),
            (Builder::COUNTER, (&COUNTER).into()),
        ];
        inputs.retain(|(name, _)| session.plans()[0].has_input(name));
        for _ in 0..WARM_UP {
            session.profile(0, &inputs)?;
        }
        let profiles = (0..steps).map(|_| session.profile(0, &inputs)).collect::<Result<_>>()?;
        Ok(Self { plan: session.plans()[0].clone(), profiles })
    }

    pub fn clock(&self) -> Clock {
        self.profiles[0].clock
    }

    /// Total milliseconds of the included launches, median over the steps.
    pub fn ms(&self, included: impl Fn(usize, &Launch) -> bool) -> f64 {
        let sum = |profile: &Profile| -> f64 {
            let launches = self.plan.launches.iter().zip(&profile.spans).enumerate();
            launches.filter(|(i, (launch, _))| included(*i, launch)).map(|(_, (_, [a, b]))| b - a).sum()
        };
        median(self.profiles.iter().map(sum).collect()) * 1e3
    }

    /// Total milliseconds of all launches, median over the steps.
    pub fn launches_ms(&self) -> f64 {
        self.ms(|_, _| true)
    }

    /// Milliseconds from the start of the first launch to the end of the last one, median over the steps.
    pub fn step_ms(&self) -> f64 {
        median(self.profiles.iter().map(device_seconds).collect()) * 1e3
    }

    pub fn host(&self) -> Vec<Host> {
        let spans = self.profiles[0].host.iter().enumerate();
        let ms = |i: usize| {
            median(self.profiles.iter().map(|p| (p.host[i].end - p.host[i].start) * 1e3).collect())
        };
        spans.map(|(i, span)| Host { name: span.name, ms: ms(i) }).collect()
    }
}

/// Seconds from the start of the first launch to the end of the last one.
pub fn device_seconds(profile: &Profile) -> f64 {
    profile.spans.iter().fold(0.0, |last, [_, end]| last.max(*end))
}
