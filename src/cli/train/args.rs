//! The flags of `striate train`.

use super::flags::{AugmentFlags, FineTuningFlags, LossFlags, OptimizerFlags, RunFlags, ScheduleFlags};
use crate::cli::flags::{DataFlags, DeviceFlags};
use crate::cli::json;
use crate::cli::memory::MemoryFlags;
use crate::cli::ranks::RankFlags;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::PathBuf;
use striate::data::Split;
use striate::distributed::Ranks;
use striate::train::{Recipe, TrainConfig};
use striate::{Device, Result};

/// Trains a small network.
///
/// By default: resnet8 on the 6,000 built-in images of Fashion-MNIST, on the best device.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// A folder of images per class, or with the files of MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100: short for --dataset and
    /// --data, with other defaults that suit the images and are printed
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// Flags from a file: TOML such as `epochs = 20`, or the settings of a run. Flags of the command line take precedence
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// lenet, alexnet, googlenet, resnet18, ..., resnet152, or, for small images, resnet18-cifar and resnetN with
    /// N = 6n + 2 layers: resnet8, resnet20, resnet56, ...; resnetN-a has shortcuts without parameters, plainN has none
    #[arg(long, default_value = "resnet8")]
    pub model: String,
    /// Seed of weights, order and augmentation
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads that prepare batches
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Skip steps in which the loss or a gradient is NaN or infinite, instead of ending the run; it ends after ten in a row
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skip_non_finite: bool,
    /// Name the step, the layer, the tensor and the kernel of the first NaN or infinity. Slow: waits for each step, and does not
    /// use Winograd convolution, which spreads them over whole tiles
    #[arg(long, conflicts_with = "skip_non_finite")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    anomaly: bool,
    /// Test with batch norm's running averages, as PyTorch does, instead of statistics recomputed over training images after each
    /// epoch
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_precise_bn: bool,
    /// On several processes, normalize by the statistics of the images of all of them, as a single GPU would, instead of those of
    /// each
    #[arg(long, help_heading = "Several GPUs or machines")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sync_batch_norm: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub augmentation: AugmentFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub schedule: ScheduleFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptimizerFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub loss: LossFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub fine_tuning: FineTuningFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub run: RunFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub ranks: RankFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub device: DeviceFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub memory: MemoryFlags,
}

/// Flags that may change when a run resumes, since they do not affect the results so far.
const FREE: [&str; 16] = [
    "data",
    // Changes of the images show in their checksum.
    "skip_broken",
    "device",
    "submission_ms",
    "threads",
    "out",
    "force",
    "report",
    "resume",
    "checkpoint_every",
    "keep",
    "log_every",
    "tensorboard",
    "patience",
    "skip_non_finite",
    "anomaly",
];

impl Args {
    /// The trainer's settings for the training images of `split`. Values that are invalid for any network are rejected here, others
    /// by the library.
    pub fn config(&self, split: &Split) -> Result<TrainConfig> {
        let Self { schedule, optimizer, loss, augmentation, .. } = self;
        let [_, height, width] = split.train.shape();
        Ok(TrainConfig {
            epochs: schedule.epochs,
            batch: schedule.batch,
            accumulate: schedule.accumulate,
            balanced: schedule.balanced_sampling,
            drop_last: schedule.drop_last,
            lr: self.learning_rate(),
            warmup_epochs: schedule.warmup,
            start_factor: schedule.start_factor,
            decay: schedule.decay()?,
            recipe: Recipe {
                optimizer: optimizer.optimizer()?,
                rules: self.fine_tuning.rules(optimizer.rules()?)?,
                clip_norm: optimizer.clip_norm,
                ema: optimizer.ema,
                label_smoothing: loss.label_smoothing,
                class_weights: loss.class_weights(&split.train)?,
                ..Default::default()
            },
            seed: self.seed,
            augment: augmentation.augment([height, width])?,
            mix: augmentation.mix(),
            threads: self.threads,
            precise_bn: !self.no_precise_bn,
            sync_batch_norm: self.sync_batch_norm,
            skip_non_finite: self.skip_non_finite,
            anomaly: self.anomaly,
        })
    }

    /// Whether steps that are not finite are skipped.
    pub fn skips_non_finite(&self) -> bool {
        self.skip_non_finite
    }

    /// Peak learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.rate_or_default(self.schedule.lr)
    }

    /// A learning rate, or the default for the model and optimizer.
    pub fn rate_or_default(&self, lr: Option<f32>) -> f32 {
        lr.unwrap_or(match self.optimizer.uses_adam() {
            true => 0.003,
            // Without batch norm, it diverges at a ResNet's rate.
            false if self.model == "lenet" => 0.01,
            false => 0.1,
        })
    }

    /// The default name of the run's folder.
    pub fn run_name(&self) -> String {
        // Model and data set are not validated yet.
        format!("{}-{}", self.model, self.data.dataset).replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// What must not change for a run to resume: the model, the images, and every flag that affects the results.
    pub fn about(&self, model: &str, split: &Split) -> Map<String, Value> {
        // Flags first: a message names the first difference, and some flags change the images.
        let mut about: Map<String, Value> = self.settings().collect();
        about.insert("model".to_owned(), model.into());
        let validation = split.validation.iter().map(|data| ("validation images", data));
        for (name, data) in
            [("training images", &split.train), ("test images", &split.test)].into_iter().chain(validation)
        {
            about.insert(name.to_owned(), format!("{} of sum {:08x}", data.len(), data.fingerprint()).into());
        }
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
            "device": {
                "name": device.name(),
                "adapter": adapter,
                "memory_bytes": memory,
                "ranks": device.ranks().map_or(1, Ranks::ranks),
            },
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
