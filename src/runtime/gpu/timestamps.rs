//! Timestamp queries for the pieces of a step.

use super::context::Gpu;
use super::staging::read_back;
use crate::Result;

/// Two queries for each piece of a step, and a buffer for their results.
#[derive(Clone)]
pub(super) struct Timestamps {
    sets: Vec<wgpu::QuerySet>,
    results: wgpu::Buffer,
}

/// Queries per set: the most that wgpu allows.
const SET: u32 = wgpu::QUERY_SET_MAX_QUERIES;

impl Timestamps {
    pub fn new(gpu: &Gpu, pieces: usize) -> Self {
        let count = 2 * pieces as u32;
        let set = |start: u32| {
            gpu.connection.device.create_query_set(&wgpu::QuerySetDescriptor {
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

    /// The queries for a pass of a piece: `ends` says whether the piece starts and ends with this pass.
    pub fn writes(&self, piece: usize, ends: [bool; 2]) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let (set, at) = (2 * piece / SET as usize, 2 * piece as u32 % SET);
        let [starts, ends] = ends;
        (starts || ends).then(|| wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[set],
            beginning_of_pass_write_index: starts.then_some(at),
            end_of_pass_write_index: ends.then_some(at + 1),
        })
    }

    /// Records the copy of all results to their buffer.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder, pieces: usize) {
        let count = 2 * pieces as u32;
        for (set, start) in self.sets.iter().zip((0..count).step_by(SET as usize)) {
            encoder.resolve_query_set(set, 0..SET.min(count - start), &self.results, 8 * u64::from(start));
        }
    }

    /// Start and end of each piece in seconds, relative to the start of the first, which is returned as well.
    pub fn read(&self, gpu: &Gpu, pieces: usize) -> Result<(Vec<[f64; 2]>, f64)> {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&read_back(gpu, &self.results, 0, 4 * pieces)?);
        let period = f64::from(gpu.connection.queue.get_timestamp_period()) * 1e-9;
        let first = ticks[0];
        let seconds = |tick: u64| tick.wrapping_sub(first) as i64 as f64 * period;
        // Durations stay nonnegative even if the device's clock stops or runs backwards.
        let span = |t: &[u64]| [seconds(t[0]), seconds(t[1]).max(seconds(t[0]))];
        Ok((ticks.chunks(2).map(span).collect(), first as f64 * period))
    }
}
