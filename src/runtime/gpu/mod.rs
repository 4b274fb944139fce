//! The wgpu executor: the only room that knows wgpu.

mod context;
mod executor;
mod pipeline_cache;
mod pipelines;
mod staging;
mod timing;
mod warm_up;

pub use context::{AdapterSummary, Gpu, adapters};
pub(crate) use executor::GpuExecutor;
