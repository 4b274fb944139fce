//! Accuracy of a network on a labeled data set.

use super::log_sum_exp;
use crate::{Error, Result};

/// Statistics of a network's predictions for labeled images.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Number of images by true class, then by predicted class.
    pub confusion: Vec<Vec<u64>>,
    /// Images whose class is among the top five.
    in_top5: u64,
    /// Sum of the losses.
    loss: f64,
}

impl Evaluation {
    /// An evaluation of no images.
    pub fn new(classes: usize) -> Self {
        Self { confusion: vec![vec![0; classes]; classes], in_top5: 0, loss: 0.0 }
    }

    /// Adds the logits of an image of class `label`. Of equal logits, the smaller class ranks first, as in
    /// [`TopK`](crate::op::TopK).
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the number of logits is not that of the classes, a logit is NaN, or `label` is out of range.
    pub fn add(&mut self, logits: &[f32], label: usize) -> Result<()> {
        let classes = self.confusion.len();
        if logits.len() != classes {
            let problem = format!("expected {classes}, one per class, found {}", logits.len());
            return Err(Error::argument("logits", problem));
        }
        if let Some(class) = logits.iter().position(|logit| logit.is_nan()) {
            let problem =
                format!("that of class {class} is NaN; check that the weights and images suit the network");
            return Err(Error::argument("logits", problem));
        }
        if label >= classes {
            return Err(Error::argument("label", format!("{label} is out of range for {classes} classes")));
        }
        let own = logits[label];
        let before = |(class, logit): &(usize, &f32)| **logit > own || (**logit == own && *class < label);
        let rank = logits.iter().enumerate().filter(before).count();
        let largest = |best: usize, class: usize| if logits[class] > logits[best] { class } else { best };
        self.confusion[label][(0..logits.len()).fold(0, largest)] += 1;
        self.in_top5 += u64::from(rank < 5);
        self.loss += log_sum_exp(logits) - f64::from(own);
        Ok(())
    }

    /// Number of images.
    pub fn images(&self) -> u64 {
        self.confusion.iter().flatten().sum()
    }

    /// Mean cross-entropy.
    pub fn loss(&self) -> f64 {
        self.loss / self.images() as f64
    }

    /// Number of images classified correctly.
    pub fn correct(&self) -> u64 {
        (0..self.confusion.len()).map(|class| self.confusion[class][class]).sum()
    }

    /// Top-1 accuracy, from 0 to 1.
    pub fn top1(&self) -> f64 {
        self.correct() as f64 / self.images() as f64
    }

    /// Top-5 accuracy, from 0 to 1.
    pub fn top5(&self) -> f64 {
        self.in_top5 as f64 / self.images() as f64
    }

    /// Number of images of a class.
    pub fn images_of(&self, class: usize) -> u64 {
        self.confusion[class].iter().sum()
    }

    /// Fraction of a class's images that were predicted to be of it; `None` without images.
    pub fn recall(&self, class: usize) -> Option<f64> {
        fraction(self.confusion[class][class], self.images_of(class))
    }

    /// Fraction of the predictions of a class that are correct; `None` without predictions.
    pub fn precision(&self, class: usize) -> Option<f64> {
        fraction(self.confusion[class][class], self.confusion.iter().map(|row| row[class]).sum())
    }

    /// The class that images of a class are most often mistaken for, and how often; `None` if they never are.
    pub fn mistaken_for(&self, class: usize) -> Option<(usize, u64)> {
        let others =
            self.confusion[class].iter().copied().enumerate().filter(|(other, n)| *other != class && *n > 0);
        others.reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}

fn fraction(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
