//! A plan with its buffers bound.

use super::Region;
use super::exchange::BoundExchange;
use crate::plan::{Dispatch, NamedValue, Plan, StorageId, Submission};
use crate::runtime::gpu::context::Gpu;
use crate::runtime::gpu::pipeline::Pipeline;
use crate::runtime::gpu::timestamps::Timestamps;
use std::ops::Range;
use std::sync::Arc;

pub(super) struct Program {
    pub inputs: Vec<Region>,
    pub outputs: Vec<(NamedValue, Region)>,
    /// By storage, with sizes in words; `None` for those that no launch binds.
    storages: Vec<Option<(Region, usize)>>,
    dispatches: Vec<BoundDispatch>,
    pub submissions: Vec<BoundSubmission>,
    pub exchanges: Vec<BoundExchange>,
    /// The first dispatch of each launch, then the number of dispatches.
    starts: Vec<usize>,
}

struct BoundDispatch {
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// The dispatches of a submission, and of each of its groups with its label.
pub(super) struct BoundSubmission {
    dispatches: Range<usize>,
    groups: Vec<(String, Range<usize>)>,
}

impl BoundSubmission {
    fn new(plan: &Plan, submission: &Submission) -> Self {
        let groups = plan.groups.iter().map(|group| {
            let dispatches = plan.dispatches_of(&group.launches);
            (group.label(), intersection(&dispatches, &submission.dispatches))
        });
        let groups = groups.filter(|(_, dispatches)| !dispatches.is_empty()).collect();
        Self { dispatches: submission.dispatches.clone(), groups }
    }
}

impl Program {
    pub fn new(gpu: &Gpu, plan: &Plan, storages: Vec<Option<(Region, usize)>>) -> Self {
        let region = |storage: StorageId| bound(&storages, storage).0.clone();
        let dispatches = bind(gpu, plan, &region);
        let inputs = plan.inputs.iter().map(|p| region(p.storage)).collect();
        let outputs = plan.outputs.iter().map(|p| (p.clone(), region(p.storage))).collect();
        let submissions = plan.submissions.iter().map(|s| BoundSubmission::new(plan, s)).collect();
        let starts = (0..=plan.launches.len()).map(|i| plan.dispatches_of(&(0..i)).end).collect();
        let exchanges = Vec::new();
        let mut program = Self { inputs, outputs, storages, dispatches, submissions, exchanges, starts };
        let bound = plan.exchanges.iter().map(|e| BoundExchange::new(gpu, plan, &program, e));
        program.exchanges = bound.collect();
        program
    }

    pub fn storage(&self, storage: StorageId) -> &(Region, usize) {
        bound(&self.storages, storage)
    }

    pub fn launches(&self) -> usize {
        self.starts.len() - 1
    }

    /// Records a submission as one command buffer of one compute pass.
    pub fn record(&self, gpu: &Gpu, submission: &BoundSubmission) -> wgpu::CommandBuffer {
        let mut encoder = gpu.connection.encoder("groups");
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (label, dispatches) in &submission.groups {
            pass.push_debug_group(label);
            self.dispatch(&mut pass, dispatches.clone());
            pass.pop_debug_group();
        }
        drop(pass);
        encoder.finish()
    }

    /// Records pieces of a step, which are ranges of its launches, as one command buffer per submission. Each piece has its own
    /// compute passes, one per submission, and timestamps at the start of the first and at the end of the last one.
    pub fn record_pieces(
        &self,
        gpu: &Gpu,
        pieces: &[Range<usize>],
        timestamps: Option<&Timestamps>,
    ) -> Vec<wgpu::CommandBuffer> {
        let dispatches = |launches: &Range<usize>| self.starts[launches.start]..self.starts[launches.end];
        let pieces: Vec<Range<usize>> = pieces.iter().map(dispatches).collect();
        let mut commands = Vec::new();
        for submission in &self.submissions {
            let parts = pieces.iter().map(|piece| intersection(piece, &submission.dispatches));
            let mut parts = parts.enumerate().filter(|(_, part)| !part.is_empty()).peekable();
            if parts.peek().is_none() {
                continue;
            }
            let mut encoder = gpu.connection.encoder("pieces");
            for (i, part) in parts {
                let ends = [part.start == pieces[i].start, part.end == pieces[i].end];
                let timestamp_writes = timestamps.and_then(|timestamps| timestamps.writes(i, ends));
                let description = wgpu::ComputePassDescriptor { label: Some("piece"), timestamp_writes };
                self.dispatch(&mut encoder.begin_compute_pass(&description), part);
            }
            commands.push(encoder.finish());
        }
        commands
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, dispatches: Range<usize>) {
        for dispatch in &self.dispatches[dispatches] {
            pass.set_pipeline(&dispatch.pipeline.compute);
            pass.set_bind_group(0, &dispatch.bindings, &[]);
            let [x, y, z] = dispatch.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

fn intersection(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

fn bound(storages: &[Option<(Region, usize)>], storage: StorageId) -> &(Region, usize) {
    storages[storage.index()].as_ref().expect("a plan's bound storages have buffers")
}

/// Creates the bind group of every dispatch. All parameters share one uniform buffer.
fn bind(gpu: &Gpu, plan: &Plan, region: &dyn Fn(StorageId) -> Region) -> Vec<BoundDispatch> {
    let uniform_of = |d: &Dispatch| plan.launches[d.launch].uniform(d.first_workgroup);
    let uniforms: Vec<Vec<u32>> = plan.dispatches.iter().map(uniform_of).collect();
    let step = gpu.connection.device.limits().min_uniform_buffer_offset_alignment as usize;
    let largest = uniforms.iter().map(|words| 4 * words.len()).max().unwrap_or(0);
    let step = largest.next_multiple_of(step);
    let mut bytes = vec![0u8; step * uniforms.len()];
    for (at, words) in bytes.chunks_mut(step.max(1)).zip(&uniforms) {
        at[..4 * words.len()].copy_from_slice(bytemuck::cast_slice(words));
    }
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("parameters", bytes.len() as u64, usage, false);
    gpu.connection.queue.write_buffer(&buffer, 0, &bytes);
    let bind_dispatch = |(i, dispatch): (usize, &Dispatch)| {
        let launch = &plan.launches[dispatch.launch];
        let params = Region { buffer: buffer.clone(), offset: (step * i) as u64 };
        let mut bound = vec![(params, 4 * uniforms[i].len() as u64)];
        bound.extend(launch.storages().map(|s| (region(s), plan.storages[s.index()].span())));
        let buffers = bound.iter().map(|(Region { buffer, offset }, bytes)| wgpu::BufferBinding {
            buffer,
            offset: *offset,
            size: wgpu::BufferSize::new(*bytes),
        });
        BoundDispatch {
            pipeline: gpu.pipeline(launch.kernel),
            bindings: gpu.bind_group(launch.kernel, buffers),
            workgroups: dispatch.workgroups,
        }
    };
    plan.dispatches.iter().enumerate().map(bind_dispatch).collect()
}
