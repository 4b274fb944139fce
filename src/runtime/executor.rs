//! What an executor does: the interface between sessions and what computes.

use super::timing::Profile;
use crate::Result;
use std::ops::Range;

/// What both executors do. Steps are submitted without waiting; their outputs come back in order.
pub(crate) trait Executor: Send {
    /// Replaces the contents of a persistent value; `words` has its size.
    fn write(&mut self, name: &str, words: &[u32]) -> Result<()>;

    /// The contents of a persistent value after all submitted steps.
    fn read(&mut self, name: &str, words: usize) -> Result<Vec<u32>>;

    /// Runs plan number `program` on these inputs, given in the plan's order and sizes.
    fn submit(&mut self, program: usize, inputs: &[&[u8]]) -> Result<()>;

    /// The outputs of the oldest step not yet answered: waits for it, or returns `None` if it is not done.
    fn answer(&mut self, wait: bool) -> Result<Option<Answer>>;

    /// Runs a step and tells when each piece of the plan, a range of its launches, started and ended. The
    /// step's outputs are dropped.
    fn profile(&mut self, program: usize, inputs: &[&[u8]], pieces: &[Range<usize>]) -> Result<Profile>;
}

/// Raw outputs of one step: program number, and words by output.
pub(crate) struct Answer {
    pub program: usize,
    pub words: Vec<Vec<u32>>,
}
