//! Progress of training: an interface if requested, a bar on a terminal, otherwise a line every few seconds.

use super::metrics::Metrics;
use super::training::Run;
use super::tui::{Interface, Now};
use crate::cli::output::print;
use crate::cli::terminal::Bar;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use striate::train::{EpochReport, Progress, Trainer};

/// Time between two lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Prints a line. Training continues if that fails, since the results go to files. The first failure is reported as a
/// warning; a closed pipe (`| head`) is ignored silently.
pub fn say(line: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if let Err(error) = print(&format!("{line}\n"))
        && !WARNED.swap(true, Ordering::Relaxed)
    {
        log::warn!("{error}; training continues");
    }
}

/// How steps are shown.
enum Display {
    Interface(Box<Interface>),
    Bar(Bar),
    Lines,
}

/// Reports steps and epochs.
pub struct Reporter {
    epochs: usize,
    display: Display,
    start: Instant,
    /// Epochs done before the first reported step.
    done_before: Option<f64>,
    epoch_start: Instant,
    last_line: Instant,
    /// Steps of the epoch: done, and in total.
    steps: (usize, usize),
}

impl Reporter {
    /// A reporter for a run after some epochs.
    pub fn new(run: &Run<'_>, trainer: &mut Trainer, done: &Metrics) -> Self {
        let interface = run.args.run.tui.then(|| Interface::open(run, trainer, done)).flatten();
        let bar = || Bar::new(1).map_or(Display::Lines, Display::Bar);
        let display = interface.map_or_else(bar, |interface| Display::Interface(Box::new(interface)));
        let now = Instant::now();
        Self {
            epochs: run.args.schedule.epochs,
            display,
            start: now,
            done_before: None,
            epoch_start: now,
            last_line: now,
            steps: (0, 0),
        }
    }

    /// Reports a completed step.
    pub fn step(&mut self, p: &Progress) {
        self.steps = (p.step, p.steps);
        let speed = p.score.images as f64 / self.epoch_start.elapsed().as_secs_f64().max(1e-9);
        let left = self.left(p);
        let line = format!(
            "epoch {}/{}  step {}/{}  loss {:.4}  accuracy {:5.2} %  {speed:.0} images/s  {} left",
            p.epoch,
            self.epochs,
            p.step,
            p.steps,
            p.score.loss,
            100.0 * p.score.accuracy,
            clock(left)
        );
        match &self.display {
            Display::Interface(interface) => {
                interface.step(Now { progress: *p, images_per_second: speed, left })
            }
            Display::Bar(bar) => bar.show(p.step, p.steps, line),
            Display::Lines if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                say(&line);
            }
            Display::Lines => {}
        }
    }

    /// Reports an epoch, and its network. An interrupted one is the last, so only lines follow.
    pub fn epoch(&mut self, report: &EpochReport, trainer: &mut Trainer) {
        let train = report.train;
        let mut line = format!(
            "epoch {}/{}  train loss {:.4} accuracy {:5.2} %",
            report.epoch,
            self.epochs,
            train.loss,
            100.0 * train.accuracy
        );
        let on = if report.validation.is_some() { "validation" } else { "test" };
        match (report.held_out(), self.steps) {
            (Some(score), _) => {
                line += &format!("  {on} loss {:.4} accuracy {:5.2} %", score.loss, 100.0 * score.accuracy);
            }
            (None, (done, all)) => {
                line += &format!("  interrupted after {done} of {all} steps");
                self.display = Display::Lines;
            }
        }
        if report.skipped > 0 {
            line += &format!("  {} of {} steps skipped", report.skipped, self.steps.1);
        }
        let speed = train.images as f64 / report.train_time.as_secs_f64().max(1e-9);
        line += &format!("  {:.1} s, {speed:.0} images/s", report.train_time.as_secs_f64());
        say(&line);
        if let Display::Interface(interface) = &mut self.display {
            interface.epoch(report);
            interface.look(trainer);
        }
        self.last_line = Instant::now();
        self.epoch_start = self.last_line;
    }

    /// Reports that there is a checkpoint after this step.
    pub fn saved(&self, step: usize) {
        if let Display::Interface(interface) = &self.display {
            interface.saved(step);
        }
    }

    /// Whether the user asks for a checkpoint now.
    pub fn wants_checkpoint(&self) -> bool {
        matches!(&self.display, Display::Interface(interface) if interface.wants_checkpoint())
    }

    /// Estimates the remaining time from the speed so far.
    fn left(&mut self, p: &Progress) -> Duration {
        let done = (p.epoch - 1) as f64 + p.step as f64 / p.steps as f64;
        let before = *self.done_before.get_or_insert(done - 1.0 / p.steps as f64);
        let seconds = self.start.elapsed().as_secs_f64() * (self.epochs as f64 - done) / (done - before);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// `1:02:03` or `2:03`.
pub fn clock(time: Duration) -> String {
    let s = time.as_secs();
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}
