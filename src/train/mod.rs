//! Training: a step as one graph, and the loop around it.
//!
//! A [`Trainer`] owns a model's session and its data, and trains epoch by epoch; its page has an example. [`TrainConfig`] has
//! the settings, and a [`Checkpoint`] resumes interrupted training.
//!
//! To write your own loop, start from [`training_graph`] and [`evaluation_graph`].

mod anomaly;
mod checkpoint;
mod config;
mod memory_strategy;
mod programs;
mod ranks;
mod report;
mod statistics;
mod step;
mod steps;
mod trainer;

pub use checkpoint::Checkpoint;
pub use config::TrainConfig;
pub use memory_strategy::MemoryStrategy;
pub use report::{EpochReport, Position, Progress, Score};

pub use statistics::statistics_graph;
pub use step::{Part, Recipe, average_evaluation_graph, evaluation_graph, partial_graph, training_graph};
pub use trainer::Trainer;
