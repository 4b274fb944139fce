//! Adapters and opened devices.

use super::pipeline::Pipeline;
use super::pipeline_cache::PipelineCache;
use crate::kernel::Kernel;
use crate::plan::{Family, Target};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An adapter as `striate devices` lists it.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Its name, for example `NVIDIA GeForce RTX 3060`.
    pub name: String,
    /// `Vulkan`, `Metal` or `Dx12`.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// `hardware` or `software`.
    pub kind: &'static str,
    /// Smallest and largest subgroup size.
    pub subgroup: [u32; 2],
    /// Limits relevant to this crate, by name.
    pub limits: Vec<(&'static str, u64)>,
    /// Supported optional features relevant to this crate.
    pub features: Vec<&'static str>,
}

/// An opened GPU device. It creates all buffers, bind groups and pipelines, and counts them.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) adapter: wgpu::Adapter,
    summary: AdapterSummary,
    target: Target,
    pub(super) cache: Option<PipelineCache>,
    /// Keyed by the kernel's name.
    pipelines: Mutex<HashMap<&'static str, Arc<Pipeline>>>,
    created: AtomicUsize,
    failure: Arc<Mutex<Option<Failure>>>,
}

/// An error that the device reported.
#[derive(Clone, Debug)]
enum Failure {
    Lost(String),
    OutOfMemory,
    Error(String),
}

impl Failure {
    fn of(error: wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { .. } => Failure::OutOfMemory,
            error => Failure::Error(error.to_string()),
        }
    }

    /// The error to report from two scopes. Out of memory comes first: a buffer that could not be allocated is invalid, so
    /// every use of it is a validation error as well.
    fn of_scopes(memory: Option<wgpu::Error>, validation: Option<wgpu::Error>) -> Option<Self> {
        memory.or(validation).map(Self::of)
    }

    /// The error to return; `what` names the operation that failed, if known.
    fn error(&self, what: &str) -> Error {
        let at = if what.is_empty() { String::new() } else { format!("{what}: ") };
        match self {
            Failure::Lost(message) => Error::DeviceLost(message.clone()),
            Failure::OutOfMemory => Error::TooLarge(format!(
                "{at}the device has no memory left; use a smaller batch, smaller images or a smaller model"
            )),
            Failure::Error(message) => Error::Device(format!("{at}{message}")),
        }
    }
}

fn instance() -> wgpu::Instance {
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12,
        ..wgpu::InstanceDescriptor::new_without_display_handle_from_env()
    };
    wgpu::Instance::new(descriptor)
}

/// The adapters that can run compute shaders, hardware first.
fn enumerate() -> Vec<wgpu::Adapter> {
    let mut adapters = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::all()));
    adapters.retain(|a| a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    adapters.sort_by_key(|a| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

fn summary(adapter: &wgpu::Adapter) -> AdapterSummary {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let named = [
        ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
        ("subgroups", wgpu::Features::SUBGROUP),
        ("f16", wgpu::Features::SHADER_F16),
        ("pipeline cache", wgpu::Features::PIPELINE_CACHE),
        ("cooperative matrix", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ];
    AdapterSummary {
        name: info.name,
        backend: format!("{:?}", info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        kind: if info.device_type == wgpu::DeviceType::Cpu { "software" } else { "hardware" },
        subgroup: [info.subgroup_min_size, info.subgroup_max_size],
        limits: vec![
            ("buffer bytes", limits.max_buffer_size),
            ("storage binding bytes", limits.max_storage_buffer_binding_size),
            ("storage buffers a stage", limits.max_storage_buffers_per_shader_stage as u64),
            ("workgroups a dimension", limits.max_compute_workgroups_per_dimension as u64),
            ("invocations a workgroup", limits.max_compute_invocations_per_workgroup as u64),
            ("workgroup memory bytes", limits.max_compute_workgroup_storage_size as u64),
        ],
        features: named.into_iter().filter(|(_, f)| features.contains(*f)).map(|(name, _)| name).collect(),
    }
}

/// Describes every adapter that can run compute shaders, hardware first.
pub fn adapters() -> Vec<AdapterSummary> {
    enumerate().iter().map(summary).collect()
}

/// Opens a device with the features and limits that striate uses.
pub(super) fn request_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue)> {
    let used = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE;
    let description = wgpu::DeviceDescriptor {
        label: Some("striate"),
        required_features: adapter.features() & used,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&description))
        .map_err(|e| Error::Device(format!("{} could not be opened: {e}", adapter.get_info().name)))
}

impl Gpu {
    /// Opens the adapter with this index in [`adapters`].
    pub fn open(index: usize) -> Result<Arc<Self>> {
        let mut adapters = enumerate();
        if index >= adapters.len() {
            return Err(Error::Device(format!("there is no adapter {index}; `striate devices` lists them")));
        }
        let adapter = adapters.swap_remove(index);
        let (device, queue) = request_device(&adapter)?;
        let failure = Arc::new(Mutex::new(None));
        let lost = failure.clone();
        device.set_device_lost_callback(move |_, message| *lock(&lost) = Some(Failure::Lost(message)));
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("{error}");
            lock(&uncaptured).get_or_insert_with(|| Failure::of(error));
        }));
        Ok(Arc::new(Self {
            target: target(&adapter),
            summary: summary(&adapter),
            cache: PipelineCache::open(&adapter, &device),
            adapter,
            device,
            queue,
            pipelines: Mutex::default(),
            created: AtomicUsize::new(0),
            failure,
        }))
    }

    /// Name, driver and limits.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.summary
    }

    /// The target to plan for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Number of buffers, bind groups and pipelines created so far.
    pub fn created(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }

    /// Bytes of device memory currently allocated, staging included; `None` if the graphics API does not report it.
    pub fn allocated_bytes(&self) -> Option<u64> {
        self.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    /// Fails if the device was lost or reported an error since it was opened.
    pub(super) fn check(&self) -> Result<()> {
        lock(&self.failure).as_ref().map_or(Ok(()), |failure| Err(failure.error("")))
    }

    pub(super) fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    fn count(&self) {
        self.created.fetch_add(1, Ordering::Relaxed);
    }

    /// Polls the device, and fails if it reported an error.
    pub(super) fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        self.device.poll(poll).map_err(|e| Error::Device(e.to_string()))?;
        self.check()
    }

    /// Waits for all submitted work.
    pub(super) fn wait_idle(&self) -> Result<()> {
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    pub(super) fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }

    pub(super) fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> wgpu::Buffer {
        self.count();
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            // Kernels may read whole vec4s (`Storage::span`), and a buffer must not be empty.
            size: bytes.next_multiple_of(16).max(16),
            usage,
            mapped_at_creation: mapped,
        })
    }

    /// Creates a bind group for a kernel's pipeline.
    pub(super) fn bind_group<'b>(
        &self,
        kernel: &Kernel,
        buffers: impl IntoIterator<Item = wgpu::BufferBinding<'b>>,
    ) -> wgpu::BindGroup {
        self.count();
        self.pipeline(kernel).bind(&self.device, kernel.name, buffers)
    }

    pub(super) fn has_pipeline(&self, kernel: &Kernel) -> bool {
        lock(&self.pipelines).contains_key(kernel.name)
    }

    /// Creates a kernel's pipeline unless it exists.
    pub(super) fn make_pipeline(&self, kernel: &'static Kernel) {
        if !self.has_pipeline(kernel) {
            self.count();
            let pipeline = Pipeline::new(&self.device, kernel, self.target.subgroup, self.cache.as_ref());
            lock(&self.pipelines).insert(kernel.name, Arc::new(pipeline));
        }
    }

    /// The pipeline of a kernel, which must exist.
    pub(super) fn pipeline(&self, kernel: &Kernel) -> Arc<Pipeline> {
        lock(&self.pipelines).get(kernel.name).expect("`prepare` made the pipelines of every plan").clone()
    }

    /// Runs `build`. Fails if the device reports an error in the meantime; `what` names the operation.
    pub(super) fn guarded<R>(&self, what: &str, build: impl FnOnce() -> R) -> Result<R> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = build();
        // The inner scope ends before the outer one.
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        if let Some(failure) = Failure::of_scopes(memory, validation) {
            return Err(failure.error(what));
        }
        self.check()?;
        Ok(result)
    }
}

fn target(adapter: &wgpu::Adapter) -> Target {
    let limits = adapter.limits();
    let info = adapter.get_info();
    let software = info.device_type == wgpu::DeviceType::Cpu;
    let family = if software { Family::Software } else { Family::Gpu };
    Target {
        vendor: info.vendor,
        max_binding: limits.max_storage_buffer_binding_size,
        max_buffer: limits.max_buffer_size,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        // wgpu does not report a GPU's memory; a software adapter uses the machine's.
        memory: if software { crate::runtime::memory::limit() } else { None },
        subgroup: subgroup(adapter),
        ..Target::baseline(family)
    }
}

/// The subgroup size; 0 if it varies, since kernels are compiled for a fixed one.
fn subgroup(adapter: &wgpu::Adapter) -> u32 {
    let info = adapter.get_info();
    let [min, max] = [info.subgroup_min_size, info.subgroup_max_size];
    let usable = adapter.features().contains(wgpu::Features::SUBGROUP)
        && min == max
        && (4..=64).contains(&min)
        && min.is_power_of_two();
    if usable { min } else { 0 }
}

/// Locks a mutex. Poisoning is ignored, because no panic can leave the contents inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_takes_precedence_over_validation_errors() {
        let memory = || wgpu::Error::OutOfMemory { source: "allocation failed".into() };
        let invalid = || wgpu::Error::Validation {
            source: "invalid".into(),
            description: "Buffer with 'fc.weight' label is invalid".into(),
        };
        let error =
            |memory, validation| Failure::of_scopes(memory, validation).map(|f| f.error("allocation"));
        for validation in [None, Some(invalid())] {
            let error = error(Some(memory()), validation);
            assert!(
                matches!(&error, Some(Error::TooLarge(text)) if text.contains("no memory left")),
                "{error:?}"
            );
        }
        let invalid = error(None, Some(invalid()));
        assert!(matches!(&invalid, Some(Error::Device(text)) if text.contains("fc.weight")), "{invalid:?}");
        assert!(error(None, None).is_none());
    }
}
