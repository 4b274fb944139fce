//! Striate trains and runs convolutional networks with WGSL compute shaders on any Vulkan, Metal or DX12 GPU, or on the
//! CPU.
//!
//! - [`data`] loads images, [`models`] has well-known networks, [`train`] trains them, [`infer`] uses them, and
//!   [`interpret`] explains what they respond to.
//! - [`nn`] builds your own networks, [`weights`] exchanges parameters with PyTorch, and
//!   `export` writes ONNX files (with the feature `onnx`).
//! - [`graph`], [`plan`] and [`Session`] are the engine: a graph of operations ([`op`]) becomes a plan of kernel launches
//!   ([`kernel`]), which a session runs on a [`Device`].

pub mod data;
pub mod eager;
mod error;
#[cfg(feature = "onnx")]
pub mod export;
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
pub mod selftest;
mod tensor;
pub mod train;
pub mod tune;
pub mod weights;

pub use error::{Error, Result};
pub use file::{Content, check_writable, read_file, write_file};
pub use folder::OutputFolder;
pub use runtime::{Clock, Device, HostSpan, Outputs, Profile, Session, Timing, cache_folder, gpu};
pub use tensor::{DType, Input, Tensor, TensorType};

/// Runs the examples in these pages as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/library.md")]
mod pages {}
