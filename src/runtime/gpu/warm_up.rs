//! Warm-up compilation on several cores, for Mesa's lavapipe, which compiles a pipeline at its first dispatch.
//!
//! A dispatch of zero workgroups triggers compilation, but it needs real parameters: lavapipe specializes the shader on
//! them, and zeros would give a different one. It compiles on the single thread of a device's queue, so the kernels are
//! distributed over several devices; the session's device finds the results in Mesa's disk cache.

use super::context::{Gpu, request_device};
use super::pipelines::Pipeline;
use crate::plan::Launch;
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether the adapter's driver compiles at the first dispatch.
pub(super) fn compiles_at_first_dispatch(adapter: &wgpu::Adapter) -> bool {
    adapter.get_info().driver == "llvmpipe"
}

/// Makes the driver compile the kernels of these launches. The session's device takes part, so that its own work counts even
/// without a disk cache.
pub(super) fn compile(gpu: &Gpu, launches: &[&Launch]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let take = || launches.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..cores.min(launches.len()) {
            scope.spawn(|| {
                if let Err(error) = compile_elsewhere(gpu, take) {
                    log::debug!("warm-up uses fewer cores: {error}");
                }
            });
        }
        compile_here(gpu, take)
    })
}

fn compile_here<'l>(gpu: &Gpu, take: impl Fn() -> Option<&'l Launch>) -> Result<()> {
    let first = FirstDispatch::new(&gpu.device, &gpu.queue);
    while let Some(launch) = take() {
        gpu.guarded(launch.kernel.name, || {
            gpu.make_pipeline(launch.kernel);
            first.of(launch, &gpu.pipeline(launch.kernel))
        })??;
    }
    Ok(())
}

/// The same on a temporary device.
fn compile_elsewhere<'l>(gpu: &Gpu, take: impl Fn() -> Option<&'l Launch>) -> Result<()> {
    let (device, queue) = request_device(&gpu.adapter)?;
    // The session's device reports the same error.
    device.on_uncaptured_error(Arc::new(|error| log::debug!("during warm-up: {error}")));
    let first = FirstDispatch::new(&device, &queue);
    while let Some(launch) = take() {
        first.of(launch, &Pipeline::new(&device, launch.kernel, gpu.target().subgroup, None))?;
    }
    Ok(())
}

/// First dispatches on a device, with buffers that fit every kernel.
struct FirstDispatch<'a> {
    device: &'a wgpu::Device,
    queue: &'a wgpu::Queue,
    params: wgpu::Buffer,
    read: wgpu::Buffer,
    write: wgpu::Buffer,
}

/// Larger than any parameter struct.
const BYTES: u64 = 1024;

impl<'a> FirstDispatch<'a> {
    fn new(device: &'a wgpu::Device, queue: &'a wgpu::Queue) -> Self {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("first dispatch"),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        let [params, storage] =
            [wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST, wgpu::BufferUsages::STORAGE];
        Self { device, queue, params: buffer(params), read: buffer(storage), write: buffer(storage) }
    }

    /// Dispatches zero workgroups and waits.
    fn of(&self, launch: &Launch, pipeline: &Pipeline) -> Result<()> {
        let kernel = launch.kernel;
        self.queue.write_buffer(&self.params, 0, bytemuck::cast_slice(&launch.params));
        let reads = std::iter::repeat_n(&self.read, kernel.reads);
        let writes = std::iter::repeat_n(&self.write, kernel.writes);
        let entries: Vec<wgpu::BindGroupEntry> = std::iter::once(&self.params)
            .chain(reads)
            .chain(writes)
            .enumerate()
            .map(|(i, buffer)| wgpu::BindGroupEntry {
                binding: i as u32,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.name),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.compute);
        pass.set_bind_group(0, &bindings, &[]);
        pass.dispatch_workgroups(0, 0, 0);
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map(drop)
            .map_err(|e| Error::Device(e.to_string()))
    }
}
