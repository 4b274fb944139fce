//! The flags of `striate train`, and what they mean to the library.

use crate::cli::flags::{DataFlags, DeviceFlags};
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use striate::data::Augment;
use striate::nn::{AdamConfig, Decay, Optimizer, SgdConfig};
use striate::train::{Recipe, TrainConfig};
use striate::{Device, Error, Result};

/// Trains a small network.
///
/// Without any flag: resnet8 on the 6,000 Fashion-MNIST pictures that are built in, on the best device.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// lenet, alexnet, googlenet, resnet18, ..., resnet152, or, for small pictures, resnet18-cifar and resnetN with
    /// N = 6n + 2 layers: resnet8, resnet20, resnet56, ...; resnetN-a and plainN have shortcuts without parameters and none
    #[arg(long, default_value = "resnet8")]
    pub model: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub device: DeviceFlags,
    /// Times that every training picture is seen
    #[arg(long, default_value_t = 4)]
    pub epochs: usize,
    /// Pictures a step
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Largest learning rate [default: 0.1 for sgd, 0.01 for sgd on lenet, 0.003 for adam and adamw]
    #[arg(long, allow_negative_numbers = true)]
    pub lr: Option<f32>,
    /// Epochs over which the learning rate rises from zero
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true)]
    pub warmup: f32,
    /// How the learning rate falls after that
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    pub schedule: ScheduleName,
    /// How weights follow their gradients
    #[arg(long, value_enum, default_value_t = OptimizerName::Sgd)]
    pub optimizer: OptimizerName,
    /// Share of the velocity that sgd keeps
    #[arg(long, default_value_t = 0.9, allow_negative_numbers = true)]
    pub momentum: f32,
    /// Nesterov's variant of momentum
    #[arg(long)]
    pub nesterov: bool,
    /// Strength of weight decay
    #[arg(long, default_value_t = 5e-4, allow_negative_numbers = true)]
    pub weight_decay: f32,
    /// Share of the target spread over all classes
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub label_smoothing: f32,
    /// Largest norm of all gradients together
    #[arg(long, allow_negative_numbers = true)]
    pub clip_norm: Option<f32>,
    /// Random changes of training pictures; crop moves by up to 1/8 of a side. Long runs want crop-flip
    #[arg(long, value_enum, default_value_t = AugmentName::None)]
    pub augment: AugmentName,
    /// Leave out a last batch that is smaller than the others
    #[arg(long)]
    pub drop_last: bool,
    /// Seed of weights, order and augmentation
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads that prepare batches
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Folder for the results [default: a new one under runs/]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace an earlier run in --out
    #[arg(long)]
    pub force: bool,
}

/// Names of [`Decay`]s.
#[derive(ValueEnum, Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleName {
    /// To zero along half a cosine
    Cosine,
    /// To a tenth at 1/2 and at 3/4 of all steps
    Steps,
    /// Not at all
    Constant,
}

/// Names of [`Optimizer`]s.
#[derive(ValueEnum, Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Stochastic gradient descent with momentum
    Sgd,
    /// Adam; weight decay is added to the gradient
    Adam,
    /// Adam with decoupled weight decay
    Adamw,
}

/// Names of [`Augment`]s.
#[derive(ValueEnum, Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AugmentName {
    /// Pictures as they are
    None,
    /// Mirrored half of the time
    Flip,
    /// Moved at random
    Crop,
    /// Both
    CropFlip,
}

impl Args {
    /// What the trainer is told. Numbers that make no sense in any network are refused here, the others
    /// by the library.
    pub fn config(&self, picture: [usize; 2]) -> Result<TrainConfig> {
        Ok(TrainConfig {
            epochs: self.epochs,
            batch: self.batch,
            lr: self.learning_rate(),
            warmup_epochs: self.warmup,
            decay: match self.schedule {
                ScheduleName::Cosine => Decay::Cosine,
                ScheduleName::Steps => Decay::Steps { at: vec![0.5, 0.75], factor: 0.1 },
                ScheduleName::Constant => Decay::Constant,
            },
            recipe: Recipe {
                optimizer: self.optimizer()?,
                label_smoothing: self.label_smoothing,
                clip_norm: self.clip_norm,
            },
            seed: self.seed,
            augment: self.augment(picture),
            drop_last: self.drop_last,
            threads: self.threads,
        })
    }

    fn learning_rate(&self) -> f32 {
        self.lr.unwrap_or(match self.optimizer {
            // Without batch norm it does not survive steps as long as a ResNet's.
            OptimizerName::Sgd if self.model == "lenet" => 0.01,
            OptimizerName::Sgd => 0.1,
            OptimizerName::Adam | OptimizerName::Adamw => 0.003,
        })
    }

    fn optimizer(&self) -> Result<Optimizer> {
        for (name, value) in [("momentum", self.momentum), ("weight-decay", self.weight_decay)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::argument(
                    name,
                    format!("must be a finite number from 0 on, and is {value}"),
                ));
            }
        }
        let weight_decay = self.weight_decay;
        let adam = |decoupled| Optimizer::Adam(AdamConfig { weight_decay, decoupled, ..Default::default() });
        Ok(match self.optimizer {
            OptimizerName::Sgd => {
                Optimizer::Sgd(SgdConfig { momentum: self.momentum, weight_decay, nesterov: self.nesterov })
            }
            OptimizerName::Adam => adam(false),
            OptimizerName::Adamw => adam(true),
        })
    }

    /// The augmentation for pictures of this size.
    fn augment(&self, [height, width]: [usize; 2]) -> Option<Augment> {
        let padding = height.min(width) / 8;
        match self.augment {
            AugmentName::None => None,
            AugmentName::Flip => Some(Augment { crop_padding: 0, flip: true }),
            AugmentName::Crop => Some(Augment { crop_padding: padding, flip: false }),
            AugmentName::CropFlip => Some(Augment { crop_padding: padding, flip: true }),
        }
    }

    /// `--out`, or the first folder under `runs/` that is not there yet.
    pub fn out_path(&self) -> PathBuf {
        let name = format!("{}-{}", self.model, self.data.dataset);
        let numbered =
            |n: usize| PathBuf::from("runs").join(if n == 1 { name.clone() } else { format!("{name}-{n}") });
        self.out.clone().unwrap_or_else(|| {
            (1..).map(numbered).find(|path| !path.exists()).expect("some number is not taken yet")
        })
    }

    /// Everything that a later reader wants to know about a run.
    pub fn describe(
        &self,
        device: &Device,
        model: &str,
        parameters: usize,
        memory: u64,
    ) -> serde_json::Value {
        let adapter = device.adapter().map(|a| {
            serde_json::json!({ "name": a.name, "backend": a.backend, "driver": a.driver, "kind": a.kind })
        });
        serde_json::json!({
            "settings": self,
            "learning_rate": self.learning_rate(),
            "model": { "name": model, "parameters": parameters },
            "device": { "name": device.name(), "adapter": adapter, "memory_bytes": memory },
            "versions": {
                "striate": env!("CARGO_PKG_VERSION"),
                "wgpu": locked_version("wgpu"),
                "naga": locked_version("naga"),
            },
        })
    }
}

/// Version of a dependency that this program was built with.
fn locked_version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../../../Cargo.lock");
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    entry.split_once('"').map(|(version, _)| version)
}
