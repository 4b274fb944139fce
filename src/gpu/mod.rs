//! The wgpu executor: the only room that knows wgpu.

mod context;
mod executor;
mod flight;
mod late;
mod pipeline_cache;
mod pipelines;
mod timing;

pub use context::{AdapterSummary, Gpu, adapters};
pub(crate) use executor::GpuExecutor;
