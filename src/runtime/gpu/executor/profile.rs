//! Measures the pieces of a step. With timestamp queries each piece is a compute pass with a timestamp at its start and end;
//! without them, each piece is submitted and waited for separately.

use super::GpuExecutor;
use crate::Result;
use crate::runtime::executor::Executor;
use crate::runtime::gpu::timestamps::Timestamps;
use crate::runtime::timing::{HostClock, Profile};
use std::ops::Range;

impl GpuExecutor {
    pub(super) fn profile_on_device(
        &mut self,
        program: usize,
        inputs: &[&[u8]],
        pieces: &[Range<usize>],
    ) -> Result<Profile> {
        let timestamps = self.timestamps();
        let mut host = HostClock::start(self.zero);
        let mut commands = vec![self.record_upload(program, inputs)?];
        commands.extend(self.programs[program].record_pieces(&self.gpu, pieces, Some(&timestamps)));
        let mut encoder = self.gpu.connection.encoder("timestamps");
        timestamps.resolve(&mut encoder, pieces.len());
        let last = vec![encoder.finish(), self.record_readback(program)];
        host.done("record");
        self.submit_each(commands)?;
        self.submit_step(program, last)?;
        host.done("submit");
        self.answer(true)?;
        host.done("wait");
        let (spans, start) = timestamps.read(&self.gpu, pieces.len())?;
        Ok(host.profile_on_device(spans, start))
    }

    pub(super) fn profile_on_host(
        &mut self,
        program: usize,
        inputs: &[&[u8]],
        pieces: &[Range<usize>],
    ) -> Result<Profile> {
        let mut host = HostClock::start(self.zero);
        let upload = self.record_upload(program, inputs)?;
        self.gpu.connection.submit([upload])?;
        self.gpu.connection.wait_idle()?;
        host.done("upload");
        let mut spans = Vec::new();
        for piece in pieces {
            let commands = self.programs[program].record_pieces(&self.gpu, std::slice::from_ref(piece), None);
            let start = host.now();
            self.submit_each(commands)?;
            self.gpu.connection.wait_idle()?;
            spans.push([start, host.now()]);
        }
        host.done("launches, one by one");
        let readback = self.record_readback(program);
        self.submit_step(program, vec![readback])?;
        self.answer(true)?;
        host.done("read back");
        Ok(host.profile(spans))
    }

    /// Queries for every launch of the longest plan, created at first use.
    fn timestamps(&mut self) -> Timestamps {
        let launches = self.programs.iter().map(|p| p.launches()).max().unwrap_or(0);
        self.timestamps.get_or_insert_with(|| Timestamps::new(&self.gpu, launches)).clone()
    }
}
