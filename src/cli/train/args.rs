//! The flags of `striate train`, and what they mean to the library.

use super::resume;
use super::rules::RuleFlags;
use crate::cli::flags::{DataFlags, DeviceFlags, number};
use crate::cli::json;
use crate::cli::memory::MemoryFlags;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;
use striate::data::{Augment, Mix, Split};
use striate::nn::{AdamConfig, Decay, Milestone, OneCycle, Optimizer, SgdConfig};
use striate::train::{Recipe, TrainConfig};
use striate::weights::Fit;
use striate::{Device, Error, Result};

/// Trains a small network.
///
/// Without any flag: resnet8 on the 6,000 Fashion-MNIST images that are built in, on the best device.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// lenet, alexnet, googlenet, resnet18, ..., resnet152, or, for small images, resnet18-cifar and resnetN with
    /// N = 6n + 2 layers: resnet8, resnet20, resnet56, ...; resnetN-a and plainN have shortcuts without parameters and none
    #[arg(long, default_value = "resnet8")]
    pub model: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub device: DeviceFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub memory: MemoryFlags,
    /// Times that every training image is seen
    #[arg(long, default_value_t = 4)]
    pub epochs: usize,
    /// Images a step
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Largest learning rate [default: 0.1 for sgd, 0.01 for sgd on lenet, 0.003 for adam and adamw]
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub lr: Option<f32>,
    /// Epochs over which the learning rate rises from zero
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true, value_parser = number)]
    pub warmup: f32,
    /// Share of the learning rate at the first step of --warmup [default: one step's share]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_factor: Option<f32>,
    /// How the learning rate falls after that
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    pub schedule: ScheduleName,
    /// Epochs after which it falls, with --schedule steps [default: a half and three quarters of all]
    #[arg(long, value_delimiter = ',', value_name = "EPOCH,...", conflicts_with = "step_every")]
    pub milestones: Vec<usize>,
    /// Epochs from one fall to the next, with --schedule steps
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub step_every: Option<u32>,
    /// What it is multiplied by at each fall, with --schedule steps
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true, value_parser = number)]
    pub gamma: f32,
    /// Where it ends, with --schedule cosine [default: 0]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_min: Option<f32>,
    /// How it bends, with --schedule polynomial [default: 1, a straight line]
    #[arg(long, value_name = "POWER", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f32>,
    /// How weights follow their gradients
    #[arg(long, value_enum, default_value_t = OptimizerName::Sgd)]
    pub optimizer: OptimizerName,
    /// Share of the velocity that sgd keeps
    #[arg(long, default_value_t = 0.9, allow_negative_numbers = true, value_parser = number)]
    pub momentum: f32,
    /// Nesterov's variant of momentum
    #[arg(long)]
    pub nesterov: bool,
    /// Strength of weight decay
    #[arg(long, default_value_t = 5e-4, allow_negative_numbers = true, value_parser = number)]
    pub weight_decay: f32,
    /// Share of the target spread over all classes
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = number)]
    pub label_smoothing: f32,
    /// Weights to begin with: a safetensors file, a .pth archive or the folder of a run. What was made for another
    /// number of classes begins anew
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "json::optional_path")]
    pub weights: Option<PathBuf>,
    /// Take what fits of the weights, leave the rest of the network as it is initialised, and say so
    #[arg(long, requires = "weights")]
    pub partial: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub rules: RuleFlags,
    /// Test, and keep, an average of the weights, which keeps this much of itself at each step: 0.99, say
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = number)]
    pub ema: Option<f32>,
    /// Work through the images of a step in so many batches, one after the other, to save memory
    #[arg(long, default_value_t = 1, value_name = "BATCHES")]
    pub accumulate: usize,
    /// Add up images in pairs, in shares of the Beta distribution with this parameter: 0.2, say
    #[arg(long, default_value_t = 0.0, value_name = "ALPHA", allow_negative_numbers = true, value_parser = number)]
    pub mixup: f32,
    /// Put a rectangle of another image into each, in shares of the Beta distribution with this parameter: 1, say
    #[arg(long, default_value_t = 0.0, value_name = "ALPHA", allow_negative_numbers = true, value_parser = number)]
    pub cutmix: f32,
    /// Stop after so many epochs without a better test accuracy
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
    /// Largest norm of all gradients together
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub clip_norm: Option<f32>,
    /// Random changes of training images; crop moves by up to 1/8 of a side. Long runs want crop-flip
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
    #[serde(serialize_with = "json::optional_path")]
    pub out: Option<PathBuf>,
    /// Replace an earlier run in --out
    #[arg(long)]
    pub force: bool,
    /// Go on with the run in this folder where it was last kept, with the flags it was begun with. On the same device
    /// its weights become, bit for bit, what they would have been without the break. Of the flags that change numbers, it
    /// may be given more --epochs and a smaller --lr
    #[arg(long, value_name = "DIR")]
    #[serde(serialize_with = "json::optional_path")]
    pub resume: Option<PathBuf>,
    /// Steps from one checkpoint to the next; there is also one after each epoch
    #[arg(long, default_value_t = 500, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub checkpoint_every: u32,
    /// Checkpoints that are kept
    #[arg(long, default_value_t = 2, value_name = "CHECKPOINTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,
    /// Check all weights for NaN and infinity after every step, not once an epoch, and compute no convolution by Winograd, which
    /// spreads them over whole tiles; slow
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anomaly: bool,
}

/// Flags that a run may go on with otherwise than it was begun: they change no number.
const FREE: [&str; 11] = [
    "data",
    // What it does to the images shows in their sum.
    "skip_broken",
    "device",
    "threads",
    "out",
    "force",
    "resume",
    "checkpoint_every",
    "keep",
    "patience",
    "anomaly",
];

/// Names of [`Decay`]s.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// To zero along half a cosine
    Cosine,
    /// In steps: to a tenth at 1/2 and at 3/4 of all, unless told otherwise
    Steps,
    /// To zero along a power of the steps that are left
    Polynomial,
    /// Up and down again, with its own warm-up
    OneCycle,
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
    /// Images as they are
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
    pub fn config(&self, image: [usize; 2]) -> Result<TrainConfig> {
        Ok(TrainConfig {
            epochs: self.epochs,
            batch: self.batch,
            accumulate: self.accumulate,
            lr: self.learning_rate(),
            warmup_epochs: self.warmup,
            start_factor: self.start_factor,
            decay: self.decay()?,
            recipe: Recipe {
                optimizer: self.optimizer()?,
                rules: self.rules.rules()?,
                label_smoothing: self.label_smoothing,
                clip_norm: self.clip_norm,
                ema: self.ema,
                ..Default::default()
            },
            seed: self.seed,
            augment: self.augment(image),
            mix: self.mix(),
            drop_last: self.drop_last,
            threads: self.threads,
            anomaly: self.anomaly,
        })
    }

    /// How exactly --weights must fit.
    pub fn fit(&self, classes: usize) -> Fit {
        if self.partial { Fit::Partial } else { Fit::Backbone { classes } }
    }

    fn mix(&self) -> Option<Mix> {
        let (mixup, cutmix) = (self.mixup, self.cutmix);
        (mixup != 0.0 || cutmix != 0.0).then_some(Mix { mixup, cutmix })
    }

    fn decay(&self) -> Result<Decay> {
        use ScheduleName::{Cosine, Polynomial, Steps};
        let given = [
            ("milestones", !self.milestones.is_empty(), Steps),
            ("step-every", self.step_every.is_some(), Steps),
            ("gamma", self.gamma != 0.1, Steps),
            ("eta-min", self.eta_min.is_some(), Cosine),
            ("power", self.power.is_some(), Polynomial),
        ];
        if let Some((flag, _, wanted)) = given.iter().find(|(_, given, of)| *given && *of != self.schedule) {
            let name = wanted.to_possible_value().expect("no name is hidden");
            let problem = format!("is for --schedule {} only; give both or none", name.get_name());
            return Err(Error::argument(*flag, problem));
        }
        if !(self.gamma > 0.0 && self.gamma.is_finite()) {
            return Err(Error::argument(
                "gamma",
                format!("must be a finite number above 0, and is {}", self.gamma),
            ));
        }
        Ok(match self.schedule {
            Cosine => Decay::Cosine { eta_min: self.eta_min.unwrap_or(0.0) },
            Polynomial => Decay::Polynomial { power: self.power.unwrap_or(1.0) },
            Steps => Decay::Steps { at: self.falls()?, factor: self.gamma },
            ScheduleName::OneCycle => Decay::OneCycle(OneCycle::default()),
            ScheduleName::Constant => Decay::Constant,
        })
    }

    /// When the learning rate falls.
    fn falls(&self) -> Result<Vec<Milestone>> {
        let epochs = match self.step_every {
            Some(every) => (1..).map(|i| i * every as usize).take_while(|at| *at < self.epochs).collect(),
            None => self.milestones.clone(),
        };
        if let Some(late) = epochs.iter().find(|at| **at == 0 || **at >= self.epochs) {
            let problem = format!("{late} is not between the first and the last of {} epochs", self.epochs);
            return Err(Error::argument("milestones", problem));
        }
        match self.step_every.is_none() && epochs.is_empty() {
            true => Ok(vec![Milestone::Fraction(1, 2), Milestone::Fraction(3, 4)]),
            false => Ok(epochs.into_iter().map(Milestone::Epoch).collect()),
        }
    }

    /// Largest learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.rate_or_usual(self.lr)
    }

    /// A learning rate, or that of this model and optimiser where none is given.
    pub fn rate_or_usual(&self, lr: Option<f32>) -> f32 {
        lr.unwrap_or(match self.optimizer {
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

    /// The augmentation for images of this size.
    fn augment(&self, [height, width]: [usize; 2]) -> Option<Augment> {
        let padding = height.min(width) / 8;
        match self.augment {
            AugmentName::None => None,
            AugmentName::Flip => Some(Augment { crop_padding: 0, flip: true }),
            AugmentName::Crop => Some(Augment { crop_padding: padding, flip: false }),
            AugmentName::CropFlip => Some(Augment { crop_padding: padding, flip: true }),
        }
    }

    /// What the folder is named after where there is no `--out`.
    pub fn run_name(&self) -> String {
        // Neither is known to be a name of ours yet.
        format!("{}-{}", self.model, self.data.dataset).replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// What has to be the same for a run to go on: the model, the images, and every flag that changes a number.
    pub fn about(&self, model: &str, split: &Split) -> Map<String, Value> {
        let mut about = Map::new();
        about.insert("model".to_owned(), model.into());
        for (name, data) in [("training images", &split.train), ("test images", &split.test)] {
            about.insert(name.to_owned(), format!("{} of sum {:08x}", data.len(), data.fingerprint()).into());
        }
        about.extend(self.settings());
        about
    }

    /// The flags that change a number, with their dashes.
    pub fn settings(&self) -> impl Iterator<Item = (String, Value)> {
        let settings = json::value(self).as_object().cloned().unwrap_or_default().into_iter();
        let decide = settings.filter(|(name, _)| !FREE.contains(&name.as_str()));
        decide.map(|(name, value)| (format!("--{}", name.replace('_', "-")), value))
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
            "arguments": resume::given(),
            "settings": json::value(self),
            // `--data` is as it was given, and may start from another folder than a later reader does.
            "data_folder": self.data.data.as_deref().and_then(|dir| dir.canonicalize().ok()).map(|dir| json::argument(dir.as_os_str())),
            "learning_rate": json::value(&self.learning_rate()),
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
