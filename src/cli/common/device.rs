//! The device of a command, and its self-test at first use.

use super::terminal::note;
use clap::ValueEnum;
use serde::Serialize;
use striate::gpu::Limits;
use striate::selftest::{self, Extent};
use striate::{Device, Result};

/// The flags that select a device.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct DeviceName {
    /// auto, gpu, cpu, an adapter's number or a part of its name; see `striate devices`
    #[arg(long, global = true, default_value = "auto")]
    device: String,
    /// Limits to open a GPU with: its own, or those that WebGPU guarantees everywhere
    #[arg(long, global = true, value_enum, default_value = "adapter")]
    #[serde(skip_serializing_if = "LimitsName::is_default")]
    limits: LimitsName,
    /// Do not test the kernels at the first use of a GPU and its driver; see `striate selftest`
    #[arg(long, global = true)]
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
        note(&format!("first use of {}: testing its kernels (--no-selftest skips this)", device.name()));
        let report = selftest::run(&device, Extent::Short, &mut |_, _| ())?;
        if let Err(error) = selftest::save(&device, &report) {
            note(&format!("the result cannot be stored: {error}"));
        }
        let failed: Vec<&str> = report.failures().map(|k| k.kernel.name).collect();
        if failed.is_empty() {
            return Ok(device);
        }
        note(&format!(
            "not used, because they compute wrong results: {}; see `striate selftest`",
            failed.join(", ")
        ));
        // A device may be unusable after a kernel that failed.
        self.open_untested()
    }

    /// Opens the device.
    pub fn open_untested(&self) -> Result<Device> {
        let limits = match self.limits {
            LimitsName::Adapter => Limits::Adapter,
            LimitsName::Webgpu => Limits::WebGpu,
        };
        Device::select_with(&self.device, limits)
    }
}
