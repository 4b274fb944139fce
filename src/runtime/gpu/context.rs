//! Adapters and opened devices.

use super::connection::{Connection, lock};
use super::pipeline::Pipeline;
use super::pipeline_cache::PipelineCache;
use crate::kernel::Kernel;
use crate::plan::{Family, Target};
use crate::runtime::cache;
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

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

impl AdapterSummary {
    /// The file of this kind in the cache folder, for the adapter and its driver; `None` without a cache folder.
    pub(crate) fn cache_file(&self, kind: &str) -> Option<PathBuf> {
        let name = cache::file_name(&[kind, &self.name, &self.backend, &self.driver], "json");
        cache::folder().map(|folder| folder.join(name))
    }
}

/// The limits to open a GPU device with. The device enforces them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// Those of the adapter.
    #[default]
    Adapter,
    /// WebGPU's default limits, which every browser offers, or the adapter's where they are lower.
    WebGpu,
}

/// An opened GPU device. It creates all buffers, bind groups and pipelines, and counts them.
pub struct Gpu {
    pub(super) adapter: wgpu::Adapter,
    summary: AdapterSummary,
    target: Target,
    pub(super) cache: Option<PipelineCache>,
    /// Keyed by the kernel's name.
    pipelines: Mutex<HashMap<&'static str, Arc<Pipeline>>>,
    created: AtomicUsize,
    /// The last field: it is closed after everything that was created on it is dropped.
    pub(super) connection: Connection,
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

impl Gpu {
    /// Opens the adapter with this index in [`adapters`].
    pub fn open(index: usize, limits: Limits) -> Result<Arc<Self>> {
        let mut adapters = enumerate();
        if index >= adapters.len() {
            return Err(Error::Device(format!("there is no adapter {index}; `striate devices` lists them")));
        }
        let adapter = adapters.swap_remove(index);
        let target = match (target(&adapter), limits) {
            (target, Limits::Adapter) => target,
            (target, Limits::WebGpu) => {
                let baseline = Target::baseline(target.family);
                target.within(&baseline)
            }
        };
        let connection = Connection::open(&adapter, &target)?;
        Ok(Arc::new(Self {
            target,
            summary: summary(&adapter),
            cache: PipelineCache::open(&adapter, &connection.device),
            adapter,
            pipelines: Mutex::default(),
            created: AtomicUsize::new(0),
            connection,
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
        self.connection.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    pub(super) fn has_timestamps(&self) -> bool {
        self.connection.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    fn count(&self) {
        self.created.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> wgpu::Buffer {
        self.count();
        self.connection.device.create_buffer(&wgpu::BufferDescriptor {
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
        self.pipeline(kernel).bind(&self.connection.device, kernel.name, buffers)
    }

    pub(super) fn has_pipeline(&self, kernel: &Kernel) -> bool {
        lock(&self.pipelines).contains_key(kernel.name)
    }

    /// Creates a kernel's pipeline unless it exists.
    pub(super) fn make_pipeline(&self, kernel: &'static Kernel) {
        if !self.has_pipeline(kernel) {
            self.count();
            let pipeline =
                Pipeline::new(&self.connection.device, kernel, self.target.subgroup, self.cache.as_ref());
            lock(&self.pipelines).insert(kernel.name, Arc::new(pipeline));
        }
    }

    /// The pipeline of a kernel, which must exist.
    pub(super) fn pipeline(&self, kernel: &Kernel) -> Arc<Pipeline> {
        lock(&self.pipelines).get(kernel.name).expect("`prepare` made the pipelines of every plan").clone()
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
