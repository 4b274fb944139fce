//! The interface between sessions and executors.

use super::timing::Profile;
use crate::Result;
use crate::plan::StorageId;
use std::ops::Range;

/// Runs plans on a device. Steps are submitted without waiting, and their outputs come back in order.
pub(crate) trait Executor: Send {
    /// Replaces the contents of a persistent value; `words` has its size.
    fn write(&mut self, name: &str, words: &[u32]) -> Result<()>;

    /// The contents of a persistent value after all submitted steps.
    fn read(&mut self, name: &str, words: usize) -> Result<Vec<u32>>;

    /// Submits a step of the plan with index `program`. Inputs are in the plan's order and have its sizes. Waits for sums over
    /// ranks.
    fn submit(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()>;

    /// The outputs of the oldest pending step. If it is not done, waits for it, or returns `None` without `wait`.
    fn answer(&mut self, wait: bool) -> Result<Option<Answer>>;

    /// Runs a step and reports when each piece of the plan, a range of its launches, started and ended. Drops the
    /// step's outputs.
    fn profile(&mut self, program: usize, inputs: &[&[u8]], pieces: &[Range<usize>]) -> Result<Profile>;

    /// Uploads the inputs of a step and runs nothing. For [`run_launch`](Self::run_launch).
    fn load(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()>;

    /// Runs one launch of a plan and waits for it.
    fn run_launch(&mut self, program: usize, launch: usize) -> Result<()>;

    /// The contents of a storage that a launch of the plan binds.
    fn read_storage(&mut self, program: usize, storage: StorageId) -> Result<Vec<u32>>;

    /// Replaces the contents of a storage that a launch of the plan binds; `words` has its size.
    fn write_storage(&mut self, program: usize, storage: StorageId, words: &[u32]) -> Result<()>;
}

/// Outputs of one step: the plan's index, and the words of each output.
pub(crate) struct Answer {
    pub program: usize,
    pub words: Vec<Vec<u32>>,
}
