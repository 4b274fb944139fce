//! `metrics.csv`: a line per epoch.

use serde::{Deserialize, Serialize};
use std::path::Path;
use striate::train::EpochReport;
use striate::{Result, read_file};

/// Its name within the run folder.
pub const METRICS: &str = "metrics.csv";

/// Largest table accepted.
const MAX_BYTES: u64 = 1 << 28;

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

    /// Whether a run could have written this; other values might break the plots.
    fn is_valid(&self) -> bool {
        let losses = [Some(self.train_loss), self.validation_loss, self.test_loss].into_iter().flatten();
        let accuracies = [Some(self.train_accuracy), self.validation_accuracy, self.test_accuracy];
        let mut accuracies = accuracies.into_iter().flatten();
        let times = [self.train_seconds, self.test_seconds, self.images_per_second];
        let mut numbers = losses.chain(times).chain([f64::from(self.lr)]);
        numbers.all(|n| n.abs() < 1e100) && accuracies.all(|share| (0.0..=1.0).contains(&share))
    }
}

/// The metrics of a run's epochs.
#[derive(Default)]
pub struct Metrics {
    pub rows: Vec<Row>,
}

impl Metrics {
    /// Reads up to `epochs` epochs from a run folder; none if there is no table.
    pub fn read(run: &Path, epochs: usize) -> Result<Self> {
        let mut rows = read(&run.join(METRICS))?;
        rows.retain(|row| row.epoch <= epochs);
        Ok(Self { rows })
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

    /// The content of the file.
    pub fn csv(&self) -> Vec<u8> {
        let mut table = csv::Writer::from_writer(Vec::new());
        let all = self.rows.iter().try_for_each(|row| table.serialize(row));
        all.expect("numbers serialize, and writing to memory cannot fail");
        table.into_inner().expect("writing to memory cannot fail")
    }
}

/// Reads a table; a missing one is empty. Stops with a warning at the first invalid line.
fn read(path: &Path) -> Result<Vec<Row>> {
    if path.symlink_metadata().is_err() {
        return Ok(Vec::new());
    }
    let bytes = read_file(path, MAX_BYTES)?;
    let mut rows: Vec<Row> = Vec::new();
    for row in csv::Reader::from_reader(&bytes[..]).deserialize::<Row>() {
        let problem = match row {
            Ok(row) if row.is_valid() && row.epoch > rows.last().map_or(0, |last| last.epoch) => {
                rows.push(row);
                continue;
            }
            Ok(row) => format!("epoch {} has invalid values", row.epoch),
            Err(error) => error.to_string(),
        };
        let line = rows.len() + 2;
        log::warn!(
            "{}: line {line} was not written by a run ({problem}); ignoring the table from there on",
            path.display()
        );
        break;
    }
    Ok(rows)
}
