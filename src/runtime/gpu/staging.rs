//! The staging ring: upload and readback buffers for each step in flight.

use super::context::Gpu;
use crate::{Error, Result};
use std::sync::{Arc, OnceLock};

/// Maximum number of steps in flight: enough to hide the host's work behind the device's.
pub(super) const SLOTS: usize = 3;

/// The staging buffers of one step.
pub(super) struct Staging {
    /// Inputs are copied from this buffer.
    pub up: wgpu::Buffer,
    /// Outputs are copied to this buffer.
    pub down: wgpu::Buffer,
    up_mapping: Mapping,
    down_mapping: Mapping,
    /// The pending step: plan index and submission.
    pub step: Option<(usize, wgpu::SubmissionIndex)>,
}

/// Whether mapping a buffer succeeded, once that is known.
type Mapping = Arc<OnceLock<bool>>;

impl Staging {
    pub fn new(gpu: &Gpu, input_bytes: u64, output_bytes: u64) -> Self {
        use wgpu::BufferUsages as Usage;
        Self {
            up: gpu.buffer("upload", input_bytes, Usage::MAP_WRITE | Usage::COPY_SRC, true),
            down: gpu.buffer("readback", output_bytes, Usage::MAP_READ | Usage::COPY_DST, false),
            up_mapping: Arc::new(true.into()),
            down_mapping: Mapping::default(),
            step: None,
        }
    }

    /// Writes a step's inputs one after another and unmaps the buffer, so that the device can copy from it.
    pub fn load(&mut self, gpu: &Gpu, inputs: &[&[u8]]) -> Result<()> {
        wait_for(gpu, &self.up_mapping, None)?;
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
        self.up_mapping = Mapping::default();
        Ok(())
    }

    /// Maps both buffers as soon as the submitted step is done, except for one that still is.
    pub fn submitted(&mut self, program: usize, submission: wgpu::SubmissionIndex) {
        if self.up_mapping.get().is_none() {
            self.up_mapping = map(&self.up, wgpu::MapMode::Write);
        }
        self.down_mapping = map(&self.down, wgpu::MapMode::Read);
        self.step = Some((program, submission));
    }

    /// Whether the outputs have arrived; with `wait`, waits for them.
    pub fn is_done(&self, gpu: &Gpu, wait: bool) -> Result<bool> {
        match wait {
            true => wait_for(gpu, &self.down_mapping, self.step.as_ref().map(|(_, s)| s.clone()))?,
            false => gpu.connection.poll(wgpu::PollType::Poll)?,
        }
        Ok(self.down_mapping.get() == Some(&true))
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

fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Mapping {
    let mapping = Mapping::default();
    let reported = mapping.clone();
    buffer.slice(..).map_async(mode, move |result| {
        let _ = reported.set(result.is_ok());
    });
    mapping
}

/// Waits for a mapping, after the submission that it depends on, if given.
fn wait_for(gpu: &Gpu, mapping: &Mapping, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
    let succeeded = loop {
        if let Some(succeeded) = mapping.get() {
            break *succeeded;
        }
        gpu.connection.poll(wgpu::PollType::Wait { submission_index: submission.clone(), timeout: None })?;
    };
    if !succeeded {
        gpu.connection.check()?;
        return Err(Error::DeviceLost("a buffer could not be mapped".into()));
    }
    Ok(())
}

/// Reads words from a byte offset through a temporary buffer. Not for the step loop.
pub(super) fn read_back(gpu: &Gpu, from: &wgpu::Buffer, offset: u64, words: usize) -> Result<Vec<u32>> {
    let bytes = 4 * words as u64;
    gpu.connection.guarded("read back", || {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let down = gpu.buffer("read back", bytes, usage, false);
        let mut encoder = gpu.connection.encoder("read back");
        encoder.copy_buffer_to_buffer(from, offset, &down, 0, bytes);
        let submission = gpu.connection.submit([encoder.finish()])?;
        wait_for(gpu, &map(&down, wgpu::MapMode::Read), Some(submission))?;
        let view = down.get_mapped_range(..).map_err(|e| Error::Device(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..bytes as usize]))
    })?
}
