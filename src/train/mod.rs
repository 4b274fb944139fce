//! Training: a step as one graph, and the loop around it.
//!
//! A [`Trainer`] owns a model's session and its data, and trains epoch by epoch:
//!
//! ```
//! use std::ops::ControlFlow;
//! use std::sync::Arc;
//! use striate::Device;
//! use striate::data::{Dataset, Normalization, Split};
//! use striate::models::LeNet;
//! use striate::train::{TrainConfig, Trainer};
//!
//! // 64 grayscale images, dark or bright; `data::mnist` and its siblings read real data sets.
//! let labels: Vec<u32> = (0..64).map(|i| i % 2).collect();
//! let images = labels.iter().flat_map(|label| [50 + 150 * *label as u8; 28 * 28]).collect();
//! let classes = vec!["dark".to_owned(), "bright".to_owned()];
//! let data = Arc::new(Dataset::new("brightness", [1, 28, 28], images, labels, classes)?);
//! let normalization = Normalization { mean: vec![0.5], std: vec![0.25] };
//! let split = Split::new(data.clone(), data, normalization)?;
//!
//! let config = TrainConfig { epochs: 2, batch: 16, lr: 0.01, ..Default::default() };
//! let model = LeNet { in_channels: 1, classes: 2 };
//! let mut trainer = Trainer::new(&Device::select("cpu")?, &model, split, config)?;
//! while trainer.epochs_left() > 0 {
//!     let report = trainer.epoch(&mut |_| ControlFlow::Continue(()))?;
//!     println!("epoch {}: test accuracy {:.3}", report.epoch, report.test.unwrap().accuracy);
//! }
//! # Ok::<(), striate::Error>(())
//! ```
//!
//! To write your own loop, start from [`training_graph`] and [`evaluation_graph`].

mod anomaly;
mod checkpoint;
mod config;
mod memory_strategy;
mod programs;
mod report;
mod statistics;
mod step;
mod steps;
mod trainer;

pub use checkpoint::Checkpoint;
pub use config::TrainConfig;
pub use memory_strategy::MemoryStrategy;
pub use report::{EpochReport, Position, Progress, Score};

pub use step::{Part, Recipe, average_evaluation_graph, evaluation_graph, partial_graph, training_graph};
pub use trainer::Trainer;
