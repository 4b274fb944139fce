//! Pipelines. Those of a session are compiled before its buffers are created, on every core.

use super::context::{Gpu, lock};
use super::pipeline_cache::PipelineCache;
use super::warm_up;
use crate::Result;
use crate::kernel::Kernel;
use crate::plan::{Launch, Plan};
use rayon::prelude::*;
use std::sync::Arc;

/// A compute pipeline and its bind group layout.
pub(super) struct Pipeline {
    pub compute: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// Creates the missing pipelines of these plans.
    pub(super) fn prepare(&self, plans: &[Plan]) -> Result<()> {
        let missing = self.missing(plans);
        if warm_up::compiles_at_first_dispatch(&self.adapter) {
            warm_up::compile(self, &missing)?;
        }
        // Error scopes are per thread, so each pipeline has its own.
        let make = |launch: &&Launch| self.guarded(launch.kernel.name, || self.make_pipeline(launch.kernel));
        missing.par_iter().try_for_each(make)?;
        if let Some(cache) = self.cache.as_ref().filter(|_| !missing.is_empty()) {
            cache.save();
        }
        Ok(())
    }

    /// The first launch of each kernel without a pipeline. Kernels with subgroup operations come first: they take by far the
    /// longest to compile, and the last one would keep a single core busy.
    fn missing<'p>(&self, plans: &'p [Plan]) -> Vec<&'p Launch> {
        let made = lock(&self.pipelines);
        let mut missing: Vec<&Launch> = Vec::new();
        for launch in plans.iter().flat_map(|plan| &plan.launches) {
            if !made.contains_key(launch.kernel.name) && missing.iter().all(|m| m.kernel != launch.kernel) {
                missing.push(launch);
            }
        }
        missing.sort_by_key(|launch| !launch.kernel.uses_subgroups());
        missing
    }

    /// The pipeline of a kernel, from a prepared plan.
    pub(super) fn pipeline(&self, kernel: &Kernel) -> Arc<Pipeline> {
        lock(&self.pipelines).get(kernel.name).expect("`prepare` made the pipelines of every plan").clone()
    }

    /// Creates a kernel's pipeline unless it exists.
    pub(super) fn make_pipeline(&self, kernel: &'static Kernel) {
        if lock(&self.pipelines).contains_key(kernel.name) {
            return;
        }
        self.count();
        let pipeline = Pipeline::new(&self.device, kernel, self.target().subgroup, self.cache.as_ref());
        lock(&self.pipelines).insert(kernel.name, Arc::new(pipeline));
    }
}

impl Pipeline {
    /// A kernel's pipeline for a subgroup size.
    pub fn new(device: &wgpu::Device, kernel: &Kernel, subgroup: u32, cache: Option<&PipelineCache>) -> Self {
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(kernel.name),
            entries: &layout_entries(kernel),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let description = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.file),
            source: wgpu::ShaderSource::Wgsl(kernel.source(subgroup).into()),
        };
        // Loop bounding costs time (docs/measurements.md), and so do bounds checks on workgroup memory in the innermost loop
        // of a matrix product.
        let checks = wgpu::ShaderRuntimeChecks {
            force_loop_bounding: false,
            bounds_checks: !kernel.multiplies_tiles(),
            ..wgpu::ShaderRuntimeChecks::checked()
        };
        // SAFETY: every loop in the shaders terminates: it counts up by a positive step to a bound fixed before it starts,
        // or counts or halves down to a fixed value. Shape rules keep steps from users at 1 or above, and `op::narrow` keeps
        // steps and bounds below 2^31, so neither is truncated and no counter wraps past its bound. Shaders that multiply
        // panels compute indices into workgroup memory from the lane and the tile's constants alone, and `kernel::tests`
        // shows them to be in bounds for every row of the table. In storage, rows, columns and channels past the last are
        // clamped for reads and bounds-checked for writes; terms and pixels are bounds-checked for both.
        let module = unsafe { device.create_shader_module_trusted(description, checks) };
        let compute = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(kernel.entry),
            // Every kernel writes workgroup memory before it reads it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: cache.map(PipelineCache::get),
        });
        Self { compute, layout }
    }
}

/// As the kernel table says: binding 0 is the uniform, then the reads, then the writes.
fn layout_entries(kernel: &Kernel) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry = |binding: usize, ty| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let storage = |i: usize| wgpu::BufferBindingType::Storage { read_only: i < kernel.reads };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
    entries.extend((0..kernel.reads + kernel.writes).map(|i| entry(i + 1, storage(i))));
    entries
}
