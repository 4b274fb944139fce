//! Executes plans on a GPU. Resources are created once; a step only records and submits commands.

mod exchange;
mod profile;
mod program;

use super::context::Gpu;
use super::staging::{SLOTS, Staging, read_back};
use super::timestamps::Timestamps;
use super::warm_up;
use crate::Result;
use crate::distributed::Ranks;
use crate::plan::{Layout, Plan, StorageId};
use crate::runtime::executor::{Answer, Executor};
use crate::runtime::timing::Profile;
use program::Program;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Maximum bytes of pending writes. wgpu keeps a copy of each write until it is done; without a limit it would hold all
/// weights twice.
const STAGED: u64 = 32 << 20;

/// Plans and their resources on a GPU.
pub(crate) struct GpuExecutor {
    persistent: HashMap<String, Region>,
    programs: Vec<Program>,
    staging: Vec<Staging>,
    /// Staging slot of the next step.
    next: usize,
    /// Outputs whose staging slots were reused.
    answers: VecDeque<Answer>,
    /// Bytes written since the last wait.
    pending_writes: u64,
    timestamps: Option<Timestamps>,
    ranks: Option<Ranks>,
    /// Origin of the host's times.
    zero: Instant,
    /// The last field: it may close the device, after everything else is dropped.
    gpu: Arc<Gpu>,
}

/// The location of a value.
#[derive(Clone)]
struct Region {
    buffer: wgpu::Buffer,
    /// In bytes.
    offset: u64,
}

impl GpuExecutor {
    pub fn new(gpu: Arc<Gpu>, plans: &[Plan], layout: Layout, ranks: Option<Ranks>) -> Result<Self> {
        warm_up::prepare(&gpu, plans)?;
        gpu.clone().connection.guarded("allocation", || Self::allocate(gpu, plans, layout, ranks))
    }

    fn allocate(gpu: Arc<Gpu>, plans: &[Plan], layout: Layout, ranks: Option<Ranks>) -> Self {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffers: Vec<wgpu::Buffer> =
            layout.buffers.iter().map(|(label, bytes)| gpu.buffer(label, *bytes, usage, false)).collect();
        let region = |(buffer, offset): (usize, u64)| Region { buffer: buffers[buffer].clone(), offset };
        let persistent = layout.persistent.into_iter().map(|(name, spot)| (name, region(spot))).collect();
        let programs = plans.iter().zip(&layout.storages).map(|(plan, spots)| {
            let storages = plan.storages.iter().zip(spots);
            let storages = storages.map(|(s, spot)| Some((region((*spot)?), s.bytes as usize / 4)));
            Program::new(&gpu, plan, storages.collect())
        });
        let programs = programs.collect();
        let most = |bytes: fn(&Plan) -> u64| plans.iter().map(bytes).max().unwrap_or(0);
        let up = most(|p| p.inputs.iter().map(|p| p.ty.bytes().next_multiple_of(8)).sum());
        let down = most(|p| p.outputs.iter().map(|p| p.ty.bytes()).sum());
        let staging = (0..SLOTS).map(|_| Staging::new(&gpu, up, down)).collect();
        let (answers, timestamps, zero) = (VecDeque::new(), None, Instant::now());
        Self {
            gpu,
            persistent,
            programs,
            staging,
            next: 0,
            answers,
            pending_writes: 0,
            timestamps,
            ranks,
            zero,
        }
    }

    fn region(&self, name: &str) -> &Region {
        self.persistent.get(name).expect("the session checked the name")
    }

    fn write_region(&mut self, Region { buffer, offset }: &Region, words: &[u32]) -> Result<()> {
        self.gpu.connection.write(buffer, *offset, bytemuck::cast_slice(words))?;
        self.pending_writes += 4 * words.len() as u64;
        if self.pending_writes > STAGED {
            self.pending_writes = 0;
            self.gpu.connection.submit([])?;
            self.gpu.connection.wait_idle()?;
        }
        self.gpu.connection.check()
    }

    /// Takes the outputs of a finished step from its staging slot.
    fn collect(&mut self, slot: usize) -> Result<Answer> {
        let (program, _) =
            self.staging[slot].step.clone().expect("only slots of submitted steps are collected");
        let sizes = self.programs[program].outputs.iter().map(|(output, _)| output.ty.len());
        let words = self.staging[slot].unload(sizes)?;
        Ok(Answer { program, words })
    }

    /// The slot of the oldest submitted step that was not collected.
    fn oldest(&self) -> Option<usize> {
        (0..SLOTS).map(|i| (self.next + i) % SLOTS).find(|i| self.staging[*i].step.is_some())
    }

    /// Copies the inputs into a free staging slot and records their upload.
    fn record_upload(&mut self, program: usize, inputs: &[&[u8]]) -> Result<wgpu::CommandBuffer> {
        if self.staging[self.next].step.is_some() {
            self.staging[self.next].is_done(&self.gpu, true)?;
            let answer = self.collect(self.next)?;
            self.answers.push_back(answer);
        }
        let slot = &mut self.staging[self.next];
        slot.load(&self.gpu, inputs)?;
        let mut encoder = self.gpu.connection.encoder("upload");
        let mut start = 0;
        for (bytes, Region { buffer, offset }) in inputs.iter().zip(&self.programs[program].inputs) {
            encoder.copy_buffer_to_buffer(&slot.up, start, buffer, *offset, bytes.len() as u64);
            start = (start + bytes.len() as u64).next_multiple_of(8);
        }
        Ok(encoder.finish())
    }

    fn record_readback(&self, program: usize) -> wgpu::CommandBuffer {
        let mut encoder = self.gpu.connection.encoder("readback");
        let mut start = 0;
        for (output, Region { buffer, offset }) in &self.programs[program].outputs {
            let down = &self.staging[self.next].down;
            encoder.copy_buffer_to_buffer(buffer, *offset, down, start, output.ty.bytes());
            start += output.ty.bytes();
        }
        encoder.finish()
    }

    /// Records the upload of the sums that submission `index` needs. Before the first one, starts all sums whose values are on
    /// their way, in order: while the device computes the values of one, the earlier ones are summed.
    fn finish_sums(&mut self, program: usize, index: usize) -> Result<Vec<wgpu::CommandBuffer>> {
        let exchanges = &mut self.programs[program].exchanges;
        let Some(ranks) = self.ranks.as_ref().filter(|_| exchanges.iter().any(|e| e.end == index)) else {
            return Ok(Vec::new());
        };
        exchanges.iter_mut().try_for_each(|exchange| exchange.start_sum(&self.gpu, ranks))?;
        let ended = exchanges.iter_mut().filter(|exchange| exchange.end == index);
        ended.filter_map(|exchange| exchange.record_write(&self.gpu).transpose()).collect()
    }

    /// Submits command buffers one by one, so that none keeps the device busy for long.
    fn submit_each(&self, commands: Vec<wgpu::CommandBuffer>) -> Result<()> {
        commands.into_iter().try_for_each(|one| self.gpu.connection.submit([one]).map(|_| ()))
    }

    fn submit_step(&mut self, program: usize, commands: Vec<wgpu::CommandBuffer>) -> Result<()> {
        let submission = self.gpu.connection.submit(commands)?;
        self.staging[self.next].submitted(program, submission);
        self.next = (self.next + 1) % SLOTS;
        self.gpu.connection.check()
    }
}

impl Executor for GpuExecutor {
    fn write(&mut self, name: &str, words: &[u32]) -> Result<()> {
        let region = self.region(name).clone();
        self.write_region(&region, words)
    }

    fn read(&mut self, name: &str, words: usize) -> Result<Vec<u32>> {
        let Region { buffer, offset } = self.region(name);
        read_back(&self.gpu, buffer, *offset, words)
    }

    fn submit(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()> {
        self.gpu.connection.check()?;
        let mut commands = vec![self.record_upload(program, inputs)?];
        for index in 0..self.programs[program].submissions.len() {
            commands.extend(self.finish_sums(program, index)?);
            let Program { submissions, exchanges, .. } = &self.programs[program];
            commands.push(self.programs[program].record(&self.gpu, &submissions[index]));
            let read = exchanges.iter().filter(|exchange| exchange.start == index + 1);
            commands.extend(read.map(|exchange| exchange.record_read(&self.gpu)));
            let submission = self.gpu.connection.submit(commands.drain(..))?;
            let exchanges = &mut self.programs[program].exchanges;
            for exchange in exchanges.iter_mut().filter(|exchange| exchange.start == index + 1) {
                exchange.submitted(program, submission.clone());
            }
        }
        commands.extend(self.finish_sums(program, self.programs[program].submissions.len())?);
        commands.push(self.record_readback(program));
        self.submit_step(program, commands)
    }

    fn answer(&mut self, wait: bool) -> Result<Option<Answer>> {
        if let Some(answer) = self.answers.pop_front() {
            return Ok(Some(answer));
        }
        let Some(slot) = self.oldest() else { return Ok(None) };
        match self.staging[slot].is_done(&self.gpu, wait)? {
            true => self.collect(slot).map(Some),
            false => Ok(None),
        }
    }

    fn profile(&mut self, program: usize, inputs: &[&[u8]], pieces: &[Range<usize>]) -> Result<Profile> {
        // A query set cannot be empty.
        match self.gpu.has_timestamps() && !pieces.is_empty() {
            true => self.profile_on_device(program, inputs, pieces),
            false => self.profile_on_host(program, inputs, pieces),
        }
    }

    fn load(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()> {
        let upload = self.record_upload(program, inputs)?;
        self.submit_step(program, vec![upload])?;
        self.answer(true).map(|_| ())
    }

    fn run_launch(&mut self, program: usize, launch: usize) -> Result<()> {
        let piece = launch..launch + 1;
        let commands = self.programs[program].record_pieces(&self.gpu, std::slice::from_ref(&piece), None);
        self.submit_each(commands)?;
        self.gpu.connection.wait_idle()
    }

    fn read_storage(&mut self, program: usize, storage: StorageId) -> Result<Vec<u32>> {
        let (Region { buffer, offset }, words) = self.programs[program].storage(storage);
        read_back(&self.gpu, buffer, *offset, *words)
    }

    fn write_storage(&mut self, program: usize, storage: StorageId, words: &[u32]) -> Result<()> {
        let (region, _) = self.programs[program].storage(storage).clone();
        self.write_region(&region, words)
    }
}
