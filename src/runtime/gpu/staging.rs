//! The staging ring: upload and readback buffers for each step in flight.

use super::context::Gpu;
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Maximum number of steps in flight: enough to hide the host's work behind the device's.
pub(super) const SLOTS: usize = 3;

/// The staging buffers of one step.
pub(super) struct Staging {
    /// Inputs are copied from this buffer.
    pub up: wgpu::Buffer,
    /// Outputs are copied to this buffer.
    pub down: wgpu::Buffer,
    up_state: Arc<AtomicU8>,
    down_state: Arc<AtomicU8>,
    /// The pending step: plan index and submission.
    pub step: Option<(usize, wgpu::SubmissionIndex)>,
}

/// States of a mapping.
const WAITING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

impl Staging {
    pub fn new(gpu: &Gpu, input_bytes: u64, output_bytes: u64) -> Self {
        use wgpu::BufferUsages as Usage;
        Self {
            up: gpu.buffer("upload", input_bytes, Usage::MAP_WRITE | Usage::COPY_SRC, true),
            down: gpu.buffer("readback", output_bytes, Usage::MAP_READ | Usage::COPY_DST, false),
            up_state: Arc::new(AtomicU8::new(MAPPED)),
            down_state: Arc::new(AtomicU8::new(WAITING)),
            step: None,
        }
    }

    /// Writes a step's inputs one after another and unmaps the buffer, so that the device can copy from it.
    pub fn load(&mut self, gpu: &Gpu, inputs: &[&[u8]]) -> Result<()> {
        wait_for(gpu, &self.up_state, None)?;
        let mut start = 0;
        for bytes in inputs.iter().filter(|b| !b.is_empty()) {
            // Mapped ranges must start at multiples of eight.
            let end = start + bytes.len() as u64;
            let mut view =
                self.up.get_mapped_range_mut(start..end).map_err(|e| Error::Device(e.to_string()))?;
            view.copy_from_slice(bytes);
            start = end.next_multiple_of(8);
        }
        self.up.unmap();
        Ok(())
    }

    /// Maps both buffers as soon as the submitted step is done.
    pub fn submitted(&mut self, program: usize, submission: wgpu::SubmissionIndex) {
        self.up_state = map(&self.up, wgpu::MapMode::Write);
        self.down_state = map(&self.down, wgpu::MapMode::Read);
        self.step = Some((program, submission));
    }

    /// Whether the outputs have arrived; with `wait`, waits for them.
    pub fn is_done(&self, gpu: &Gpu, wait: bool) -> Result<bool> {
        match wait {
            true => wait_for(gpu, &self.down_state, self.step.as_ref().map(|(_, s)| s.clone()))?,
            false => gpu.poll(wgpu::PollType::Poll)?,
        }
        Ok(self.down_state.load(Ordering::Acquire) == MAPPED)
    }

    /// Takes the outputs, given their sizes in words, and frees the slot.
    pub fn unload(&mut self, sizes: impl Iterator<Item = usize>) -> Result<Vec<Vec<u32>>> {
        let view = self.down.get_mapped_range(..).map_err(|e| Error::Device(e.to_string()))?;
        let mut start = 0;
        let outputs = sizes
            .map(|words| {
                let bytes = &view[start..start + 4 * words];
                start += 4 * words;
                bytemuck::pod_collect_to_vec(bytes)
            })
            .collect();
        drop(view);
        self.down.unmap();
        self.step = None;
        Ok(outputs)
    }
}

fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Arc<AtomicU8> {
    let state = Arc::new(AtomicU8::new(WAITING));
    let report = state.clone();
    buffer.slice(..).map_async(mode, move |result| {
        report.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
    });
    state
}

/// Waits for a mapping, after the submission that it depends on, if given.
fn wait_for(gpu: &Gpu, state: &AtomicU8, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
    while state.load(Ordering::Acquire) == WAITING {
        gpu.poll(wgpu::PollType::Wait { submission_index: submission.clone(), timeout: None })?;
    }
    match state.load(Ordering::Acquire) {
        MAPPED => Ok(()),
        _ => {
            gpu.check()?;
            Err(Error::DeviceLost("a buffer could not be mapped".into()))
        }
    }
}

/// Reads words from a byte offset through a temporary buffer. Not for the step loop.
pub(super) fn read_back(gpu: &Gpu, from: &wgpu::Buffer, offset: u64, words: usize) -> Result<Vec<u32>> {
    let bytes = 4 * words as u64;
    gpu.guarded("read back", || {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let down = gpu.buffer("read back", bytes, usage, false);
        let mut encoder = gpu.encoder("read back");
        encoder.copy_buffer_to_buffer(from, offset, &down, 0, bytes);
        let submission = gpu.queue.submit([encoder.finish()]);
        let state = map(&down, wgpu::MapMode::Read);
        wait_for(gpu, &state, Some(submission))?;
        let view = down.get_mapped_range(..).map_err(|e| Error::Device(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..bytes as usize]))
    })?
}
