//! How far a view is: a bar on a terminal, else nothing.

use crate::cli::plan::print;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use striate::Result;

/// A bar that is gone when it is dropped.
pub struct Progress(ProgressBar);

impl Progress {
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{msg:24} {bar:30} {pos}/{len}  {elapsed_precise}")
            .expect("the template is a valid one");
        // Draws nothing where standard error is no terminal.
        Self(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style))
    }

    /// Begins a part of so many steps.
    pub fn begin(&self, name: &str, steps: usize) {
        self.0.set_length(steps as u64);
        self.0.set_position(0);
        self.0.set_message(name.to_owned());
        self.0.tick();
    }

    /// A step is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Prints a line above the bar.
    pub fn say(&self, line: &str) -> Result<()> {
        self.0.suspend(|| print(line))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
