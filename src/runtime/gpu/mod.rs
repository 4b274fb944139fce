//! The GPUs of this machine, and the executor on them. No other module uses wgpu.
//!
//! ```
//! for adapter in striate::gpu::adapters() {
//!     println!("{} ({}, {} adapter)", adapter.name, adapter.backend, adapter.kind);
//! }
//! ```

mod connection;
mod context;
mod executor;
mod panics;
mod pipeline;
mod pipeline_cache;
mod staging;
mod timestamps;
mod warm_up;

pub use context::{AdapterSummary, Gpu, Limits, adapters};
pub(crate) use executor::GpuExecutor;
