//! Compiles the pipelines of plans on every core, before a session's buffers are created.
//!
//! Mesa's lavapipe compiles a pipeline at its first dispatch. A dispatch of zero workgroups triggers that, but it needs
//! real parameters: lavapipe specializes the shader on them, and zeros would give a different one. It compiles on the
//! single thread of a device's queue, so the kernels are distributed over several devices; the session's device finds the
//! results in Mesa's disk cache.

use super::connection::Connection;
use super::context::Gpu;
use super::pipeline::Pipeline;
use crate::Result;
use crate::plan::{Launch, Plan};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Creates the missing pipelines of plans.
pub(super) fn prepare(gpu: &Gpu, plans: &[Plan]) -> Result<()> {
    let missing = missing(gpu, plans);
    if compiles_at_first_dispatch(&gpu.adapter) {
        dispatch_all(gpu, &missing)?;
    }
    // Error scopes are per thread, so each pipeline has its own.
    let make =
        |launch: &&Launch| gpu.connection.guarded(launch.kernel.name, || gpu.make_pipeline(launch.kernel));
    missing.par_iter().try_for_each(make)?;
    if let Some(cache) = gpu.cache.as_ref().filter(|_| !missing.is_empty()) {
        cache.save();
    }
    Ok(())
}

/// The first launch of each kernel without a pipeline. Kernels with subgroup operations come first: they take by far the
/// longest to compile, and starting one last would leave the other cores idle.
fn missing<'p>(gpu: &Gpu, plans: &'p [Plan]) -> Vec<&'p Launch> {
    let mut missing: Vec<&Launch> = Vec::new();
    for launch in plans.iter().flat_map(|plan| &plan.launches) {
        if !gpu.has_pipeline(launch.kernel) && missing.iter().all(|m| m.kernel != launch.kernel) {
            missing.push(launch);
        }
    }
    missing.sort_by_key(|launch| !launch.kernel.uses_subgroups());
    missing
}

/// Whether the adapter's driver compiles at the first dispatch.
fn compiles_at_first_dispatch(adapter: &wgpu::Adapter) -> bool {
    adapter.get_info().driver == "llvmpipe"
}

/// Makes the driver compile the kernels of these launches. The session's device compiles a share, which is useful even
/// without a disk cache.
fn dispatch_all(gpu: &Gpu, launches: &[&Launch]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let take = || launches.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..cores.min(launches.len()) {
            scope.spawn(|| {
                if let Err(error) = dispatch_on_another_device(gpu, take) {
                    log::debug!("warm-up uses fewer cores: {error}");
                }
            });
        }
        dispatch_here(gpu, take)
    })
}

fn dispatch_here<'l>(gpu: &Gpu, take: impl Fn() -> Option<&'l Launch>) -> Result<()> {
    let first = FirstDispatch::new(&gpu.connection);
    while let Some(launch) = take() {
        gpu.connection.guarded(launch.kernel.name, || {
            gpu.make_pipeline(launch.kernel);
            first.of(launch, &gpu.pipeline(launch.kernel))
        })??;
    }
    Ok(())
}

/// Like [`dispatch_here`], on a temporary device.
fn dispatch_on_another_device<'l>(gpu: &Gpu, take: impl Fn() -> Option<&'l Launch>) -> Result<()> {
    let connection = Connection::open(&gpu.adapter, gpu.target())?;
    let first = FirstDispatch::new(&connection);
    while let Some(launch) = take() {
        first.of(launch, &Pipeline::new(&connection.device, launch.kernel, gpu.target().subgroup, None))?;
    }
    Ok(())
}

/// Dispatches on a device that trigger compilation, with buffers that fit every kernel.
struct FirstDispatch<'a> {
    connection: &'a Connection,
    params: wgpu::Buffer,
    read: wgpu::Buffer,
    write: wgpu::Buffer,
}

/// Larger than any parameter struct.
const BYTES: u64 = 1024;

impl<'a> FirstDispatch<'a> {
    fn new(connection: &'a Connection) -> Self {
        let buffer = |usage| {
            connection.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("first dispatch"),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        let [params, storage] =
            [wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST, wgpu::BufferUsages::STORAGE];
        Self { connection, params: buffer(params), read: buffer(storage), write: buffer(storage) }
    }

    /// Dispatches zero workgroups and waits.
    fn of(&self, launch: &Launch, pipeline: &Pipeline) -> Result<()> {
        let kernel = launch.kernel;
        self.connection.write(&self.params, 0, bytemuck::cast_slice(&launch.uniform(0)))?;
        let reads = std::iter::repeat_n(&self.read, kernel.reads);
        let writes = std::iter::repeat_n(&self.write, kernel.writes);
        let buffers = std::iter::once(&self.params).chain(reads).chain(writes);
        let buffers = buffers.map(wgpu::Buffer::as_entire_buffer_binding);
        let bindings = pipeline.bind(&self.connection.device, kernel.name, buffers);
        let mut encoder = self.connection.encoder("first dispatch");
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.compute);
        pass.set_bind_group(0, &bindings, &[]);
        pass.dispatch_workgroups(0, 0, 0);
        drop(pass);
        self.connection.submit([encoder.finish()])?;
        self.connection.wait_idle()
    }
}
