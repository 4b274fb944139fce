//! Striate is a CNN engine whose every numeric step is a WGSL compute shader.

mod cache;
mod cpu;
pub mod data;
mod device;
mod error;
mod file;
mod folder;
pub mod gpu;
pub mod graph;
pub mod infer;
pub mod kernel;
mod memory;
pub mod models;
pub mod nn;
pub mod op;
pub mod ops;
pub mod plan;
pub mod rng;
pub mod see;
mod session;
mod tensor;
mod timing;
pub mod train;
pub mod tune;
pub mod weights;

pub use device::Device;
pub use error::{Error, Result};
pub use file::{Content, check_writable, read_file, write_file};
pub use folder::OutputFolder;
pub use session::{Outputs, Session};
pub use tensor::{DType, Input, Tensor, TensorType};
pub use timing::{Clock, HostSpan, Profile, Timing};
