//! The loop around the training step.

use super::config::TrainConfig;
use super::programs::{Plans, Programs, images};
use super::report::{EpochReport, Position, Progress, Score};
use super::step::{AVERAGE, Part};
use super::steps::Steps;
use crate::data::{Loader, LoaderConfig, Split};
use crate::graph::PersistentKind;
use crate::models::Model;
use crate::nn::Schedule;
use crate::plan::{PersistentPort, Plan};
use crate::runtime::Stream;
use crate::weights::{Fit, LoadReport, Weights};
use crate::{DType, Device, Result, Session, Tensor};
use std::ops::ControlFlow;
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
    pub fn load(&mut self, weights: &Weights, fit: Fit) -> Result<LoadReport> {
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
        self.config.epochs.saturating_sub(self.position.epoch)
    }

    /// Where training stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Goes on from where another trainer with the same settings stood: its position, and all values that it had
    /// on the device ([`Session::persistent`] names them).
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) if training never stands at such a position, or there is no such value. Then nothing is changed
    /// but values before that one.
    pub fn resume(&mut self, position: Position, tensors: &[(String, Tensor)]) -> Result<()> {
        position.check(&self.config, self.split.train.len())?;
        tensors.iter().try_for_each(|(name, tensor)| self.session.write(name, tensor))?;
        self.position = position;
        Ok(())
    }

    /// Trains one epoch, or what is left of it, then tests. `watch` is told about each step, in order and a few steps
    /// late; if it breaks, the steps under way are finished, the test is left out, and the next call goes on from there.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) naming `lr`, or `weight_decay` where that is to blame, if a loss, a weight
    /// or anything else that is kept is no longer a finite number. Training does not recover from that; [`resume`](Self::resume) goes back to where all was well.
    pub fn epoch(&mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<EpochReport> {
        let (start, before) = (Instant::now(), self.position);
        let flow = self.train_batches(watch);
        let train_time = Duration::from_secs_f64(before.seconds).saturating_add(start.elapsed());
        self.position.seconds = train_time.as_secs_f64();
        let paused = flow?.is_break();
        self.check_finite()?;
        let lr = self.schedule.at(self.position.step.saturating_sub(1));
        let (epoch, train) = (before.epoch + 1, self.position.score);
        if paused {
            let (test, test_time) = (None, Duration::ZERO);
            return Ok(EpochReport { epoch, lr, train, test, train_time, test_time });
        }
        self.position = Position { epoch, step: self.position.step, ..Default::default() };
        let start = Instant::now();
        let test = Some(self.test()?);
        Ok(EpochReport { epoch, lr, train, test, train_time, test_time: start.elapsed() })
    }

    /// Fails where something that is kept on the device is no longer finite: the last step may have broken what no loss
    /// shows yet.
    fn check_finite(&mut self) -> Result<()> {
        let names: Vec<String> = self.session.persistent().iter().map(|p| p.port.name.clone()).collect();
        for name in names {
            let tensor = self.session.read(&name)?;
            if tensor.ty().dtype == DType::F32 && tensor.as_f32().iter().any(|number| !number.is_finite()) {
                let step = self.position.step;
                let what = format!("{name} is no longer made of finite numbers after step {step}");
                return Err(self.config.diverged(&what));
            }
        }
        Ok(())
    }

    /// Loss and accuracy on the test images.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) naming `lr` or `weight_decay` if the loss is not a finite number.
    pub fn test(&mut self) -> Result<Score> {
        let data = self.split.test.clone();
        let config = LoaderConfig {
            batch_size: self.config.test_batch(data.len()),
            threads: self.config.threads,
            ..Default::default()
        };
        let mut loader = Loader::new(data.clone(), &self.split.normalization, config)?;
        let mut score = Score::default();
        let mut stream = Stream::new(&mut self.session)?;
        while let Some(batch) = loader.next() {
            let inputs = images(&batch, 0..batch.size, data.image_len());
            stream.submit(self.test[&(Part::Whole, batch.size)], &inputs, batch.size)?;
            loader.recycle(batch);
            while let Some((outputs, size)) = stream.poll()? {
                score.add(&outputs, size, 1.0);
            }
        }
        while let Some((outputs, size)) = stream.wait()? {
            score.add(&outputs, size, 1.0);
        }
        drop(stream);
        match score.loss.is_finite() {
            true => Ok(score),
            false => Err(self.config.diverged("the loss on the test images is not a finite number")),
        }
    }

    fn train_batches(
        &mut self,
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Self { session, split, config, schedule, train: programs, position, .. } = self;
        let done = position.batch;
        let loader_config = config.loader(position.epoch + 1, done);
        let mut loader = Loader::new(split.train.clone(), &split.normalization, loader_config)?;
        let (stream, len) = (Stream::new(session)?, done + loader.len());
        let mut steps = Steps { stream, split, config, schedule, programs, position, len, done };
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() {
            let Some(batch) = loader.next() else { break };
            steps.submit(&batch)?;
            loader.recycle(batch);
            while let Some(arrived) = steps.stream.poll()? {
                flow = steps.arrive(arrived, watch)?;
            }
        }
        while let Some(arrived) = steps.stream.wait()? {
            let told = steps.arrive(arrived, watch)?;
            flow = if flow.is_break() { flow } else { told };
        }
        Ok(flow)
    }
}
