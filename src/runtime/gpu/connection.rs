//! An opened device and its queue. Everything that a driver may refuse goes through here and becomes an [`Error`].

use super::panics::contained;
use crate::plan::Target;
use crate::{Error, Result};
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device, its queue, and the first failure that it reported.
pub(super) struct Connection {
    pub device: ManuallyDrop<wgpu::Device>,
    pub queue: ManuallyDrop<wgpu::Queue>,
    failure: Arc<Mutex<Option<Failure>>>,
}

/// An error that the device reported.
#[derive(Clone, Debug)]
enum Failure {
    Lost(String),
    OutOfMemory,
    Error(String),
}

impl Failure {
    fn of(error: wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { .. } => Failure::OutOfMemory,
            error => Failure::Error(error.to_string()),
        }
    }

    /// The error to report from two scopes. Out of memory comes first: a buffer that could not be allocated is invalid, so
    /// every use of it is a validation error as well.
    fn of_scopes(memory: Option<wgpu::Error>, validation: Option<wgpu::Error>) -> Option<Self> {
        memory.or(validation).map(Self::of)
    }

    /// The error to return; `what` names the operation that failed, if known.
    fn error(&self, what: &str) -> Error {
        let at = if what.is_empty() { String::new() } else { format!("{what}: ") };
        match self {
            Failure::Lost(message) => Error::DeviceLost(message.clone()),
            Failure::OutOfMemory => Error::TooLarge(format!(
                "{at}the device has no memory left; use a smaller batch, smaller images or a smaller model"
            )),
            Failure::Error(message) => Error::Device(format!("{at}{message}")),
        }
    }
}

impl Connection {
    /// Opens a device with the features that striate uses and the limits of a target, so that the device refuses whatever a plan
    /// for this target must not contain.
    pub fn open(adapter: &wgpu::Adapter, target: &Target) -> Result<Self> {
        let used =
            wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE;
        let description = wgpu::DeviceDescriptor {
            label: Some("striate"),
            required_features: adapter.features() & used,
            required_limits: required_limits(target, &adapter.limits()),
            ..Default::default()
        };
        let request = || pollster::block_on(adapter.request_device(&description)).map_err(|e| e.to_string());
        let (device, queue) = contained(request)
            .flatten()
            .map_err(|e| Error::Device(format!("{} could not be opened: {e}", adapter.get_info().name)))?;
        let failure = Arc::new(Mutex::new(None));
        let lost = failure.clone();
        device.set_device_lost_callback(move |_, message| *lock(&lost) = Some(Failure::Lost(message)));
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::debug!("{error}");
            lock(&uncaptured).get_or_insert_with(|| Failure::of(error));
        }));
        Ok(Self { device: ManuallyDrop::new(device), queue: ManuallyDrop::new(queue), failure })
    }

    /// Fails if the device was lost or reported an error since it was opened.
    pub fn check(&self) -> Result<()> {
        lock(&self.failure).as_ref().map_or(Ok(()), |failure| Err(failure.error("")))
    }

    /// Runs `work`. If wgpu panics, the device counts as lost.
    fn contained<R>(&self, work: impl FnOnce() -> R) -> Result<R> {
        contained(work).map_err(|message| {
            let lost = Failure::Lost(message);
            let error = lost.error("");
            lock(&self.failure).get_or_insert(lost);
            error
        })
    }

    /// Polls the device, and fails if it reported an error.
    pub fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        self.contained(|| self.device.poll(poll))?.map_err(|e| Error::Device(e.to_string()))?;
        self.check()
    }

    /// Waits for all submitted work.
    pub fn wait_idle(&self) -> Result<()> {
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    pub fn submit(
        &self,
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
    ) -> Result<wgpu::SubmissionIndex> {
        self.contained(|| self.queue.submit(commands))
    }

    /// Writes bytes into a buffer before the next submission.
    pub fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.contained(|| self.queue.write_buffer(buffer, offset, bytes))
    }

    pub fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }

    /// Runs `build`. Fails if the device reports an error in the meantime; `what` names the operation.
    pub fn guarded<R>(&self, what: &str, build: impl FnOnce() -> R) -> Result<R> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = self.contained(build);
        // The inner scope ends before the outer one.
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        // Once the device is lost, everything else fails as well.
        self.check()?;
        match Failure::of_scopes(memory, validation) {
            Some(failure) => Err(failure.error(what)),
            None => result,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // wgpu panics, and some drivers crash, where a device is destroyed after its calls failed. Its memory is lost
        // either way.
        if lock(&self.failure).is_some() || std::thread::panicking() {
            return;
        }
        // SAFETY: nothing uses either field after this.
        let drops = unsafe {
            [
                contained(|| ManuallyDrop::drop(&mut self.queue)),
                contained(|| ManuallyDrop::drop(&mut self.device)),
            ]
        };
        for message in drops.into_iter().filter_map(Result::err) {
            log::debug!("closing the device: {message}");
        }
    }
}

/// The limits of a target; WebGPU's defaults for all that it does not have, such as workgroup memory.
fn required_limits(target: &Target, adapter: &wgpu::Limits) -> wgpu::Limits {
    wgpu::Limits {
        max_storage_buffer_binding_size: target.max_binding,
        max_buffer_size: target.max_buffer,
        max_compute_workgroups_per_dimension: target.max_workgroups,
        max_compute_invocations_per_workgroup: target.max_invocations,
        max_compute_workgroup_size_x: target.max_invocations.min(adapter.max_compute_workgroup_size_x),
        max_storage_buffers_per_shader_stage: target.max_storage_buffers,
        ..wgpu::Limits::default().or_worse_values_from(adapter)
    }
}

/// Locks a mutex. Poisoning is ignored, because no panic can leave the contents inconsistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_takes_precedence_over_validation_errors() {
        let memory = || wgpu::Error::OutOfMemory { source: "allocation failed".into() };
        let invalid = || wgpu::Error::Validation {
            source: "invalid".into(),
            description: "Buffer with 'fc.weight' label is invalid".into(),
        };
        let error =
            |memory, validation| Failure::of_scopes(memory, validation).map(|f| f.error("allocation"));
        for validation in [None, Some(invalid())] {
            let error = error(Some(memory()), validation);
            assert!(
                matches!(&error, Some(Error::TooLarge(text)) if text.contains("no memory left")),
                "{error:?}"
            );
        }
        let invalid = error(None, Some(invalid()));
        assert!(matches!(&invalid, Some(Error::Device(text)) if text.contains("fc.weight")), "{invalid:?}");
        assert!(error(None, None).is_none());
    }
}
