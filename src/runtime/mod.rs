//! Running plans: a [`Device`] is what computes, a [`Session`] holds plans and weights on it.
//!
//! From top to bottom: sessions, devices, the two executors ([`gpu`] through wgpu, `cpu` on threads), and what both implement.

mod cache;
mod cpu;
mod device;
mod executor;
pub mod gpu;
mod memory;
mod session;
mod timing;
pub(crate) mod tuned_file;

pub use device::Device;
pub(crate) use session::Stream;
pub use session::{Outputs, Session};
pub use timing::{Clock, HostSpan, Profile, Timing};
