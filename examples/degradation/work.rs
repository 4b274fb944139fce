//! Trains the networks, and estimates the time.

use super::findings::{Epoch, Family, Net};
use super::stopped;
use std::ops::ControlFlow;
use std::time::Instant;
use striate::data::{Dataset, Split};
use striate::train::{TrainConfig, Trainer};
use striate::{Device, Result, models};

/// Device, data and settings of all networks.
pub struct Work {
    pub device: Device,
    pub split: Split,
    pub config: TrainConfig,
}

impl Work {
    fn trainer(&self, family: Family, depth: usize, epochs: usize) -> Result<Trainer> {
        let ([channels, ..], classes) = (self.split.train.shape(), self.split.train.classes().len());
        // Without the prefix, plain50 and plain152 are networks for large images.
        let model = models::by_name(&format!("cifar-{}", family.name(depth)), channels, classes)?;
        // The paper warmed up its deepest network at a lower rate; here the rate rises over an epoch.
        let warmup_epochs = if depth >= 110 { 1.0 } else { 0.0 };
        let config = TrainConfig { epochs, warmup_epochs, ..self.config.clone() };
        Trainer::new(&self.device, &*model, self.split.clone(), config)
    }

    /// Measures a few steps of each network, prints an estimate of the total time, and reduces the work if that exceeds `allowed`
    /// seconds.
    pub fn fit(&mut self, nets: &[(Family, usize)], allowed: Option<f64>, started: Instant) -> Result<()> {
        let mut seconds_per_image = 0.0;
        for &(family, depth) in nets {
            if stopped() {
                return Ok(());
            }
            let mut trainer = self.trainer(family, depth, usize::MAX)?;
            let seconds = seconds_per_step(&mut trainer)? / self.config.batch as f64;
            println!("{:11} {:.1} images/s", family.name(depth), 1.0 / seconds);
            seconds_per_image += seconds;
        }
        // Testing is only the forward pass, about a third of a step. The setup of each network was part of the measurement.
        let epoch = seconds_per_image * (self.split.train.len() as f64 + self.split.test.len() as f64 / 3.0);
        let setup = started.elapsed().as_secs_f64();
        let total = setup + epoch * self.config.epochs as f64;
        println!("{} epochs of all networks will take about {:.1} min", self.config.epochs, total / 60.0);
        let Some(left) = allowed.map(|allowed| (allowed - 2.0 * setup).max(0.0)) else {
            return Ok(());
        };
        let epochs = (left / epoch) as usize;
        if epochs == 0 {
            let images = (self.split.train.len() as f64 * left / epoch) as usize;
            self.split = part(&self.split, images.max(self.config.batch))?;
        }
        if epochs < self.config.epochs {
            self.config.epochs = epochs.max(1);
            let (epochs, images) = (self.config.epochs, self.split.train.len());
            println!("that exceeds --minutes, so there will be {epochs} epochs of {images} images");
        }
        Ok(())
    }

    /// Trains a network until its last epoch or Ctrl-C.
    pub fn train(&self, family: Family, depth: usize) -> Result<Net> {
        let start = Instant::now();
        let mut trainer = self.trainer(family, depth, self.config.epochs)?;
        let (parameters, images) = (trainer.parameters(), [self.split.train.len(), self.split.test.len()]);
        let mut net =
            Net { family, depth, parameters, images, epochs: Vec::new(), finished: false, seconds: 0.0 };
        while trainer.epochs_left() > 0 {
            let report = trainer.epoch(&mut |_| match stopped() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })?;
            let Some(test) = report.test else { break };
            let [train_error, test_error] = [report.train, test].map(|s| 100.0 * (1.0 - s.accuracy));
            let time = report.train_time.as_secs_f64();
            print!("{:11} epoch {}/{}  ", net.name(), report.epoch, self.config.epochs);
            println!("error: training {train_error:5.2} %, test {test_error:5.2} %  {time:.1} s");
            net.epochs.push(Epoch { train_error, test_error });
        }
        net.finished = trainer.epochs_left() == 0;
        net.seconds = start.elapsed().as_secs_f64();
        Ok(net)
    }
}

/// Seconds per step, not including compilation.
fn seconds_per_step(trainer: &mut Trainer) -> Result<f64> {
    trainer.epoch(&mut |_| ControlFlow::Break(()))?;
    let (start, before) = (Instant::now(), trainer.position().step);
    let mut done = 0;
    trainer.epoch(&mut |_| {
        done += 1;
        if done < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let steps = trainer.position().step - before;
    Ok(start.elapsed().as_secs_f64() / steps as f64)
}

/// The first `images` training images of a data set, and a quarter as many test images.
pub fn part(split: &Split, images: usize) -> Result<Split> {
    let first = |all: &Dataset, count: usize| {
        let count = count.clamp(1, all.len());
        let images = all.images()[..count * all.image_len()].to_vec();
        Dataset::new(all.name(), all.shape(), images, all.labels()[..count].to_vec(), all.classes().to_vec())
    };
    let (train, test) = (first(&split.train, images)?, first(&split.test, images / 4)?);
    Split::new(train, test, split.normalization.clone())
}
