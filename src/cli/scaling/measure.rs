//! Measurements of steps on this device, and of sums over the ranks of this job.

use super::model::{Link, Sum, Timeline};
use crate::cli::flags::ModelFlags;
use std::time::Instant;
use striate::distributed::Ranks;
use striate::graph::Graph;
use striate::models::Model;
use striate::nn::{BatchOfRanks, Builder, Optimizer};
use striate::op::AllReduce;
use striate::plan::Plan;
use striate::train::{Recipe, training_graph};
use striate::{Device, Input, Result, Session, TensorType};

/// A network on generated images.
pub struct Workload {
    pub name: String,
    pub batch: usize,
    model: Box<dyn Model>,
    shape: [usize; 4],
}

/// Bytes of the sums that show latency and bandwidth.
const SMALL: usize = 4;
const LARGE: usize = 4 << 20;
/// Number of measured sums.
const SUMS: usize = 20;

impl Workload {
    pub fn new(name: &str, batch: usize) -> Result<Self> {
        let network = ModelFlags { model: name.to_owned(), input: None, classes: None };
        let (model, shape) = network.open(batch)?;
        Ok(Self { name: name.to_owned(), batch, model, shape })
    }

    fn session(&self, device: &Device, ranks: &Ranks) -> Result<Session> {
        let images = self.batch * ranks.ranks();
        let recipe =
            Recipe { ranks: Some(BatchOfRanks { images, sync_batch_norm: false }), ..Default::default() };
        let graph = training_graph(&*self.model, self.shape, &recipe)?;
        let device = device.clone().with_ranks(ranks.clone());
        let mut session = Session::new(&device, vec![Plan::new(&graph, device.target())?])?;
        session.initialize(1)?;
        Ok(session)
    }

    /// Calls `run` with the inputs of a step.
    fn step<R>(
        &self,
        session: &mut Session,
        run: impl Fn(&mut Session, &[(&str, Input<'_>)]) -> Result<R>,
    ) -> Result<R> {
        let images = vec![0.5f32; self.shape.iter().product()];
        let labels: Vec<u32> = (0..self.batch as u32).map(|i| i % self.model.classes() as u32).collect();
        // A rate of 0: the weights stay, and no step can diverge.
        let schedule = Optimizer::default().schedule(0.0, 0);
        let (one, counter) = ([1f32], [0u32, 0]);
        let mut inputs = vec![
            (Builder::IMAGES, (&images).into()),
            (Recipe::LABELS, (&labels).into()),
            (Optimizer::SCHEDULE, (&schedule).into()),
            (Builder::COUNTER, (&counter).into()),
        ];
        for name in [Recipe::LOSS_WEIGHT, Recipe::LOSS_SHARE, Recipe::PRESENT, Builder::SHARE] {
            inputs.push((name, (&one).into()));
        }
        inputs.retain(|(name, _)| session.plans()[0].has_input(name));
        run(session, &inputs)
    }

    /// Measures steps: their timeline without other ranks, and with ranks, the seconds of real steps on all of them and on one alone.
    /// All are medians, measured in turn.
    pub fn measure(
        &self,
        device: &Device,
        ranks: Option<&Ranks>,
        steps: usize,
    ) -> Result<(Timeline, Option<[f64; 2]>)> {
        let mut alone = self.session(device, &Ranks::alone())?;
        let mut together = ranks.map(|ranks| self.session(device, ranks)).transpose()?;
        let (mut timelines, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
        for step in 0..=steps {
            let profile = self.step(&mut alone, |session, inputs| session.profile(0, inputs))?;
            let timeline = timeline(&alone.plans()[0], &profile.spans);
            let real = match &mut together {
                Some(together) => [self.seconds(together, ranks)?, self.seconds(&mut alone, ranks)?],
                None => [0.0; 2],
            };
            // The first one warms up.
            if step > 0 {
                timelines.push(timeline);
                times.iter_mut().zip(real).for_each(|(times, seconds)| times.push(seconds));
            }
        }
        timelines.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let real = times.map(|times| times[steps / 2]);
        Ok((timelines.swap_remove(steps / 2), ranks.map(|_| real)))
    }

    /// Seconds of a real step, which all ranks start together.
    fn seconds(&self, session: &mut Session, ranks: Option<&Ranks>) -> Result<f64> {
        ranks.map_or(Ok(false), |ranks| ranks.any(false))?;
        let start = Instant::now();
        self.step(session, |session, inputs| session.run(0, inputs))?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// The timeline of a plan whose launches start and end at these times.
fn timeline(plan: &Plan, spans: &[[f64; 2]]) -> Timeline {
    let end = |launches: usize| if launches == 0 { 0.0 } else { spans[launches - 1][1] };
    let sum = |exchange: &striate::plan::Exchange| Sum {
        ready: end(exchange.start),
        needed: end(exchange.end),
        bytes: exchange.storages.iter().map(|storage| plan.storages[storage.index()].bytes as f64).sum(),
    };
    Timeline { seconds: end(spans.len()), sums: plan.exchanges.iter().map(sum).collect() }
}

/// The network with the latency and bandwidth of sums over the ranks of this job, beyond the overhead of messages.
pub fn link(ranks: &Ranks, given: Link) -> Result<Link> {
    let [small, large] = [sum_seconds(ranks, SMALL)?, sum_seconds(ranks, LARGE)?];
    let others = (ranks.ranks() - 1) as f64;
    let sent = 2.0 * LARGE as f64 * others / ranks.ranks() as f64;
    let latency = (small / 2.0 - others * given.overhead).max(0.0);
    Ok(Link { latency, bandwidth: sent / (large - small).max(1e-9), ..given })
}

/// Mean seconds of a sum of this size.
fn sum_seconds(ranks: &Ranks, bytes: usize) -> Result<f64> {
    let values = vec![1f32; bytes / 4];
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([values.len()]))?;
    let sum = graph.apply(AllReduce, &[x])?[0];
    graph.output("sum", sum);
    let device = Device::select("cpu")?.with_ranks(ranks.clone());
    let mut session = Session::new(&device, vec![Plan::new(&graph, device.target())?])?;
    let mut seconds = 0.0;
    for step in 0..=SUMS {
        ranks.any(false)?;
        let before = ranks.traffic().busy;
        session.run(0, &[("x", (&values).into())])?;
        if step > 0 {
            seconds += (ranks.traffic().busy - before).as_secs_f64();
        }
    }
    Ok(seconds / SUMS as f64)
}
