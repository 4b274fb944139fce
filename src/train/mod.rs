//! Training: the step as one graph, and the loop around it.

mod checkpoint;
mod config;
mod programs;
mod report;
mod savings;
mod step;
mod steps;
mod trainer;

pub use checkpoint::Checkpoint;
pub use config::TrainConfig;
pub use report::{EpochReport, Position, Progress, Score};
pub use savings::{Savings, fit};
pub use step::{Part, Recipe, average_evaluation_graph, evaluation_graph, partial_graph, training_graph};
pub use trainer::Trainer;
