//! What the interface shows.

use super::gallery::Look;
use crate::cli::train::metrics::{Metrics, Row};
use std::time::Duration;
use striate::train::{EpochReport, Progress};

/// Everything that is known about the run so far.
#[derive(Default)]
pub struct State {
    /// The network and its data.
    pub title: String,
    /// What the held-out images are.
    pub held_out: &'static str,
    /// Bytes on the device.
    pub memory: u64,
    pub epochs: usize,
    pub now: Option<Now>,
    /// Training loss of the steps, and accuracy in percent, by epoch.
    pub loss: Curve,
    pub accuracy: Curve,
    pub metrics: Metrics,
    pub look: Look,
    /// The step of the latest checkpoint.
    pub checkpoint: Option<usize>,
}

/// The latest step.
pub struct Now {
    pub progress: Progress,
    pub images_per_second: f64,
    pub left: Duration,
}

impl State {
    /// Continues the curves of the epochs before a resumed run.
    pub fn continue_from(&mut self, rows: &[Row]) {
        for row in rows {
            // Their means belong to the middle of the epoch.
            let middle = row.epoch as f64 - 0.5;
            self.loss.add(middle, row.train_loss);
            self.accuracy.add(middle, 100.0 * row.train_accuracy);
        }
        self.metrics.rows = rows.to_vec();
    }

    pub fn step(&mut self, now: Now) {
        let Progress { epoch, step, steps, batch, .. } = now.progress;
        let at = (epoch - 1) as f64 + step as f64 / steps as f64;
        self.loss.add(at, batch.loss);
        self.accuracy.add(at, 100.0 * batch.accuracy);
        self.now = Some(now);
    }

    pub fn epoch(&mut self, report: &EpochReport) {
        self.metrics.rows.push(Row::new(report));
    }

    /// The fraction of the whole run that is done.
    pub fn done(&self) -> f64 {
        let Some(Now { progress: p, .. }) = &self.now else { return 0.0 };
        ((p.epoch - 1) as f64 + p.step as f64 / p.steps as f64) / self.epochs as f64
    }
}

/// A curve of means over equal numbers of steps. As a run gets longer, so do they, and the curve becomes smoother.
#[derive(Default)]
pub struct Curve {
    pub points: Vec<(f64, f64)>,
    /// Points since the last mean, and how many make one.
    rest: Vec<(f64, f64)>,
    doublings: u32,
}

/// Number of points at which neighbors are merged.
const MOST: usize = 128;

impl Curve {
    /// Adds a point; one that is not finite, of a skipped step, is left out.
    pub fn add(&mut self, x: f64, y: f64) {
        if !y.is_finite() {
            return;
        }
        self.rest.push((x, y));
        if self.rest.len() < 1 << self.doublings {
            return;
        }
        self.points.push(mean(&self.rest));
        self.rest.clear();
        if self.points.len() == MOST {
            self.points = self.points.chunks(2).map(mean).collect();
            self.doublings += 1;
        }
    }
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let mean = |each: fn(&(f64, f64)) -> f64| points.iter().map(each).sum::<f64>() / points.len() as f64;
    (mean(|point| point.0), mean(|point| point.1))
}

#[cfg(test)]
mod tests {
    use super::{Curve, MOST};

    #[test]
    fn a_long_curve_stays_short_and_keeps_its_mean() {
        let mut curve = Curve::default();
        let steps = 4 * MOST;
        (0..steps).for_each(|i| curve.add(i as f64, (i % 2) as f64));
        curve.add(steps as f64, f64::NAN);
        assert!((MOST / 2..MOST).contains(&curve.points.len()), "{}", curve.points.len());
        assert!(curve.points.iter().all(|point| point.1 == 0.5), "{:?}", curve.points);
        assert!(curve.points.is_sorted_by(|a, b| a.0 < b.0));
        let middle = curve.points.iter().map(|point| point.0).sum::<f64>() / curve.points.len() as f64;
        assert_eq!(middle, (steps - 1) as f64 / 2.0);
    }
}
