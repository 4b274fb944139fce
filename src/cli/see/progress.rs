//! Progress of a view: a bar on a terminal, otherwise nothing.

use crate::cli::terminal::Bar;
use std::cell::{Cell, RefCell};
use std::time::Instant;

/// A bar that disappears when dropped.
pub struct Progress {
    bar: Option<Bar>,
    start: Instant,
    stage: RefCell<String>,
    steps: Cell<usize>,
    done: Cell<usize>,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            bar: Bar::new(0),
            start: Instant::now(),
            stage: RefCell::default(),
            steps: Cell::new(0),
            done: Cell::new(0),
        }
    }

    /// Begins a stage of `steps` steps.
    pub fn begin(&self, name: &str, steps: usize) {
        self.stage.replace(name.to_owned());
        self.steps.set(steps);
        self.done.set(0);
        self.show();
    }

    /// Counts a step as done.
    pub fn step(&self) {
        self.done.set(self.done.get() + 1);
        self.show();
    }

    fn show(&self) {
        let Some(bar) = &self.bar else { return };
        let (done, steps) = (self.done.get(), self.steps.get());
        let seconds = self.start.elapsed().as_secs();
        bar.show(done, steps, format!("{:18} {done}/{steps}  {seconds} s", self.stage.borrow()));
    }
}
