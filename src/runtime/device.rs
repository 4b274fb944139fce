//! Device selection.

use super::cpu::CpuExecutor;
use super::executor::Executor;
use super::gpu::{self, AdapterSummary, Gpu, GpuExecutor, Limits};
use super::{memory, tuned_file, verdicts};
use crate::distributed::Ranks;
use crate::kernel;
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
    /// The reason for its selection.
    reason: &'static str,
    /// The ranks that train together, if there are several.
    ranks: Option<Ranks>,
}

#[derive(Clone)]
enum Kind {
    Gpu(Arc<Gpu>),
    Cpu { reference: bool },
}

impl Device {
    /// What to do if there is no adapter, for messages.
    pub const INSTALL: &str = "install your GPU's Vulkan driver, or a software one (Debian, Ubuntu: apt install mesa-vulkan-drivers), or use --device cpu";

    /// Selects a device by name:
    ///
    /// - `auto`: a hardware GPU, else a software Vulkan adapter, else the CPU executor;
    /// - `gpu`: the same, but never the CPU executor;
    /// - `cpu`: the CPU executor; `cpu-reference`: the same with plain kernels;
    /// - a number: index of an adapter in [`gpu::adapters`];
    /// - anything else: the first adapter whose name contains it, ignoring case.
    pub fn select(name: &str) -> Result<Self> {
        Self::select_with(name, Limits::Adapter)
    }

    /// Like [`select`](Self::select), with other limits. The CPU executor has none.
    pub fn select_with(name: &str, limits: Limits) -> Result<Self> {
        match name {
            "cpu" => return Ok(Self::cpu(REQUESTED)),
            "cpu-reference" => return Ok(Self::cpu_reference()),
            "" => {
                let problem = "the name is empty; give auto, gpu, cpu, a number or part of an adapter's name";
                return Err(Error::Device(problem.to_owned()));
            }
            _ => {}
        }
        let adapters = gpu::adapters();
        if name == "auto" && adapters.is_empty() {
            return Ok(Self::cpu("no GPU driver or software Vulkan found"));
        }
        if adapters.is_empty() {
            let problem = format!("{name:?} needs a GPU adapter, but none was found; {}", Self::INSTALL);
            return Err(Error::Device(problem));
        }
        let (index, reason) = choose(name, &adapters)?;
        let gpu = Gpu::open(index, limits)?;
        let verdicts = verdicts::load(gpu.adapter());
        let excluded = verdicts.map(|verdicts| verdicts.excluded()).unwrap_or_default();
        let mut target = Target { tuned: tuned_file::load(gpu.adapter()), excluded, ..gpu.target().clone() };
        if !target.allows(&kernel::PROBE_SUBGROUPS) {
            target.subgroup = 0;
        }
        Ok(Self { target, kind: Kind::Gpu(gpu), reason, ranks: None })
    }

    /// The index of the adapter that `auto` selects, and the reason; `None` for the CPU executor.
    pub fn auto(adapters: &[AdapterSummary]) -> Option<(usize, &'static str)> {
        let reason = match adapters.first()?.kind {
            "hardware" => "the first hardware GPU",
            _ => "no hardware GPU found",
        };
        Some((0, reason))
    }

    /// The CPU executor with fast kernels.
    fn cpu(reason: &'static str) -> Self {
        let target = Target::cpu(memory::limit());
        Self { kind: Kind::Cpu { reference: false }, target, reason, ranks: None }
    }

    /// The CPU executor with plain kernels: the reference of the tests.
    pub fn cpu_reference() -> Self {
        Self { kind: Kind::Cpu { reference: true }, ..Self::cpu(REQUESTED) }
    }

    /// The limits and preferences that plans for this device use.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The same device with another target for its plans.
    pub fn with_target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// The same device as that of one rank among several. Training on it averages gradients over all ranks
    /// ([`Trainer::new`](crate::train::Trainer::new)).
    pub fn with_ranks(self, ranks: Ranks) -> Self {
        Self { ranks: Some(ranks), ..self }
    }

    /// The ranks that train together, if this is the device of one of them.
    pub fn ranks(&self) -> Option<&Ranks> {
        self.ranks.as_ref()
    }

    /// The same device without preferences, and without the results of its self-test.
    pub(crate) fn as_opened(&self) -> Self {
        let target = self.gpu().map_or(&self.target, |gpu| gpu.target());
        self.clone().with_target(target.clone())
    }

    /// Whether kernels run as compute shaders.
    pub fn is_gpu(&self) -> bool {
        self.gpu().is_some()
    }

    fn gpu(&self) -> Option<&Gpu> {
        if let Kind::Gpu(gpu) = &self.kind { Some(gpu) } else { None }
    }

    /// The adapter; `None` for the CPU executor.
    pub fn adapter(&self) -> Option<&AdapterSummary> {
        self.gpu().map(Gpu::adapter)
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
        let driver = self.adapter().map(|a| format!(" ({}, {}, {} adapter)", a.backend, a.driver, a.kind));
        format!("{}{}, {}{tuned}", self.name(), driver.unwrap_or_default(), self.reason)
    }

    /// Number of buffers, bind groups and pipelines created on the GPU so far; 0 for the CPU executor.
    pub fn created(&self) -> usize {
        self.gpu().map_or(0, Gpu::created)
    }

    /// Bytes of GPU memory currently allocated: tensors, launch parameters and staging buffers. `None` for the CPU executor,
    /// and if the graphics API does not report it.
    pub fn allocated_bytes(&self) -> Option<u64> {
        self.gpu()?.allocated_bytes()
    }

    pub(crate) fn executor(&self, plans: &[Plan], layout: Layout) -> Result<Box<dyn Executor>> {
        Ok(match &self.kind {
            Kind::Gpu(gpu) => Box::new(GpuExecutor::new(gpu.clone(), plans, layout, self.ranks.clone())?),
            Kind::Cpu { reference } => {
                Box::new(CpuExecutor::new(plans, layout, *reference, self.ranks.clone())?)
            }
        })
    }
}

/// The reason for a device that was selected by its name or index.
const REQUESTED: &str = "as requested";

/// The adapter that a name selects, and the reason. Adapters are sorted, hardware first.
fn choose(name: &str, adapters: &[AdapterSummary]) -> Result<(usize, &'static str)> {
    if (name == "auto" || name == "gpu")
        && let Some(chosen) = Device::auto(adapters)
    {
        return Ok(chosen);
    }
    let names: Vec<String> = adapters.iter().enumerate().map(|(i, a)| format!("{i}: {}", a.name)).collect();
    let names = names.join("; ");
    if let Ok(index) = name.parse::<usize>() {
        let problem = || Error::Device(format!("there is no adapter {index}; choose one of {names}"));
        return adapters.get(index).map(|_| (index, REQUESTED)).ok_or_else(problem);
    }
    let wanted = name.to_lowercase();
    let found = adapters.iter().position(|a| a.name.to_lowercase().contains(&wanted));
    found.map(|index| (index, REQUESTED)).ok_or_else(|| {
        Error::Device(format!(
            "no adapter's name contains {name:?}; choose one of {names}, or give auto, gpu or cpu"
        ))
    })
}
