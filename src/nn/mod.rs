//! Layers with PyTorch's fields and defaults, optimizers, and learning-rate schedules.
//!
//! A [`Builder`] records layers into a [`Graph`](crate::graph::Graph). A layer's parameters are named after it and the
//! scopes around it, as in a PyTorch `state_dict`:
//!
//! ```
//! use striate::nn::{BatchNorm2d, Builder, Conv2d, Linear, Mode};
//!
//! let mut b = Builder::new(Mode::Train);
//! let images = b.images([8, 3, 32, 32])?;
//! let conv = Conv2d { in_channels: 3, out_channels: 16, kernel_size: [3, 3], padding: [1, 1], ..Default::default() };
//! let x = b.scoped("stem", |b| {
//!     let x = b.conv2d("conv", images, conv)?;
//!     let x = b.batch_norm2d("bn", x, BatchNorm2d { num_features: 16, ..Default::default() })?;
//!     b.relu(x)
//! })?;
//! let x = b.global_avg_pool2d(x)?;
//! let x = b.flatten(x)?;
//! let logits = b.linear("fc", x, Linear { in_features: 16, out_features: 10, ..Default::default() })?;
//! assert_eq!(b.graph.shape(logits), [8, 10]);
//! assert!(b.graph.find_persistent("stem.conv.weight").is_some());
//! # Ok::<(), striate::Error>(())
//! ```
//!
//! [`models::Model`](crate::models::Model) wraps such a function as a network that can be trained and run.

mod builder;
mod optimizer;
mod rules;
mod schedule;

pub(crate) use builder::update_running_stats;
pub use builder::{BatchNorm2d, BatchOfRanks, Builder, Conv2d, Fan, Linear, Mode};
pub(crate) use optimizer::clip_grad_norm;
pub use optimizer::{AdamConfig, Optimizer, SgdConfig};
pub use rules::{Pattern, Rules};
pub use schedule::{Anneal, Decay, Milestone, OneCycle, Schedule};
