//! Training: the step as one graph, and the loop around it.

mod step;
mod trainer;

pub use step::{Recipe, evaluation_graph, training_graph};
pub use trainer::{EpochReport, Progress, Score, TrainConfig, Trainer};
