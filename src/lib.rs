//! Striate is a CNN engine whose every numeric step is a WGSL compute shader.

pub mod data;
pub mod eager;
mod error;
mod file;
mod folder;
pub mod graph;
pub mod infer;
pub mod interpret;
pub mod kernel;
pub mod models;
pub mod nn;
pub mod op;
pub mod plan;
pub mod rng;
mod runtime;
mod tensor;
pub mod train;
pub mod tune;
pub mod weights;

pub use error::{Error, Result};
pub use file::{Content, check_writable, read_file, write_file};
pub use folder::OutputFolder;
pub use runtime::{Clock, Device, HostSpan, Outputs, Profile, Session, Timing, gpu};
pub use tensor::{DType, Input, Tensor, TensorType};
