//! Runs plans. A [`Session`] holds plans and weights on a [`Device`].
//!
//! From top to bottom: sessions, devices, the two executors ([`gpu`] on wgpu, `cpu` on threads), and the trait that both
//! implement.

mod cache;
mod cpu;
mod device;
mod executor;
pub mod gpu;
mod memory;
mod session;
mod timing;
pub(crate) mod tuned_file;
pub(crate) mod verdicts;

pub use cache::folder as cache_folder;
pub use device::Device;
pub(crate) use session::Stream;
pub use session::{Outputs, Session};
pub use timing::{Clock, HostSpan, Profile, Timing};
