//! `metrics.csv`: a line per epoch.

use super::steps::{STEPS, StepRow};
use super::table::{self, TableRow};
use serde::{Deserialize, Serialize};
use std::path::Path;
use striate::Result;
use striate::train::{EpochReport, Position};

/// Its name within the run folder.
pub const METRICS: &str = "metrics.csv";

/// A line of `metrics.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub epoch: usize,
    pub lr: f32,
    pub train_loss: f64,
    pub train_accuracy: f64,
    /// `None` without validation images, or if training stopped within the epoch.
    #[serde(default)]
    pub validation_loss: Option<f64>,
    #[serde(default)]
    pub validation_accuracy: Option<f64>,
    /// `None` if training stopped within the epoch. With validation images, only the best epoch has it, after training.
    pub test_loss: Option<f64>,
    pub test_accuracy: Option<f64>,
    pub train_seconds: f64,
    pub test_seconds: f64,
    #[serde(rename = "pictures_per_second")]
    pub images_per_second: f64,
    /// Earlier versions skipped none.
    #[serde(default)]
    pub skipped_steps: usize,
}

impl Row {
    pub fn new(report: &EpochReport) -> Self {
        let train_seconds = report.train_time.as_secs_f64();
        Self {
            epoch: report.epoch,
            lr: report.lr,
            train_loss: report.train.loss,
            train_accuracy: report.train.accuracy,
            validation_loss: report.validation.map(|s| s.loss),
            validation_accuracy: report.validation.map(|s| s.accuracy),
            test_loss: report.test.map(|s| s.loss),
            test_accuracy: report.test.map(|s| s.accuracy),
            train_seconds,
            test_seconds: report.test_time.as_secs_f64(),
            images_per_second: report.train.images as f64 / train_seconds.max(1e-9),
            skipped_steps: report.skipped,
        }
    }

    /// Loss and accuracy on the validation images, or else on the test images; `None` if training stopped within the epoch.
    pub fn held_out(&self) -> Option<(f64, f64)> {
        let score = |loss: Option<f64>, accuracy: Option<f64>| loss.zip(accuracy);
        score(self.validation_loss, self.validation_accuracy).or(score(self.test_loss, self.test_accuracy))
    }
}

impl TableRow for Row {
    const UNIT: &str = "epoch";

    fn number(&self) -> usize {
        self.epoch
    }

    fn is_valid(&self) -> bool {
        let losses = [Some(self.train_loss), self.validation_loss, self.test_loss].into_iter().flatten();
        let accuracies = [Some(self.train_accuracy), self.validation_accuracy, self.test_accuracy];
        let mut accuracies = accuracies.into_iter().flatten();
        let times = [self.train_seconds, self.test_seconds, self.images_per_second];
        let mut numbers = losses.chain(times).chain([f64::from(self.lr)]);
        numbers.all(|n| n.abs() < 1e100) && accuracies.all(|share| (0.0..=1.0).contains(&share))
    }
}

/// The metrics of a run: of its epochs, and of its steps.
#[derive(Default)]
pub struct Metrics {
    pub rows: Vec<Row>,
    pub steps: Vec<StepRow>,
}

impl Metrics {
    /// Reads the tables of a run folder; a missing one is empty.
    pub fn read(run: &Path) -> Result<Self> {
        Ok(Self { rows: table::read(&run.join(METRICS))?, steps: table::read(&run.join(STEPS))? })
    }

    /// Drops what is later than a position.
    pub fn rewind(&mut self, to: &Position) {
        self.rows.retain(|row| row.epoch <= to.epoch);
        self.steps.retain(|row| row.step <= to.step);
    }

    /// What the held-out images are: `validation` or `test`.
    pub fn held_out(&self) -> &'static str {
        if self.rows.iter().any(|row| row.validation_loss.is_some()) { "validation" } else { "test" }
    }

    /// The epoch with the best accuracy on held-out images; of equal ones, that with the smallest loss.
    pub fn best(&self) -> Option<&Row> {
        let rank = |row: &Row| row.held_out().map(|(loss, accuracy)| (accuracy, -loss));
        let better = |best: &Row, row: &Row| rank(row) > rank(best);
        self.rows
            .iter()
            .filter(|row| rank(row).is_some())
            .reduce(|best, row| if better(best, row) { row } else { best })
    }

    /// The best accuracy on held-out images, and the number of epochs since it was reached.
    pub fn stale(&self) -> Option<(f64, usize)> {
        let tested = || self.rows.iter().filter_map(|row| row.held_out()).map(|(_, accuracy)| accuracy);
        let best = tested().fold(None, |best: Option<f64>, a| Some(best.map_or(a, |b| b.max(a))))?;
        let at = tested().position(|accuracy| accuracy == best)?;
        Some((best, tested().count() - 1 - at))
    }
}
