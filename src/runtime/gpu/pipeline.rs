//! The compute pipeline of a kernel.

use super::pipeline_cache::PipelineCache;
use crate::kernel::Kernel;

/// A compute pipeline and its bind group layout.
pub(super) struct Pipeline {
    pub compute: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Compiles a kernel for a subgroup size.
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
        // shows them to be in bounds for every row of the table. In storage, what is past the last row, column, channel, tap,
        // term or pixel is read from an address inside the operand, and never written.
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

    /// Binds buffers in the order of [`layout_entries`].
    pub fn bind<'b>(
        &self,
        device: &wgpu::Device,
        label: &str,
        buffers: impl IntoIterator<Item = wgpu::BufferBinding<'b>>,
    ) -> wgpu::BindGroup {
        let resources = buffers.into_iter().map(wgpu::BindingResource::Buffer);
        let entry = |(binding, resource)| wgpu::BindGroupEntry { binding, resource };
        let entries: Vec<wgpu::BindGroupEntry> = (0..).zip(resources).map(entry).collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &self.layout,
            entries: &entries,
        })
    }
}

/// Bindings in the order of the kernel table: the uniform buffer, the reads, the writes.
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
