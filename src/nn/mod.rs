//! Building networks: layers with PyTorch's fields and defaults, optimisers, learning-rate schedules.

mod builder;
mod optimizer;
mod rules;
mod schedule;

pub(crate) use builder::update_running_stats;
pub use builder::{BatchNorm2d, Builder, Conv2d, Fan, Linear, Mode};
pub(crate) use optimizer::clip_grad_norm;
pub use optimizer::{AdamConfig, Optimizer, SgdConfig};
pub use rules::{Pattern, Rules};
pub use schedule::{Anneal, Decay, Milestone, OneCycle, Schedule};
