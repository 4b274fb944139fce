//! The device of a command, and its self-test at first use.

use super::terminal::note;
use clap::ValueEnum;
use serde::Serialize;
use std::sync::Once;
use striate::gpu::{self, AdapterSummary, Limits};
use striate::plan::{Family, Target};
use striate::selftest::{self, Extent, Report};
use striate::{Device, Result};

/// The limit of a submission.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct SubmissionFlags {
    /// Longest submission to a GPU in milliseconds, as predicted for a slow one; lower it if the operating system resets the
    /// GPU [default: 500 on hardware GPUs, none on others]
    #[arg(long, value_name = "MS", global = true, help_heading = "Device", allow_negative_numbers = true, value_parser = milliseconds)]
    submission_ms: Option<f64>,
}

impl SubmissionFlags {
    /// The target with this limit.
    pub fn target(&self, target: Target) -> Target {
        Target { submission_ms: self.submission_ms.or(target.submission_ms), ..target }
    }
}

/// Parses the limit of a submission. Much shorter ones would each be a single workgroup.
fn milliseconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms >= 1.0);
    number.ok_or_else(|| format!("expected a number of milliseconds, at least 1, found {text}"))
}

/// The flags that select a device.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct DeviceName {
    /// auto, gpu, cpu, an adapter's number or a part of its name; see `striate devices`; with several processes, also a list of them,
    /// such as 0,1
    #[arg(long, global = true, help_heading = "Device", default_value = "auto")]
    device: String,
    /// Limits to open a GPU with: its own, or those that WebGPU guarantees everywhere
    #[arg(long, global = true, help_heading = "Device", value_enum, default_value = "adapter")]
    #[serde(skip_serializing_if = "LimitsName::is_default")]
    limits: LimitsName,
    #[command(flatten)]
    #[serde(flatten)]
    submission: SubmissionFlags,
    /// Do not test the kernels at the first use of a GPU and its driver; see `striate selftest`
    #[arg(long, global = true, help_heading = "Device")]
    #[serde(skip)]
    no_selftest: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum LimitsName {
    Adapter,
    Webgpu,
}

impl LimitsName {
    fn is_default(&self) -> bool {
        *self == Self::Adapter
    }
}

impl DeviceName {
    /// Opens the device, and tests it at its first use.
    pub fn open(&self) -> Result<Device> {
        let device = self.open_untested()?;
        if self.no_selftest || !selftest::is_due(&device) {
            return Ok(device);
        }
        note(&format!(
            "first use of {}: testing its kernels, for up to half a minute (--no-selftest skips this)",
            device.name()
        ));
        match selftest::run(&|| self.open_untested(), Extent::Short, &mut |_, _| ()) {
            Ok(report) => store(&device, &report),
            Err(error) => note(&format!("its kernels could not be tested: {error}")),
        }
        // With what was found out, and since a device may be unusable after a failure.
        self.open_untested()
    }

    /// The device of the n-th process of this machine: of a list such as `0,1`, the n-th, and of several equal hardware GPUs to choose
    /// from automatically, the n-th of these; starting again after the last.
    pub fn nth(&self, n: usize) -> Self {
        let listed: Vec<&str> = self.device.split(',').collect();
        let device = match &listed[..] {
            ["auto" | "gpu"] => match equal_gpus() {
                0 | 1 => self.device.clone(),
                count => (n % count).to_string(),
            },
            listed => listed[n % listed.len()].to_owned(),
        };
        Self { device, ..self.clone() }
    }

    /// Suggests the CPU executor where `auto` has selected a software GPU; once, because `train` opens a lost device again.
    pub fn hint_at_cpu(&self, device: &Device) {
        static HINTED: Once = Once::new();
        if self.device == "auto" && device.target().family == Family::Software {
            let hint = format!("hint: {} is a software GPU; --device cpu is usually faster", device.name());
            HINTED.call_once(|| note(&hint));
        }
    }

    /// Opens the device.
    pub fn open_untested(&self) -> Result<Device> {
        let limits = match self.limits {
            LimitsName::Adapter => Limits::Adapter,
            LimitsName::Webgpu => Limits::WebGpu,
        };
        let device = Device::select_with(&self.device, limits)?;
        let target = self.submission.target(device.target().clone());
        Ok(device.with_target(target))
    }
}

/// The number of hardware GPUs like the first of the adapters; others would round differently.
fn equal_gpus() -> usize {
    let adapters = gpu::adapters();
    let is_like_first = |a: &&AdapterSummary| {
        a.kind == "hardware" && (&a.name, &a.driver) == (&adapters[0].name, &adapters[0].driver)
    };
    adapters.iter().take_while(is_like_first).count()
}

/// Stores the result of a test, and says which kernels failed.
fn store(device: &Device, report: &Report) {
    if let Err(error) = selftest::save(device, report) {
        note(&format!("the result cannot be stored, so the next command tests again: {error}"));
    }
    let failed: Vec<&str> = report.failures().map(|k| k.kernel.name).collect();
    if !failed.is_empty() {
        note(&format!("not used, because they failed: {}; `striate devices` says why", failed.join(", ")));
    }
}
