//! Timing the pieces of a step. With timestamp queries each piece is a compute pass with a timestamp at its start and end;
//! without them, each piece is submitted separately and waited for.

use super::context::Gpu;
use super::executor::{GpuExecutor, encoder};
use super::staging::read_back;
use crate::runtime::executor::Executor;
use crate::runtime::timing::{HostClock, Profile};
use crate::{Error, Result};
use std::ops::Range;

/// Queries for all pieces of the longest plan, and the buffer for their results.
#[derive(Clone)]
pub(super) struct Timestamps {
    sets: Vec<wgpu::QuerySet>,
    results: wgpu::Buffer,
}

/// Queries per set, the maximum.
const SET: u32 = wgpu::QUERY_SET_MAX_QUERIES;

impl Timestamps {
    pub fn new(gpu: &Gpu, pieces: usize) -> Self {
        let count = 2 * pieces as u32;
        let set = |start: u32| {
            gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: SET.min(count - start),
            })
        };
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        Self {
            sets: (0..count).step_by(SET as usize).map(set).collect(),
            results: gpu.buffer("timestamps", 8 * u64::from(count), usage, false),
        }
    }

    /// The queries for the start and end of a piece's pass.
    fn writes(&self, piece: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let (set, at) = (2 * piece / SET as usize, 2 * piece as u32 % SET);
        wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[set],
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        }
    }

    /// Records copying the results to their buffer.
    fn resolve(&self, encoder: &mut wgpu::CommandEncoder, pieces: usize) {
        let count = 2 * pieces as u32;
        for (set, start) in self.sets.iter().zip((0..count).step_by(SET as usize)) {
            encoder.resolve_query_set(set, 0..SET.min(count - start), &self.results, 8 * u64::from(start));
        }
    }

    /// Start and end of each piece in seconds, relative to the start of the first, which is returned as well.
    fn read(&self, gpu: &Gpu, pieces: usize) -> Result<(Vec<[f64; 2]>, f64)> {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&read_back(gpu, &self.results, 0, 4 * pieces)?);
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let first = ticks[0];
        let seconds = |tick: u64| tick.wrapping_sub(first) as i64 as f64 * period;
        // Durations stay nonnegative even if a device's clock stops or goes back.
        let span = |t: &[u64]| [seconds(t[0]), seconds(t[1]).max(seconds(t[0]))];
        Ok((ticks.chunks(2).map(span).collect(), first as f64 * period))
    }
}

impl GpuExecutor {
    /// Runs a step and measures its pieces. Drops the outputs.
    pub(super) fn timed(
        &mut self,
        program: usize,
        inputs: &[&[u8]],
        pieces: &[Range<usize>],
    ) -> Result<Profile> {
        // A query set cannot be empty, so a plan without launches does without.
        match self.gpu.has_timestamps() && !pieces.is_empty() {
            true => self.by_timestamps(program, inputs, pieces),
            false => self.by_wall(program, inputs, pieces),
        }
    }

    fn by_timestamps(
        &mut self,
        program: usize,
        inputs: &[&[u8]],
        pieces: &[Range<usize>],
    ) -> Result<Profile> {
        let timestamps = self.timestamps();
        let mut host = HostClock::start(self.zero);
        let upload = self.record_upload(program, inputs)?;
        let mut encoder = encoder(&self.gpu, "timed step");
        for (i, piece) in pieces.iter().enumerate() {
            self.programs[program].pass(&mut encoder, "timed", piece.clone(), Some(timestamps.writes(i)));
        }
        timestamps.resolve(&mut encoder, pieces.len());
        let commands = vec![upload, encoder.finish(), self.record_readback(program)];
        host.done("record");
        self.submit_step(program, commands);
        host.done("submit");
        self.answer(true)?;
        host.done("wait");
        let (spans, start) = timestamps.read(&self.gpu, pieces.len())?;
        Ok(host.profile_on_device(spans, start))
    }

    fn by_wall(&mut self, program: usize, inputs: &[&[u8]], pieces: &[Range<usize>]) -> Result<Profile> {
        let mut host = HostClock::start(self.zero);
        let upload = self.record_upload(program, inputs)?;
        self.gpu.queue.submit([upload]);
        self.wait_idle()?;
        host.done("upload");
        let mut spans = Vec::new();
        for piece in pieces {
            let mut encoder = encoder(&self.gpu, "timed");
            self.programs[program].pass(&mut encoder, "timed", piece.clone(), None);
            let (commands, start) = (encoder.finish(), host.now());
            self.gpu.queue.submit([commands]);
            self.wait_idle()?;
            spans.push([start, host.now()]);
        }
        host.done("launches, one by one");
        let readback = self.record_readback(program);
        self.submit_step(program, vec![readback]);
        self.answer(true)?;
        host.done("read back");
        Ok(host.profile(spans))
    }

    /// Queries for every launch of the longest plan, created at first use.
    fn timestamps(&mut self) -> Timestamps {
        let launches = self.programs.iter().map(|p| p.launches.len()).max().unwrap_or(0);
        self.timestamps.get_or_insert_with(|| Timestamps::new(&self.gpu, launches)).clone()
    }

    pub(super) fn wait_idle(&self) -> Result<()> {
        self.gpu
            .device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|e| Error::Device(e.to_string()))?;
        self.gpu.check()
    }
}
