//! Training: the step as one graph, the loop around it, weights on disk.

mod config;
mod programs;
mod report;
mod step;
mod trainer;
mod weights;

pub use config::TrainConfig;
pub use report::{EpochReport, Position, Progress, Score};
pub use step::{Part, Recipe, average_evaluation_graph, evaluation_graph, partial_graph, training_graph};
pub use trainer::Trainer;
pub use weights::{read_weights, write_file, write_weights};
