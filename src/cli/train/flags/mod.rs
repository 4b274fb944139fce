//! The flags of `striate train` in groups, and their translation to the library's settings.

mod augment;
mod fine_tuning;
mod loss;
mod optimizer;
mod run;
mod schedule;

pub use augment::AugmentFlags;
pub use fine_tuning::FineTuningFlags;
pub use loss::LossFlags;
pub use optimizer::OptimizerFlags;
pub use run::RunFlags;
pub use schedule::ScheduleFlags;
