//! Striate is a CNN engine whose every numeric step is a WGSL compute shader.

pub mod data;
mod error;

pub use error::{Error, Result};
