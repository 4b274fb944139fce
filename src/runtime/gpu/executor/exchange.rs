//! Sums over ranks, through staging buffers of their own.

use super::Region;
use super::program::Program;
use crate::Result;
use crate::distributed::{PendingSum, Ranks};
use crate::plan::{Exchange, Plan};
use crate::runtime::gpu::context::Gpu;
use crate::runtime::gpu::staging::Staging;

/// An exchange with its buffers.
pub(super) struct BoundExchange {
    /// What is summed, with sizes in words.
    parts: Vec<(Region, usize)>,
    staging: Staging,
    /// Number of submissions before the values are read.
    pub start: usize,
    /// Number of submissions before the sums are written.
    pub end: usize,
    sum: Option<PendingSum>,
}

impl BoundExchange {
    pub fn new(gpu: &Gpu, plan: &Plan, program: &Program, exchange: &Exchange) -> Self {
        let parts: Vec<_> =
            exchange.storages.iter().map(|storage| program.storage(*storage).clone()).collect();
        let bytes = 4 * parts.iter().map(|(_, words)| *words as u64).sum::<u64>();
        let submissions_before = |launch: usize| {
            let dispatch = plan.dispatches_of(&(0..launch)).end;
            plan.submissions.partition_point(|submission| submission.dispatches.start < dispatch)
        };
        let [start, end] = [exchange.start, exchange.end].map(submissions_before);
        Self { parts, staging: Staging::new(gpu, bytes.next_multiple_of(8), bytes), start, end, sum: None }
    }

    /// Records the copy of the values to the staging buffer.
    pub fn record_read(&self, gpu: &Gpu) -> wgpu::CommandBuffer {
        let mut encoder = gpu.connection.encoder("read for a sum over ranks");
        let mut at = 0;
        for (Region { buffer, offset }, words) in &self.parts {
            let bytes = 4 * *words as u64;
            encoder.copy_buffer_to_buffer(buffer, *offset, &self.staging.down, at, bytes);
            at += bytes;
        }
        encoder.finish()
    }

    /// To be called with the submission of [`record_read`](Self::record_read).
    pub fn submitted(&mut self, program: usize, submission: wgpu::SubmissionIndex) {
        self.staging.submitted(program, submission);
    }

    /// Waits for the values, if they have been submitted, and starts to sum them.
    pub fn start_sum(&mut self, gpu: &Gpu, ranks: &Ranks) -> Result<()> {
        if self.staging.step.is_none() {
            return Ok(());
        }
        self.staging.is_done(gpu, true)?;
        let words = self.parts.iter().map(|(_, words)| *words).sum();
        let values = self.staging.unload([words].into_iter())?.concat();
        self.sum = Some(ranks.start_sum(bytemuck::cast_vec(values)));
        Ok(())
    }

    /// Waits for the sums, and records their upload.
    pub fn record_write(&mut self, gpu: &Gpu) -> Result<Option<wgpu::CommandBuffer>> {
        let Some(sum) = self.sum.take() else { return Ok(None) };
        let mut values = sum.wait()?;
        // A staging buffer is written in whole steps of eight bytes.
        values.resize(values.len().next_multiple_of(2), 0.0);
        self.staging.load(gpu, &[bytemuck::cast_slice(&values)])?;
        let mut encoder = gpu.connection.encoder("write sums over ranks");
        let mut at = 0;
        for (Region { buffer, offset }, words) in &self.parts {
            let bytes = 4 * *words as u64;
            encoder.copy_buffer_to_buffer(&self.staging.up, at, buffer, *offset, bytes);
            at += bytes;
        }
        Ok(Some(encoder.finish()))
    }
}
