//! The loop around the training step.

use super::config::TrainConfig;
use super::programs::{Plans, Programs, parts, pictures};
use super::report::{EpochReport, Position, Progress, Score};
use super::step::{AVERAGE, Part, Recipe};
use crate::data::{Batch, Dataset, Loader, LoaderConfig, Split};
use crate::graph::PersistentKind;
use crate::models::Model;
use crate::nn::{Builder, Optimizer, Schedule};
use crate::plan::{PersistentPort, Plan};
use crate::weights::{Fit, Loaded, Weights};
use crate::{Device, Error, Outputs, Result, Session, Tensor};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A model on a device, and the data it learns from.
pub struct Trainer {
    session: Session,
    split: Split,
    config: TrainConfig,
    schedule: Schedule,
    train: Programs,
    test: Programs,
    position: Position,
}

/// Why a step's record is there when its outputs are.
const ARRIVAL: &str = "outputs arrive for submitted steps only";

impl Trainer {
    /// Plans training and evaluation of a model, allocates everything on the device and initialises the
    /// weights. Fails before that when the configuration makes no sense or the plan does not fit.
    pub fn new(device: &Device, model: &dyn Model, split: Split, config: TrainConfig) -> Result<Self> {
        let config = config.checked(model, &split)?;
        let Plans { plans, train, test } = Plans::new(device, model, &split, &config)?;
        let mut session = Session::new(device, plans)?;
        session.initialize(config.seed)?;
        let schedule = config.schedule(split.train.len());
        let position = Position::default();
        let mut trainer = Self { session, split, config, schedule, train, test, position };
        trainer.start_average()?;
        Ok(trainer)
    }

    /// Bytes of device memory that [`Trainer::new`] would take. Nothing is allocated.
    pub fn foretold_bytes(
        device: &Device,
        model: &dyn Model,
        split: &Split,
        config: TrainConfig,
    ) -> Result<u64> {
        let config = config.checked(model, split)?;
        Session::foretold_bytes(&Plans::new(device, model, split, &config)?.plans)
    }

    /// Begins with weights from elsewhere.
    pub fn load(&mut self, weights: &Weights, fit: Fit) -> Result<Loaded> {
        let loaded = weights.load(&mut self.session, fit)?;
        self.start_average()?;
        Ok(loaded)
    }

    /// The weights that are tested, and are the result of training: averaged ones if there are such.
    pub fn weights(&mut self) -> Result<Vec<(String, Tensor)>> {
        let state = self.session.state_dict()?;
        match self.config.recipe.ema {
            Some(_) => state
                .into_iter()
                .map(|(name, _)| Ok((name.clone(), self.session.read(&format!("{AVERAGE}.{name}"))?)))
                .collect(),
            None => Ok(state),
        }
    }

    /// An average starts as what it is the average of.
    fn start_average(&mut self) -> Result<()> {
        if self.config.recipe.ema.is_some() {
            for (name, tensor) in self.session.state_dict()? {
                self.session.write(&format!("{AVERAGE}.{name}"), &tensor)?;
            }
        }
        Ok(())
    }

    /// The plan of a full training step, or of its last part.
    pub fn plan(&self) -> &Plan {
        let micro = self.config.micro_batch();
        let part = if self.config.accumulate == 1 { Part::Whole } else { Part::Last };
        &self.session.plans()[self.train[&(part, micro)]]
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
        self.config.epochs - self.position.epoch
    }

    /// Where training stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Goes on from where another trainer with the same settings stood: its position, and all values that it had
    /// on the device ([`Session::persistent`] names them).
    pub fn resume(&mut self, position: Position, tensors: &[(String, Tensor)]) -> Result<()> {
        tensors.iter().try_for_each(|(name, tensor)| self.session.write(name, tensor))?;
        self.position = position;
        Ok(())
    }

    /// Trains one epoch, or what is left of it, then tests. `watch` is told about each step, in order and a few steps
    /// late; if it breaks, the steps under way are finished, the test is left out, and the next call goes on from there.
    pub fn epoch(&mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<EpochReport> {
        let (start, before) = (Instant::now(), self.position);
        let config = self.config.loader(before.epoch + 1, before.batch);
        let loader = Loader::new(self.split.train.clone(), &self.split.normalization, config)?;
        let steps = before.batch + loader.len();
        let mut run = Run { score: before.score, steps, done: before.batch, in_flight: VecDeque::new() };
        let paused = self.train_batches(loader, &mut run, watch)?.is_break();
        let train_time = Duration::from_secs_f64(before.seconds) + start.elapsed();
        let lr = self.schedule.at(self.position.step.saturating_sub(1));
        let epoch = before.epoch + 1;
        if paused {
            let (batch, seconds) = (run.done, train_time.as_secs_f64());
            self.position = Position { batch, seconds, score: run.score, ..self.position };
            let (test, test_time) = (None, Duration::ZERO);
            return Ok(EpochReport { epoch, lr, train: run.score, test, train_time, test_time });
        }
        self.position = Position { epoch, step: self.position.step, ..Default::default() };
        let start = Instant::now();
        let test = Some(self.test()?);
        Ok(EpochReport { epoch, lr, train: run.score, test, train_time, test_time: start.elapsed() })
    }

    /// Loss and accuracy on the test pictures.
    pub fn test(&mut self) -> Result<Score> {
        let data = self.split.test.clone();
        self.evaluate(&data)
    }

    fn evaluate(&mut self, data: &Arc<Dataset>) -> Result<Score> {
        let config = LoaderConfig {
            batch_size: self.config.test_batch(data.len()),
            threads: self.config.threads,
            ..Default::default()
        };
        let mut loader = Loader::new(data.clone(), &self.split.normalization, config)?;
        let mut score = Score::default();
        let mut sizes = VecDeque::new();
        while let Some(batch) = loader.next() {
            let inputs = pictures(&batch, 0..batch.size, data.image_len());
            self.session.submit(self.test[&(Part::Whole, batch.size)], &inputs)?;
            sizes.push_back(batch.size);
            loader.recycle(batch);
            while let Some(outputs) = self.session.poll()? {
                score.add(&outputs, sizes.pop_front().expect(ARRIVAL), 1.0);
            }
        }
        while let Some(outputs) = self.session.wait()? {
            score.add(&outputs, sizes.pop_front().expect(ARRIVAL), 1.0);
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
        let lr = self.schedule.at(self.position.step);
        let schedule = self.config.recipe.optimizer.schedule(lr, self.position.step);
        for (i, (part, range)) in parts(batch.size, self.config.micro_batch()).enumerate() {
            let size = range.len();
            let pass = self.position.step * self.config.accumulate + i;
            let counter = [pass as u32, self.config.seed as u32];
            // What the step's gradient owes to this part's own labels, and to those mixed in.
            let weight = size as f32 / batch.size as f32;
            let shares = [batch.share * weight, (1.0 - batch.share) * weight];
            let program = self.train[&(part, size)];
            let mut inputs = pictures(batch, range, self.split.train.image_len());
            inputs.extend([
                (Optimizer::SCHEDULE, bytemuck::bytes_of(&schedule)),
                (Builder::COUNTER, bytemuck::bytes_of(&counter)),
                (Recipe::SHARE, bytemuck::bytes_of(&shares[0])),
                (Recipe::PARTNER_SHARE, bytemuck::bytes_of(&shares[1])),
            ]);
            inputs.retain(|(name, _)| self.session.plans()[program].takes(name));
            self.session.submit(program, &inputs)?;
            let ends = matches!(part, Part::Whole | Part::Last);
            run.in_flight.push_back(Flight { size, lr, share: batch.share, ends });
        }
        self.position.step += 1;
        Ok(())
    }

    fn arrive(
        &self,
        outputs: &Outputs,
        run: &mut Run,
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Flight { size, lr, share, ends } = run.in_flight.pop_front().expect(ARRIVAL);
        run.score.add(outputs, size, share);
        run.done += ends as usize;
        if !run.score.loss.is_finite() {
            return Err(Error::argument(
                "lr",
                format!(
                    "the loss is no longer a finite number at step {} of epoch {}; use a learning rate below {}",
                    run.done,
                    self.position.epoch + 1,
                    self.config.lr
                ),
            ));
        }
        if !ends {
            return Ok(ControlFlow::Continue(()));
        }
        Ok(watch(&Progress {
            epoch: self.position.epoch + 1,
            step: run.done,
            steps: run.steps,
            lr,
            score: run.score,
        }))
    }
}

/// One epoch under way.
struct Run {
    score: Score,
    steps: usize,
    done: usize,
    /// What was submitted and has not arrived.
    in_flight: VecDeque<Flight>,
}

/// A batch under way.
struct Flight {
    size: usize,
    lr: f32,
    /// How much of each picture is its own.
    share: f32,
    /// Whether it is the last of its step.
    ends: bool,
}
