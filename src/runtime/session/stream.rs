//! Pipelined steps: new ones are submitted while the outputs of earlier ones arrive.

use super::{Outputs, Session};
use crate::{Input, Result};
use std::collections::VecDeque;

/// Steps in flight, each with a tag that is returned with its outputs. Dropping a stream, even after an error, drains the
/// session, so that the next stream does not receive this one's outputs.
pub(crate) struct Stream<'a, T> {
    session: &'a mut Session,
    tags: VecDeque<T>,
}

impl<'a, T> Stream<'a, T> {
    /// Starts a stream on a drained session.
    pub fn new(session: &'a mut Session) -> Result<Self> {
        session.drain()?;
        Ok(Self { session, tags: VecDeque::new() })
    }

    /// Whether a plan has an input of this name.
    pub fn has_input(&self, program: usize, input: &str) -> bool {
        self.session.plans[program].has_input(input)
    }

    /// The session, for reading values once the stream's steps are done.
    pub fn session(&mut self) -> &mut Session {
        self.session
    }

    /// Like [`Session::submit`], with a tag for the step.
    pub fn submit(&mut self, program: usize, inputs: &[(&str, Input<'_>)], tag: T) -> Result<()> {
        self.session.submit(program, inputs)?;
        self.tags.push_back(tag);
        Ok(())
    }

    /// Number of steps in flight.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Like [`Session::poll`]; also returns the step's tag.
    pub fn poll(&mut self) -> Result<Option<(Outputs, T)>> {
        Ok(self.session.poll()?.and_then(|outputs| Some((outputs, self.tags.pop_front()?))))
    }

    /// Like [`Session::wait`]; also returns the step's tag.
    pub fn wait(&mut self) -> Result<Option<(Outputs, T)>> {
        Ok(self.session.wait()?.and_then(|outputs| Some((outputs, self.tags.pop_front()?))))
    }
}

impl<T> Drop for Stream<'_, T> {
    fn drop(&mut self) {
        // The session's next call reports the same device error.
        let _ = self.session.drain();
    }
}
