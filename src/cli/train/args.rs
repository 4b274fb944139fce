//! The flags of `striate train`, and their translation to the library's settings.

use super::augment::AugmentFlags;
use super::rules::RuleFlags;
use crate::cli::flags::{DataFlags, DeviceFlags, number};
use crate::cli::json;
use crate::cli::memory::MemoryFlags;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::PathBuf;
use striate::data::{Dataset, Mix, Split};
use striate::nn::{AdamConfig, Decay, Milestone, OneCycle, Optimizer, SgdConfig};
use striate::train::{Recipe, TrainConfig};
use striate::weights::Fit;
use striate::{Device, Error, Result};

/// Trains a small network.
///
/// By default: resnet8 on the 6,000 built-in images of Fashion-MNIST, on the best device.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// A folder of images per class, or with the files of MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100: short for --dataset and
    /// --data, with other defaults that suit the images and are printed
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// lenet, alexnet, googlenet, resnet18, ..., resnet152, or, for small images, resnet18-cifar and resnetN with
    /// N = 6n + 2 layers: resnet8, resnet20, resnet56, ...; resnetN-a has shortcuts without parameters, plainN has none
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
    /// Passes over the training images
    #[arg(long, default_value_t = 4)]
    pub epochs: usize,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Peak learning rate [default: 0.1 for sgd, 0.01 for sgd on lenet, 0.003 for adam and adamw]
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub lr: Option<f32>,
    /// Epochs over which the learning rate rises from zero
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true, value_parser = number)]
    pub warmup: f32,
    /// Fraction of the learning rate at the first step of --warmup [default: 1 / its number of steps]
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_factor: Option<f32>,
    /// Schedule of the learning rate after the warm-up
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    pub schedule: ScheduleName,
    /// Epochs after which --schedule steps lowers the rate [default: 1/2 and 3/4 of all]
    #[arg(long, value_delimiter = ',', value_name = "EPOCH,...", conflicts_with = "step_every")]
    pub milestones: Vec<usize>,
    /// Epochs between two steps of --schedule steps
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub step_every: Option<u32>,
    /// Factor of the rate at each step of --schedule steps
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true, value_parser = number)]
    pub gamma: f32,
    /// Final rate of --schedule cosine [default: 0]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_min: Option<f32>,
    /// Exponent of --schedule polynomial [default: 1, a straight line]
    #[arg(long, value_name = "POWER", allow_negative_numbers = true, value_parser = number)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f32>,
    /// Optimizer
    #[arg(long, value_enum, default_value_t = OptimizerName::Sgd)]
    pub optimizer: OptimizerName,
    /// Momentum of sgd
    #[arg(long, default_value_t = 0.9, allow_negative_numbers = true, value_parser = number)]
    pub momentum: f32,
    /// Use Nesterov momentum
    #[arg(long)]
    pub nesterov: bool,
    /// Coefficient of weight decay
    #[arg(long, default_value_t = 5e-4, allow_negative_numbers = true, value_parser = number)]
    pub weight_decay: f32,
    /// Fraction of the target that is spread over all classes
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = number)]
    pub label_smoothing: f32,
    /// Initial weights: a safetensors file, a .pth archive or a run folder. A last layer for another number of classes is
    /// initialized instead
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "json::optional_path")]
    pub weights: Option<PathBuf>,
    /// Start from torchvision's pretrained weights for --model, with their preprocessing (see `striate fetch`). They are
    /// downloaded if they are missing
    #[arg(long, conflicts_with = "weights")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pretrained: bool,
    /// Load only the weights that fit, initialize the others, and list the differences
    #[arg(long, requires = "weights")]
    pub partial: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub rules: RuleFlags,
    /// Keep an exponential moving average of the weights with this decay per step, such as 0.99, to test and save
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, value_parser = number)]
    pub ema: Option<f32>,
    /// Split each step into this many micro-batches, to save memory
    #[arg(long, default_value_t = 1, value_name = "BATCHES")]
    pub accumulate: usize,
    /// Mixup: interpolate pairs of images with weights from Beta(ALPHA, ALPHA), such as 0.2
    #[arg(long, default_value_t = 0.0, value_name = "ALPHA", allow_negative_numbers = true, value_parser = number)]
    pub mixup: f32,
    /// CutMix: paste a rectangle of another image, with areas from Beta(ALPHA, ALPHA), such as 1
    #[arg(long, default_value_t = 0.0, value_name = "ALPHA", allow_negative_numbers = true, value_parser = number)]
    pub cutmix: f32,
    /// Stop after this many epochs without a better test accuracy
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
    /// Weights of the classes in the loss
    #[arg(long, value_enum, default_value_t = ClassWeights::None)]
    #[serde(skip_serializing_if = "ClassWeights::is_none")]
    pub class_weights: ClassWeights,
    /// Clip the global norm of the gradients to this
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub clip_norm: Option<f32>,
    #[command(flatten)]
    #[serde(flatten)]
    pub augmentation: AugmentFlags,
    /// Drop the last batch if it is smaller than the others
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
    /// Resume the run in this folder from its last checkpoint, with its original flags. On the same device, its weights
    /// become bit-identical to those of an uninterrupted run. Flags that affect the results cannot change, except for a
    /// larger --epochs and a smaller --lr
    #[arg(long, value_name = "DIR")]
    #[serde(serialize_with = "json::optional_path")]
    pub resume: Option<PathBuf>,
    /// Steps between two checkpoints; there is also one after each epoch
    #[arg(long, default_value_t = 500, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    pub checkpoint_every: u32,
    /// Checkpoints to keep
    #[arg(long, default_value_t = 2, value_name = "CHECKPOINTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,
    /// Skip steps in which the loss or a gradient is NaN or infinite, instead of ending the run; it ends after ten in a row
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_non_finite: bool,
    /// Test with batch norm's running averages, as PyTorch does, instead of statistics recomputed over training images after each
    /// epoch
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_precise_bn: bool,
    /// Name the step, the layer, the tensor and the kernel of the first NaN or infinity. Slow: waits for each step, and does not
    /// use Winograd convolution, which spreads them over whole tiles
    #[arg(long, conflicts_with = "skip_non_finite")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anomaly: bool,
}

/// Flags that may change when a run resumes, since they do not affect the results so far.
const FREE: [&str; 13] = [
    "data",
    // Changes of the images show in their checksum.
    "skip_broken",
    "device",
    "submission_ms",
    "threads",
    "out",
    "force",
    "resume",
    "checkpoint_every",
    "keep",
    "patience",
    "skip_non_finite",
    "anomaly",
];

/// Names of [`Decay`]s.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// Half a cosine down to --eta-min
    Cosine,
    /// Steps: by default to a tenth at 1/2 and at 3/4 of all epochs
    Steps,
    /// A power of the remaining fraction of the steps
    Polynomial,
    /// Up and down again, with its own warm-up
    OneCycle,
    /// No decay
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

/// How the loss weights classes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// All equal
    None,
    /// In inverse proportion to their numbers of training images
    Balanced,
}

impl ClassWeights {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Args {
    /// Whether the optimizer needs the low rates of Adam.
    pub fn uses_adam(&self) -> bool {
        !matches!(self.optimizer, OptimizerName::Sgd)
    }

    /// The weight of each class in the loss: 1 on average over the images.
    pub fn class_weights(&self, data: &Dataset) -> Result<Option<Vec<f32>>> {
        let classes = data.classes().len();
        let mut counts = vec![0u32; classes];
        data.labels().iter().for_each(|label| counts[*label as usize] += 1);
        let weight = |count: u32| data.len() as f32 / (classes as f32 * count as f32);
        if self.class_weights == ClassWeights::None {
            return Ok(None);
        }
        if let Some(empty) = counts.iter().position(|count| *count == 0) {
            let problem =
                format!("there are no training images of class {}; leave it out", data.classes()[empty]);
            return Err(Error::argument("class_weights", problem));
        }
        Ok(Some(counts.into_iter().map(weight).collect()))
    }

    /// The trainer's settings. Values that are invalid for any network are rejected here, others by the library.
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
            augment: self.augmentation.augment(image)?,
            mix: self.mix(),
            drop_last: self.drop_last,
            threads: self.threads,
            precise_bn: !self.no_precise_bn,
            skip_non_finite: self.skip_non_finite,
            anomaly: self.anomaly,
        })
    }

    /// How closely --weights must match the network.
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
            let problem = format!("requires --schedule {}; give both or none", name.get_name());
            return Err(Error::argument(*flag, problem));
        }
        if !(self.gamma > 0.0 && self.gamma.is_finite()) {
            let problem = format!("must be finite and above 0, got {}", self.gamma);
            return Err(Error::argument("gamma", problem));
        }
        Ok(match self.schedule {
            Cosine => Decay::Cosine { eta_min: self.eta_min.unwrap_or(0.0) },
            Polynomial => Decay::Polynomial { power: self.power.unwrap_or(1.0) },
            Steps => Decay::Steps { at: self.milestones()?, factor: self.gamma },
            ScheduleName::OneCycle => Decay::OneCycle(OneCycle::default()),
            ScheduleName::Constant => Decay::Constant,
        })
    }

    /// When the learning rate steps down.
    fn milestones(&self) -> Result<Vec<Milestone>> {
        let epochs = match self.step_every {
            Some(every) => (1..).map(|i| i * every as usize).take_while(|at| *at < self.epochs).collect(),
            None => self.milestones.clone(),
        };
        if let Some(late) = epochs.iter().find(|at| **at == 0 || **at >= self.epochs) {
            let problem = format!("expected epochs above 0 and below {}, found {late}", self.epochs);
            return Err(Error::argument("milestones", problem));
        }
        match self.step_every.is_none() && epochs.is_empty() {
            true => Ok(vec![Milestone::Fraction(1, 2), Milestone::Fraction(3, 4)]),
            false => Ok(epochs.into_iter().map(Milestone::Epoch).collect()),
        }
    }

    /// Peak learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.rate_or_default(self.lr)
    }

    /// A learning rate, or the default for the model and optimizer.
    pub fn rate_or_default(&self, lr: Option<f32>) -> f32 {
        lr.unwrap_or(match self.optimizer {
            // Without batch norm, it diverges at a ResNet's rate.
            OptimizerName::Sgd if self.model == "lenet" => 0.01,
            OptimizerName::Sgd => 0.1,
            OptimizerName::Adam | OptimizerName::Adamw => 0.003,
        })
    }

    fn optimizer(&self) -> Result<Optimizer> {
        for (name, value) in [("momentum", self.momentum), ("weight-decay", self.weight_decay)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::argument(name, format!("must be finite and at least 0, got {value}")));
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

    /// The default name of the run's folder.
    pub fn run_name(&self) -> String {
        // Model and data set are not validated yet.
        format!("{}-{}", self.model, self.data.dataset).replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// What must not change for a run to resume: the model, the images, and every flag that affects the results.
    pub fn about(&self, model: &str, split: &Split) -> Map<String, Value> {
        let mut about = Map::new();
        about.insert("model".to_owned(), model.into());
        for (name, data) in [("training images", &split.train), ("test images", &split.test)] {
            about.insert(name.to_owned(), format!("{} of sum {:08x}", data.len(), data.fingerprint()).into());
        }
        about.extend(self.settings());
        about
    }

    /// The flags that affect the results, with their dashes.
    pub fn settings(&self) -> impl Iterator<Item = (String, Value)> {
        let settings = json::value(self).as_object().cloned().unwrap_or_default().into_iter();
        let fixed = settings.filter(|(name, _)| !FREE.contains(&name.as_str()));
        fixed.map(|(name, value)| (format!("--{}", name.replace('_', "-")), value))
    }

    /// The content of `config.json`.
    pub fn describe(
        &self,
        arguments: &[OsString],
        device: &Device,
        model: &str,
        parameters: usize,
        memory: u64,
    ) -> Value {
        let arguments = arguments.iter().map(|argument| json::argument(argument));
        let adapter = device
            .adapter()
            .map(|a| json!({ "name": a.name, "backend": a.backend, "driver": a.driver, "kind": a.kind }));
        json!({
            "arguments": arguments.collect::<Vec<_>>(),
            "settings": json::value(self),
            // `--data` may be relative to the current folder, which a later reader does not know.
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

/// Version of a dependency in `Cargo.lock`.
fn locked_version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../../../Cargo.lock");
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    entry.split_once('"').map(|(version, _)| version)
}
