//! Training: the step as one graph, the loop around it, weights on disk.

mod step;
mod trainer;
mod weights;

pub use step::{Recipe, evaluation_graph, training_graph};
pub use trainer::{EpochReport, Progress, Score, TrainConfig, Trainer};
pub use weights::{read_weights, write_file, write_weights};
