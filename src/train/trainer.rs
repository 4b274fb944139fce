//! The loop around the training step.

use super::step::{Recipe, evaluation_graph, training_graph};
use crate::data::{Augment, Batch, Dataset, Loader, LoaderConfig, Split};
use crate::graph::PersistentKind;
use crate::models::Model;
use crate::nn::{Builder, Decay, Optimizer, Schedule};
use crate::plan::{PersistentPort, Plan};
use crate::{Device, Error, Outputs, Result, Session};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Times that every training picture is seen.
    pub epochs: usize,
    /// Pictures a step.
    pub batch: usize,
    /// Largest learning rate.
    pub lr: f32,
    /// Epochs over which the learning rate rises linearly to `lr`.
    pub warmup_epochs: f32,
    /// How it falls then.
    pub decay: Decay,
    /// Optimiser, label smoothing, clipping.
    pub recipe: Recipe,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
    /// Random crops and flips of training pictures.
    pub augment: Option<Augment>,
    /// Leave out a last batch that is smaller than the others.
    pub drop_last: bool,
    /// Threads that prepare batches.
    pub threads: usize,
}

/// Loss and accuracy over some pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Share classified right, from 0 to 1.
    pub accuracy: f64,
    /// How many pictures.
    pub pictures: usize,
}

/// Where an epoch stands, told after each step whose results have arrived.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Steps of this epoch whose results have arrived.
    pub step: usize,
    /// Steps of the epoch.
    pub steps: usize,
    /// Learning rate of the step.
    pub lr: f32,
    /// Mean over the epoch so far.
    pub score: Score,
}

/// What came of an epoch.
#[derive(Clone, Debug)]
pub struct EpochReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Learning rate of the last step.
    pub lr: f32,
    /// On the training pictures as they were seen: augmented, while the weights changed.
    pub train: Score,
    /// On the test pictures, after the epoch. `None` if training was stopped before its end.
    pub test: Option<Score>,
    /// Time spent in training.
    pub train_time: Duration,
    /// Time spent in testing.
    pub test_time: Duration,
}

/// A model on a device, and the data it learns from.
pub struct Trainer {
    session: Session,
    split: Split,
    config: TrainConfig,
    schedule: Schedule,
    train: Programs,
    test: Programs,
    /// Steps done.
    step: usize,
    epoch: usize,
}

/// Plans of a session that run batches of a data set: full ones, and the last one if it is smaller.
#[derive(Clone, Copy, Debug)]
struct Programs {
    batch: usize,
    full: usize,
    rest: Option<usize>,
}

/// Why a step's record is there when its outputs are.
const ARRIVAL: &str = "outputs arrive for submitted steps only";

/// Pictures a step of evaluation, at most.
const TEST_BATCH: usize = 200;

impl Trainer {
    /// Plans training and evaluation of a model, allocates everything on the device and initialises the
    /// weights. Fails before that when the configuration makes no sense or the plan does not fit.
    pub fn new(device: &Device, model: &dyn Model, split: Split, config: TrainConfig) -> Result<Self> {
        check(&config, model, &split)?;
        let mut plans = Vec::new();
        let rest = |pictures: usize, batch: usize| Some(pictures % batch).filter(|n| *n > 0);
        let mut add = |batch: usize, pictures: usize, drop_last: bool, train: bool| -> Result<Programs> {
            let mut plan = |batch: usize| -> Result<usize> {
                plans.push(plan(device, model, &split, batch, train.then_some(&config.recipe))?);
                Ok(plans.len() - 1)
            };
            let full = plan(batch)?;
            let rest = rest(pictures, batch).filter(|_| !drop_last);
            let rest = rest.map(|rest| plan(rest).map_err(|e| of_last_batch(e, rest))).transpose()?;
            Ok(Programs { batch, full, rest })
        };
        let train = add(config.batch, split.train.len(), config.drop_last, true)?;
        let test = add(TEST_BATCH.min(split.test.len()), split.test.len(), false, false)?;
        let mut session = Session::new(device, plans)?;
        session.initialize(config.seed)?;
        let steps = loader_config(&config, 0).batches(split.train.len());
        let schedule = Schedule {
            lr: config.lr,
            steps: config.epochs.saturating_mul(steps),
            warmup: (config.warmup_epochs * steps as f32).round() as usize,
            decay: config.decay.clone(),
        };
        Ok(Self { session, split, config, schedule, train, test, step: 0, epoch: 0 })
    }

    /// The plan of a full training step.
    pub fn plan(&self) -> &Plan {
        &self.session.plans()[self.train.full]
    }

    /// Learned numbers of the model.
    pub fn parameters(&self) -> usize {
        let learned = |p: &&PersistentPort| p.persistence.kind == PersistentKind::Parameter;
        self.session.persistent().iter().filter(learned).map(|p| p.port.ty.len()).sum()
    }

    /// The weights, and everything else on the device.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Epochs not trained yet.
    pub fn epochs_left(&self) -> usize {
        self.config.epochs - self.epoch
    }

    /// Trains one epoch, then tests. `watch` is told about each step, in order and a few steps late; if it
    /// breaks, the steps under way are finished and the test is left out.
    pub fn epoch(&mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<EpochReport> {
        let start = Instant::now();
        self.epoch += 1;
        let config = loader_config(&self.config, self.epoch as u64);
        let loader = Loader::new(self.split.train.clone(), &self.split.normalization, config)?;
        let mut run =
            Run { score: Score::default(), steps: loader.len(), done: 0, in_flight: VecDeque::new() };
        let stopped = self.train_batches(loader, &mut run, watch)?.is_break();
        let train_time = start.elapsed();
        let start = Instant::now();
        let test = if stopped { None } else { Some(self.test()?) };
        let lr = self.schedule.at(self.step.saturating_sub(1));
        Ok(EpochReport {
            epoch: self.epoch,
            lr,
            train: run.score,
            test,
            train_time,
            test_time: start.elapsed(),
        })
    }

    /// Loss and accuracy on the test pictures.
    pub fn test(&mut self) -> Result<Score> {
        let data = self.split.test.clone();
        self.evaluate(&data)
    }

    fn evaluate(&mut self, data: &Arc<Dataset>) -> Result<Score> {
        let config =
            LoaderConfig { batch_size: self.test.batch, threads: self.config.threads, ..Default::default() };
        let mut loader = Loader::new(data.clone(), &self.split.normalization, config)?;
        let mut score = Score::default();
        let mut sizes = VecDeque::new();
        while let Some(batch) = loader.next() {
            self.session.submit(self.test.of(batch.size), &feed(&batch))?;
            sizes.push_back(batch.size);
            loader.recycle(batch);
            while let Some(outputs) = self.session.poll()? {
                score.add(&outputs, sizes.pop_front().expect(ARRIVAL));
            }
        }
        while let Some(outputs) = self.session.wait()? {
            score.add(&outputs, sizes.pop_front().expect(ARRIVAL));
        }
        Ok(score)
    }

    fn train_batches(
        &mut self,
        mut loader: Loader,
        run: &mut Run,
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() {
            let Some(batch) = loader.next() else { break };
            self.submit(&batch, run)?;
            loader.recycle(batch);
            while let Some(outputs) = self.session.poll()? {
                flow = self.arrive(&outputs, run, watch)?;
            }
        }
        while let Some(outputs) = self.session.wait()? {
            let told = self.arrive(&outputs, run, watch)?;
            flow = if flow.is_break() { flow } else { told };
        }
        Ok(flow)
    }

    fn submit(&mut self, batch: &Batch, run: &mut Run) -> Result<()> {
        let lr = self.schedule.at(self.step);
        let schedule = self.config.recipe.optimizer.schedule(lr, self.step);
        let counter = [self.step as u32, self.config.seed as u32];
        let program = self.train.of(batch.size);
        let mut inputs = feed(batch);
        inputs.push((Optimizer::SCHEDULE, bytemuck::bytes_of(&schedule)));
        if self.session.plans()[program].inputs.iter().any(|p| p.name == Builder::COUNTER) {
            inputs.push((Builder::COUNTER, bytemuck::bytes_of(&counter)));
        }
        self.session.submit(program, &inputs)?;
        run.in_flight.push_back((batch.size, lr));
        self.step += 1;
        Ok(())
    }

    fn arrive(
        &self,
        outputs: &Outputs,
        run: &mut Run,
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let (size, lr) = run.in_flight.pop_front().expect(ARRIVAL);
        run.score.add(outputs, size);
        run.done += 1;
        if !run.score.loss.is_finite() {
            return Err(Error::argument(
                "lr",
                format!(
                    "the loss is no longer a finite number at step {} of epoch {}; use a learning rate below {}",
                    run.done, self.epoch, self.config.lr
                ),
            ));
        }
        Ok(watch(&Progress { epoch: self.epoch, step: run.done, steps: run.steps, lr, score: run.score }))
    }
}

/// One epoch under way.
struct Run {
    score: Score,
    steps: usize,
    done: usize,
    /// Size and learning rate of the submitted steps whose results have not arrived.
    in_flight: VecDeque<(usize, f32)>,
}

impl Programs {
    fn of(&self, size: usize) -> usize {
        match self.rest {
            Some(rest) if size != self.batch => rest,
            _ => self.full,
        }
    }
}

impl Score {
    /// Adds the outputs of one batch to the means.
    fn add(&mut self, outputs: &Outputs, size: usize) {
        let output = |name| outputs.scalar(name).expect("both graphs have these outputs") as f64;
        let pictures = self.pictures + size;
        let mean = |old: f64, sum: f64| (old * self.pictures as f64 + sum) / pictures as f64;
        self.loss = mean(self.loss, output("loss") * size as f64);
        self.accuracy = mean(self.accuracy, output("correct"));
        self.pictures = pictures;
    }
}

fn feed(batch: &Batch) -> Vec<(&'static str, &[u8])> {
    vec![("images", bytemuck::cast_slice(&batch.images)), ("labels", bytemuck::cast_slice(&batch.labels))]
}

fn plan(
    device: &Device,
    model: &dyn Model,
    split: &Split,
    batch: usize,
    recipe: Option<&Recipe>,
) -> Result<Plan> {
    let [channels, height, width] = split.train.shape();
    let shape = [batch, channels, height, width];
    let graph = match recipe {
        Some(recipe) => training_graph(model, shape, recipe)?,
        None => evaluation_graph(model, shape)?,
    };
    Plan::new(&graph, device.target())
}

/// The error of a smaller last batch: the full ones are not to blame.
fn of_last_batch(error: Error, batch: usize) -> Error {
    match error {
        Error::Shape { op, scope, problem } => {
            let problem = format!(
                "{problem}, one that leaves no last batch of {batch}, or leave the last batch out (drop_last)"
            );
            Error::Shape { op, scope, problem }
        }
        other => other,
    }
}

fn loader_config(config: &TrainConfig, epoch: u64) -> LoaderConfig {
    LoaderConfig {
        batch_size: config.batch,
        shuffle: true,
        augment: config.augment,
        seed: config.seed,
        epoch,
        drop_last: config.drop_last,
        threads: config.threads,
        ..Default::default()
    }
}

fn check(config: &TrainConfig, model: &dyn Model, split: &Split) -> Result<()> {
    let positive = |name: &str, ok: bool, found: String| match ok {
        true => Ok(()),
        false => Err(Error::argument(name, format!("must be above 0, and is {found}"))),
    };
    positive("epochs", config.epochs > 0, config.epochs.to_string())?;
    positive("batch", config.batch > 0, config.batch.to_string())?;
    positive("threads", config.threads > 0, config.threads.to_string())?;
    if !(config.lr > 0.0 && config.lr.is_finite()) {
        return Err(Error::argument("lr", format!("must be a finite number above 0, and is {}", config.lr)));
    }
    if !(config.warmup_epochs >= 0.0 && config.warmup_epochs.is_finite()) {
        let found = config.warmup_epochs;
        return Err(Error::argument(
            "warmup",
            format!("must be a number of epochs from 0 on, and is {found}"),
        ));
    }
    let smoothing = config.recipe.label_smoothing;
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(Error::argument("label_smoothing", format!("must be from 0 to 1, and is {smoothing}")));
    }
    if let Some(norm) = config.recipe.clip_norm.filter(|norm| !(*norm > 0.0 && norm.is_finite())) {
        return Err(Error::argument(
            "clip_norm",
            format!("must be a finite number above 0, and is {norm}; leave it out to clip nothing"),
        ));
    }
    let pictures = split.train.len();
    if config.batch > pictures {
        return Err(Error::argument(
            "batch",
            format!("{} is more than the {pictures} training pictures; use at most {pictures}", config.batch),
        ));
    }
    let [channels, ..] = split.train.shape();
    if (model.in_channels(), model.classes()) != (channels, split.train.classes().len()) {
        return Err(Error::argument(
            "model",
            format!(
                "{} takes {} channels and {} classes, but the data has {channels} and {}",
                model.name(),
                model.in_channels(),
                model.classes(),
                split.train.classes().len()
            ),
        ));
    }
    Ok(())
}
