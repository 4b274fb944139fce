//! The training loop.

use super::anomaly::{Anomaly, first_bad};
use super::config::TrainConfig;
use super::programs::{Plans, Programs, inputs_of};
use super::ranks::{self, Own};
use super::report::{EpochReport, Position, Progress, Score};
use super::statistics;
use super::step::{AVERAGE, Part, is_sum};
use super::steps::Steps;
use crate::data::{Dataset, Loader, LoaderConfig, Split};
use crate::graph::PersistentKind;
use crate::models::Model;
use crate::nn::Schedule;
use crate::plan::{PersistentValue, Plan};
use crate::runtime::Stream;
use crate::weights::{Fit, LoadReport, Weights};
use crate::{Device, Result, Session, Tensor};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Trains a model on a device.
///
/// ```
/// use std::ops::ControlFlow;
/// use striate::Device;
/// use striate::data::{Dataset, Normalization, Split};
/// use striate::models::LeNet;
/// use striate::train::{TrainConfig, Trainer};
///
/// // Grayscale images, dark or bright. `data::open` has real ones.
/// let images = |count: u32| {
///     let labels: Vec<u32> = (0..count).map(|i| i % 2).collect();
///     let pixels = labels.iter().flat_map(|label| [50 + 150 * *label as u8; 28 * 28]).collect();
///     Dataset::new("brightness", [1, 28, 28], pixels, labels, vec!["dark".into(), "bright".into()])
/// };
/// let (train, test) = (images(64)?, images(16)?);
/// let normalization = Normalization::measure(&train);
/// let split = Split::new(train, test, normalization)?;
///
/// let model = LeNet { in_channels: 1, classes: 2 };
/// let config = TrainConfig { epochs: 3, batch: 16, lr: 0.01, ..Default::default() };
/// let mut trainer = Trainer::new(&Device::select("cpu")?, &model, split, config)?;
/// while trainer.epochs_left() > 0 {
///     let report = trainer.epoch(&mut |progress| {
///         println!("step {} of {}: loss {:.3}", progress.step, progress.steps, progress.score.loss);
///         ControlFlow::Continue(())
///     })?;
///     println!("epoch {}: {:?}", report.epoch, report.test);
/// }
/// assert_eq!(trainer.test()?.accuracy, 1.0);
/// // For `weights::write`, `Weights::from_tensors` or `Lens::new`.
/// let weights = trainer.weights()?;
/// assert_eq!(weights[0].0, "conv1.weight");
/// # Ok::<(), striate::Error>(())
/// ```
pub struct Trainer {
    session: Session,
    split: Split,
    config: TrainConfig,
    schedule: Schedule,
    train: Programs,
    test: Programs,
    statistics: Option<usize>,
    position: Position,
}

impl Trainer {
    /// Plans training and evaluation, allocates everything on the device, and initializes the weights.
    ///
    /// On a device [with ranks](Device::with_ranks), training is distributed: all ranks create a trainer with the same model, data and
    /// settings, and then make the same calls. Each trains on its part of every batch, gradients are averaged, and all results are
    /// those over all ranks.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) for an invalid setting, [`Error::Shape`](crate::Error::Shape) if the model does not fit the images, and
    /// [`Error::TooLarge`](crate::Error::TooLarge) if the device has too little memory.
    pub fn new(device: &Device, model: &dyn Model, split: Split, config: TrainConfig) -> Result<Self> {
        let config = config.checked(model, &split, device.ranks())?;
        let Plans { plans, train, test, statistics } = Plans::new(device, model, &split, &config)?;
        let mut session = Session::new(device, plans)?;
        session.initialize(config.seed)?;
        let schedule = config.schedule(split.train.len());
        let position = Position::default();
        let mut trainer = Self { session, split, config, schedule, train, test, statistics, position };
        trainer.start_average()?;
        Ok(trainer)
    }

    /// Estimates the bytes of device memory that [`Trainer::new`] would allocate.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn estimated_bytes(
        device: &Device,
        model: &dyn Model,
        split: &Split,
        config: TrainConfig,
    ) -> Result<u64> {
        let config = config.checked(model, split, device.ranks())?;
        Session::estimated_bytes(&Plans::new(device, model, split, &config)?.plans)
    }

    /// Loads pretrained weights; a weight average restarts from them.
    ///
    /// # Errors
    ///
    /// As for [`Weights::load`].
    pub fn load(&mut self, weights: &Weights, fit: Fit) -> Result<LoadReport> {
        self.load_ignoring(weights, fit, &BTreeSet::new())
    }

    /// Like [`load`](Self::load), but leaves some tensors as they are, such as a last layer for other classes.
    ///
    /// # Errors
    ///
    /// As for [`Weights::load`].
    pub fn load_ignoring(
        &mut self,
        weights: &Weights,
        fit: Fit,
        ignored: &BTreeSet<String>,
    ) -> Result<LoadReport> {
        let report = weights.load_ignoring(&mut self.session, fit, ignored)?;
        self.start_average()?;
        Ok(report)
    }

    /// The result of training: the averaged weights if the recipe has an average, otherwise the weights. Tests use them
    /// too.
    pub fn weights(&mut self) -> Result<Vec<(String, Tensor)>> {
        let mut state = self.session.state_dict()?;
        if self.config.recipe.ema.is_some() {
            for (name, tensor) in &mut state {
                *tensor = self.session.read(&format!("{AVERAGE}.{name}"))?;
            }
        }
        Ok(state)
    }

    /// Makes the weights and all other persistent values of every rank those of rank 0. To be called on all ranks if only rank 0 has
    /// loaded weights or a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Rank`](crate::Error::Rank) if another rank ended or does not answer.
    pub fn synchronize(&mut self) -> Result<()> {
        let Some(ranks) = self.session.device().ranks().cloned() else { return Ok(()) };
        let state = self.session.read_all(|_| true)?;
        let names: Vec<String> =
            state.iter().map(|(name, tensor)| format!("{name} {:?}", tensor.shape())).collect();
        ranks.agree("the names or shapes of the weights", names.join(", ").as_bytes())?;
        let bytes = state.iter().flat_map(|(_, tensor)| tensor.as_bytes()).copied().collect();
        let bytes = ranks.broadcast(bytes)?;
        ranks.agree("the weights", &bytes)?;
        let mut rest: &[u32] = &bytemuck::pod_collect_to_vec::<u8, u32>(&bytes);
        for (name, tensor) in state {
            let own;
            (own, rest) = rest.split_at(tensor.len());
            self.session.write(&name, &Tensor::new(tensor.ty().clone(), own.to_vec())?)?;
        }
        Ok(())
    }

    /// Initializes the average from the current weights.
    fn start_average(&mut self) -> Result<()> {
        if self.config.recipe.ema.is_some() {
            for (name, tensor) in self.session.state_dict()? {
                self.session.write(&format!("{AVERAGE}.{name}"), &tensor)?;
            }
        }
        Ok(())
    }

    /// The plan of a full training step, or of its last micro-batch.
    pub fn plan(&self) -> &Plan {
        let micro = self.config.micro_batch();
        let part = if self.config.accumulate == 1 { Part::Whole } else { Part::Last };
        &self.session.plans()[self.train[&(part, micro)]]
    }

    /// Number of trainable parameters.
    pub fn parameters(&self) -> usize {
        let trainable = |p: &&PersistentValue| p.persistence.kind == PersistentKind::Parameter;
        self.session.persistent().iter().filter(trainable).map(|p| p.value.ty.len()).sum()
    }

    /// The session, which holds all values on the device.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Epochs left to train.
    pub fn epochs_left(&self) -> usize {
        self.config.epochs.saturating_sub(self.position.epoch)
    }

    /// Position in the training schedule.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Resumes from the state of another trainer with the same settings: its position, and the values of all tensors in
    /// [`Session::persistent`].
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) if the position is impossible with these settings, or the session has no
    /// such tensor. In the second case, the tensors before it have been written.
    pub fn resume(&mut self, position: Position, tensors: &[(String, Tensor)]) -> Result<()> {
        position.check(&self.config, self.split.train.len())?;
        tensors.iter().try_for_each(|(name, tensor)| self.session.write(name, tensor))?;
        self.position = position;
        Ok(())
    }

    /// Trains one epoch, or the rest of it, recomputes batch norm's statistics if [`TrainConfig::precise_bn`], and then tests on
    /// [`Split::held_out`].
    /// `watch` is called for each step, in order and a few steps late. If it breaks, the steps in flight are completed, the test is skipped, and the next call continues the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) named `lr`, or `weight_decay` if that is the cause, if the loss or a gradient is no longer
    /// finite, or after ten steps in a row were skipped for that reason ([`TrainConfig::skip_non_finite`]). The weights do not
    /// include that step, but may include up to two later ones. Also if a weight or another persistent value is no longer
    /// finite at the end; training cannot recover from that, except by [`resume`](Self::resume) from an earlier state.
    pub fn epoch(&mut self, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<EpochReport> {
        let (start, before) = (Instant::now(), self.position);
        let flow = self.train_batches(watch);
        let train_time = Duration::from_secs_f64(before.seconds).saturating_add(start.elapsed());
        self.position.seconds = train_time.as_secs_f64();
        let paused = flow?.is_break();
        check_finite(&mut self.session, &self.config, self.position.step)?;
        let lr = self.schedule.at(self.position.step.saturating_sub(1));
        let Position { step, score: train, skipped, skipped_in_a_row, .. } = self.position;
        let (epoch, test_time) = (before.epoch + 1, Duration::ZERO);
        let (validation, test) = (None, None);
        let mut report = EpochReport { epoch, lr, train, skipped, validation, test, train_time, test_time };
        if !paused {
            self.position = Position { epoch, step, skipped_in_a_row, ..Default::default() };
            let start = Instant::now();
            if let Some(program) = self.statistics {
                statistics::recompute(&mut self.session, program, &self.split, &self.config, epoch + 1)?;
            }
            match self.split.validation.clone() {
                Some(data) => report.validation = Some(self.score_on(data)?),
                None => report.test = Some(self.test()?),
            }
            report.test_time = start.elapsed();
        }
        Ok(report)
    }

    /// Loss and accuracy on the test images.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`](crate::Error::Argument) named `lr` or `weight_decay` if the loss is not finite.
    pub fn test(&mut self) -> Result<Score> {
        self.score_on(self.split.test.clone())
    }

    fn score_on(&mut self, data: Arc<Dataset>) -> Result<Score> {
        let ranks = self.session.device().ranks().cloned();
        let ranks = ranks.as_ref();
        let batch_size = self.config.test_batch(data.len(), ranks);
        let config = LoaderConfig {
            batch_size,
            shard: ranks::shard(ranks, batch_size),
            threads: self.config.threads,
            ..Default::default()
        };
        let mut loader = Loader::new(data.clone(), &self.split.normalization, config)?;
        let mut score = Score::default();
        let mut stream = Stream::new(&mut self.session)?;
        while let Some(batch) = loader.next() {
            let own = Own::of(0..batch.size, ranks);
            if !own.absent {
                let inputs = inputs_of(&batch.images, &batch, own.range.clone());
                stream.submit(self.test[&(Part::Whole, batch.size)], &inputs, own.len())?;
            }
            loader.recycle(batch);
            while let Some((outputs, size)) = stream.poll()? {
                score.add(&outputs, size, 1.0);
            }
        }
        while let Some((outputs, size)) = stream.wait()? {
            score.add(&outputs, size, 1.0);
        }
        drop(stream);
        if let Some(ranks) = ranks {
            score = ranks::merge(ranks, score)?;
        }
        match score.loss.is_finite() {
            true => Ok(score),
            false => Err(self.config.diverged("the loss on the test images is not finite", "")),
        }
    }

    fn train_batches(
        &mut self,
        watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Self { session, split, config, schedule, train: programs, position, .. } = self;
        let done = position.batch;
        let ranks = session.device().ranks().cloned();
        let shard = ranks::shard(ranks.as_ref(), config.micro_batch());
        let loader_config = LoaderConfig { shard, ..config.loader(position.epoch + 1, done) };
        let mut loader = Loader::new(split.train.clone(), &split.normalization, loader_config)?;
        let mut anomaly = config.anomaly.then(|| Anomaly::new(session)).transpose()?;
        let (stream, len) = (Stream::new(session)?, done + loader.len());
        let score = position.score;
        let (batch, ranks) = (Score::default(), ranks.as_ref());
        let mut steps =
            Steps { stream, split, config, schedule, programs, ranks, position, len, done, score, batch };
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() {
            let Some(batch) = loader.next() else { break };
            steps.submit(&batch)?;
            let arrived = steps.arrive_all(config.anomaly, watch);
            flow = match &mut anomaly {
                Some(anomaly) => anomaly.check(&mut steps, &batch, arrived)?,
                None => arrived?,
            };
            loader.recycle(batch);
        }
        let rest = steps.arrive_all(true, watch)?;
        Ok(if flow.is_break() { flow } else { rest })
    }
}

/// Checks all persistent values, because the last update has not affected a loss yet, and that all ranks have the same.
fn check_finite(session: &mut Session, config: &TrainConfig, step: usize) -> Result<()> {
    let names: Vec<String> = session.persistent().iter().map(|p| p.value.name.clone()).collect();
    let mut state = Vec::new();
    for name in names.into_iter().filter(|name| !is_sum(name)) {
        let value = session.read(&name)?;
        state.extend(crc32fast::hash(value.as_bytes()).to_le_bytes());
        if let Some((name, _)) = first_bad(&[(name, value)]) {
            return Err(config.diverged(&format!("{name} is no longer finite after step {step}"), ""));
        }
    }
    session.device().ranks().map_or(Ok(()), |ranks| ranks.agree("the weights", &state))
}
