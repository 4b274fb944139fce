//! Steps that are submitted one after another while earlier ones are answered.

use super::{Outputs, Session};
use crate::{Input, Result};
use std::collections::VecDeque;

/// Steps in flight, each with what belongs to its outputs. However a stream ends, by an error too, it leaves no step
/// behind whose outputs the next one would take for its own.
pub(crate) struct Stream<'a, T> {
    session: &'a mut Session,
    with: VecDeque<T>,
}

impl<'a, T> Stream<'a, T> {
    /// Begins with no step in flight.
    pub fn new(session: &'a mut Session) -> Result<Self> {
        session.drain()?;
        Ok(Self { session, with: VecDeque::new() })
    }

    /// Whether a plan has an input of this name.
    pub fn takes(&self, program: usize, input: &str) -> bool {
        self.session.plans[program].takes(input)
    }

    /// As [`Session::submit`].
    pub fn submit(&mut self, program: usize, inputs: &[(&str, Input<'_>)], with: T) -> Result<()> {
        self.session.submit(program, inputs)?;
        self.with.push_back(with);
        Ok(())
    }

    /// As [`Session::poll`], with what the step was submitted with.
    pub fn poll(&mut self) -> Result<Option<(Outputs, T)>> {
        Ok(self.session.poll()?.and_then(|outputs| Some((outputs, self.with.pop_front()?))))
    }

    /// As [`Session::wait`], with what the step was submitted with.
    pub fn wait(&mut self) -> Result<Option<(Outputs, T)>> {
        Ok(self.session.wait()?.and_then(|outputs| Some((outputs, self.with.pop_front()?))))
    }
}

impl<T> Drop for Stream<'_, T> {
    fn drop(&mut self) {
        // An error here is the device's, which the session's next call tells as well.
        let _ = self.session.drain();
    }
}
