//! Choosing a device.

use super::cpu::CpuExecutor;
use super::executor::Executor;
use super::gpu::{self, AdapterSummary, Gpu, GpuExecutor};
use super::{memory, tuned_file};
use crate::plan::{Layout, Plan, Target};
use crate::{Error, Result};
use std::sync::Arc;

/// A GPU adapter, hardware or software, or the CPU executor. Cheap to clone.
///
/// ```
/// use striate::Device;
/// let device = Device::select("cpu")?;
/// assert!(!device.is_gpu());
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone)]
pub struct Device {
    kind: Kind,
    target: Target,
    reason: String,
}

#[derive(Clone)]
enum Kind {
    Gpu(Arc<Gpu>),
    Cpu { reference: bool },
}

impl Device {
    /// The remedy if there is no adapter, for messages.
    pub const INSTALL: &str = "install your GPU's Vulkan driver, or a software one (Debian, Ubuntu: apt install mesa-vulkan-drivers), or use --device cpu";

    /// Selects a device by name:
    ///
    /// - `auto`: a hardware GPU, else a software Vulkan adapter, else the CPU executor;
    /// - `gpu`: the same, but never the CPU executor;
    /// - `cpu`: the CPU executor; `cpu-reference`: the same with plain kernels;
    /// - a number: index of an adapter in [`gpu::adapters`];
    /// - anything else: the first adapter whose name contains it, ignoring case.
    pub fn select(name: &str) -> Result<Self> {
        match name {
            "cpu" => return Ok(Self::cpu("as asked")),
            "cpu-reference" => return Ok(Self::cpu_reference()),
            "" => {
                let problem = "the name is empty; give auto, gpu, cpu, a number or part of an adapter's name";
                return Err(Error::Device(problem.to_owned()));
            }
            _ => {}
        }
        let adapters = gpu::adapters();
        if name == "auto" && adapters.is_empty() {
            return Ok(Self::cpu("no GPU driver and no software Vulkan was found"));
        }
        if adapters.is_empty() {
            return Err(Error::Device(format!(
                "{name:?} needs a GPU adapter, and there is none; {}",
                Self::INSTALL
            )));
        }
        let (index, reason) = choose(name, &adapters)?;
        let gpu = Gpu::open(index)?;
        let target = Target { tuned: tuned_file::load(gpu.adapter()), ..gpu.target().clone() };
        Ok(Self { target, kind: Kind::Gpu(gpu), reason })
    }

    /// The index of the adapter that `auto` selects, and the reason; `None` for the CPU executor.
    pub fn auto(adapters: &[AdapterSummary]) -> Option<(usize, &'static str)> {
        let reason = match adapters.first()?.kind {
            "hardware" => "the first hardware GPU",
            _ => "since there is no hardware GPU",
        };
        Some((0, reason))
    }

    /// The CPU executor with fast kernels.
    fn cpu(reason: &str) -> Self {
        let target = Target::cpu(memory::limit());
        Self { kind: Kind::Cpu { reference: false }, target, reason: reason.to_owned() }
    }

    /// The CPU executor with plain kernels: the reference of the tests.
    pub fn cpu_reference() -> Self {
        Self { kind: Kind::Cpu { reference: true }, ..Self::cpu("as asked") }
    }

    /// The limits and preferences to plan with for this device.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The same device with another target for its plans.
    pub fn with_target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// Whether kernels run as compute shaders.
    pub fn is_gpu(&self) -> bool {
        matches!(self.kind, Kind::Gpu(_))
    }

    /// The adapter; `None` for the CPU executor.
    pub fn adapter(&self) -> Option<&AdapterSummary> {
        match &self.kind {
            Kind::Gpu(gpu) => Some(gpu.adapter()),
            Kind::Cpu { .. } => None,
        }
    }

    /// The adapter's name, or a description of the CPU executor.
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Gpu(gpu) => gpu.adapter().name.clone(),
            Kind::Cpu { reference: false } => {
                format!("CPU executor, {} threads", rayon::current_num_threads())
            }
            Kind::Cpu { reference: true } => "CPU executor, plain kernels".into(),
        }
    }

    /// One line: the device, the reason for its selection, and whether plans for it use tuned kernels.
    pub fn describe(&self) -> String {
        let tuned = match self.target.tuned.len() {
            0 => String::new(),
            classes => format!("; tuned kernels for {classes} classes of work"),
        };
        match self.adapter() {
            Some(a) => {
                format!(
                    "{} ({}, {}, {} adapter), {}{tuned}",
                    a.name, a.backend, a.driver, a.kind, self.reason
                )
            }
            None => format!("{}, {}{tuned}", self.name(), self.reason),
        }
    }

    /// Number of buffers, bind groups and pipelines created on the GPU so far; 0 for the CPU executor.
    pub fn created(&self) -> usize {
        match &self.kind {
            Kind::Gpu(gpu) => gpu.created(),
            Kind::Cpu { .. } => 0,
        }
    }

    /// Bytes of GPU memory currently allocated: tensors, launch parameters and staging buffers. `None` for the CPU executor,
    /// and if the graphics API does not report it.
    pub fn allocated_bytes(&self) -> Option<u64> {
        match &self.kind {
            Kind::Gpu(gpu) => gpu.allocated_bytes(),
            Kind::Cpu { .. } => None,
        }
    }

    pub(crate) fn executor(&self, plans: &[Plan], layout: Layout) -> Result<Box<dyn Executor>> {
        Ok(match &self.kind {
            Kind::Gpu(gpu) => Box::new(GpuExecutor::new(gpu.clone(), plans, layout)?),
            Kind::Cpu { reference } => Box::new(CpuExecutor::new(plans, layout, *reference)?),
        })
    }
}

/// The adapter that a name selects, and the reason. Adapters are sorted, hardware first.
fn choose(name: &str, adapters: &[AdapterSummary]) -> Result<(usize, String)> {
    if (name == "auto" || name == "gpu")
        && let Some((index, reason)) = Device::auto(adapters)
    {
        return Ok((index, reason.to_owned()));
    }
    let names = || {
        let list: Vec<String> =
            adapters.iter().enumerate().map(|(i, a)| format!("{i}: {}", a.name)).collect();
        list.join("; ")
    };
    if let Ok(index) = name.parse::<usize>() {
        return match index < adapters.len() {
            true => Ok((index, "as asked".to_owned())),
            false => Err(Error::Device(format!("there is no adapter {index}; choose one of {}", names()))),
        };
    }
    let wanted = name.to_lowercase();
    let found = adapters.iter().position(|a| a.name.to_lowercase().contains(&wanted));
    match found {
        Some(index) => Ok((index, "as asked".to_owned())),
        None => Err(Error::Device(format!(
            "no adapter's name contains {name:?}; choose one of {}, or give auto, gpu or cpu",
            names()
        ))),
    }
}
