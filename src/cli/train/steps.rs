//! `steps.csv`: a line every few steps. A second table, so that programs that read the first one keep working.

use super::table::TableRow;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use striate::train::Progress;

/// Its name within the run folder.
pub const STEPS: &str = "steps.csv";

/// A line of `steps.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepRow {
    /// Steps done since the start of the run.
    pub step: usize,
    /// Epochs done by then, with a fraction.
    pub epoch: f64,
    /// Learning rate of this step.
    pub lr: f32,
    /// Means over the images since the previous line; `None` if all these steps were skipped.
    pub loss: Option<f64>,
    pub accuracy: Option<f64>,
    pub images_per_second: f64,
    pub skipped_steps: usize,
}

impl TableRow for StepRow {
    const UNIT: &str = "step";

    fn number(&self) -> usize {
        self.step
    }

    fn is_valid(&self) -> bool {
        let numbers = [self.epoch, f64::from(self.lr), self.loss.unwrap_or(0.0), self.images_per_second];
        numbers.iter().all(|n| n.abs() < 1e100)
            && self.accuracy.is_none_or(|share| (0.0..=1.0).contains(&share))
    }
}

/// The steps since the last line.
pub struct Window {
    /// Steps per line.
    every: u32,
    /// The time of the last step, or of [`start`](Self::start).
    since: Instant,
    seconds: f64,
    last: Option<Progress>,
    /// Images, and those of steps that were not skipped.
    images: usize,
    counted: usize,
    /// Sums over the counted images.
    loss: f64,
    accuracy: f64,
    skipped: usize,
}

impl Window {
    /// No steps, for lines of `every` steps.
    pub fn new(every: u32) -> Self {
        let since = Instant::now();
        let (loss, accuracy, seconds) = (0.0, 0.0, 0.0);
        Self { every, since, seconds, last: None, images: 0, counted: 0, loss, accuracy, skipped: 0 }
    }

    /// Starts the clock, at the start of training and after a pause.
    pub fn start(&mut self) {
        self.since = Instant::now();
    }

    /// Adds a step; returns whether it completes a line.
    pub fn add(&mut self, progress: &Progress) -> bool {
        let (batch, images) = (progress.batch, progress.batch.images as f64);
        let before = std::mem::replace(&mut self.since, Instant::now());
        self.seconds += (self.since - before).as_secs_f64();
        self.images += batch.images;
        if progress.skipped {
            self.skipped += 1;
        } else {
            self.counted += batch.images;
            self.loss += batch.loss * images;
            self.accuracy += batch.accuracy * images;
        }
        self.last = Some(*progress);
        step_of(progress).is_multiple_of(self.every as usize)
    }

    /// The line of these steps, if there are any; the next one has later steps.
    pub fn take(&mut self) -> Option<StepRow> {
        let Self { seconds, last, images, counted, loss, accuracy, skipped, .. } =
            std::mem::replace(self, Self::new(self.every));
        let last = last?;
        let mean = |sum: f64| (counted > 0).then(|| sum / counted as f64);
        Some(StepRow {
            step: step_of(&last),
            epoch: step_of(&last) as f64 / last.steps as f64,
            lr: last.lr,
            loss: mean(loss),
            accuracy: mean(accuracy),
            images_per_second: images as f64 / seconds.max(1e-9),
            skipped_steps: skipped,
        })
    }
}

/// The step within the run.
fn step_of(progress: &Progress) -> usize {
    (progress.epoch - 1) * progress.steps + progress.step
}

#[cfg(test)]
mod tests {
    use super::Window;
    use striate::train::{Progress, Score};

    /// A step of an epoch of 5, with its loss; `None` if it is skipped.
    fn step(step: usize, loss: Option<f64>, images: usize) -> Progress {
        let batch = Score { loss: loss.unwrap_or(f64::NAN), accuracy: 0.5, images };
        let score = Score::default();
        Progress { epoch: 2, step, steps: 5, lr: 0.1, score, batch, skipped: loss.is_none() }
    }

    #[test]
    fn a_line_has_the_means_over_the_images_of_its_steps() {
        let mut window = Window::new(2);
        assert!(window.take().is_none());
        assert!(!window.add(&step(2, Some(1.0), 4)));
        assert!(window.add(&step(3, Some(4.0), 2)));
        let row = window.take().unwrap();
        assert_eq!((row.step, row.epoch, row.loss, row.accuracy), (8, 1.6, Some(2.0), Some(0.5)));
        assert!(!window.add(&step(4, None, 4)));
        assert!(window.add(&step(5, Some(3.0), 4)));
        let row = window.take().unwrap();
        assert_eq!((row.step, row.epoch, row.loss, row.skipped_steps), (10, 2.0, Some(3.0), 1));
        assert!(!window.add(&step(4, None, 4)));
        let row = window.take().unwrap();
        assert_eq!((row.step, row.loss, row.accuracy), (9, None, None));
        assert!(row.images_per_second > 0.0 && window.take().is_none());
    }
}
