//! Building networks: layers with PyTorch's fields and defaults, optimisers, learning-rate schedules.

mod builder;
mod optimizer;
mod rules;
mod schedule;

pub use builder::{BatchNorm2d, Builder, Conv2d, Fan, Linear, Mode};
pub use optimizer::{AdamConfig, Optimizer, SgdConfig};
pub use rules::{Pattern, Rules};
pub use schedule::{Anneal, Decay, Milestone, OneCycle, Schedule};
