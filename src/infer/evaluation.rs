//! How good a network is.

use super::log_sum_exp;
use crate::{Error, Result};

/// What came of a network's answers to images whose classes are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// By class, by class that it was taken for: how many images.
    pub confusion: Vec<Vec<u64>>,
    /// Images whose class is among the five likeliest.
    in_top5: u64,
    /// Sum of all losses.
    loss: f64,
}

impl Evaluation {
    /// Of no images yet.
    pub fn new(classes: usize) -> Self {
        Self { confusion: vec![vec![0; classes]; classes], in_top5: 0, loss: 0.0 }
    }

    /// Adds an answer; `label` is the image's class. Of equal logits the smaller class ranks first, as in
    /// [`TopK`](crate::op::TopK).
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there are not as many logits as classes, one is NaN, or `label` is none of them.
    pub fn add(&mut self, logits: &[f32], label: usize) -> Result<()> {
        let classes = self.confusion.len();
        if logits.len() != classes {
            let problem = format!("expected one for each of {classes} classes, found {}", logits.len());
            return Err(Error::argument("logits", problem));
        }
        if let Some(class) = logits.iter().position(|logit| logit.is_nan()) {
            let problem =
                format!("that of class {class} is not a number; these weights or images do not suit");
            return Err(Error::argument("logits", problem));
        }
        if label >= classes {
            return Err(Error::argument("label", format!("{label} is none of {classes} classes")));
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

    /// How many images were added.
    pub fn images(&self) -> u64 {
        self.confusion.iter().flatten().sum()
    }

    /// Mean cross-entropy.
    pub fn loss(&self) -> f64 {
        self.loss / self.images() as f64
    }

    /// How many images were classified right.
    pub fn right(&self) -> u64 {
        (0..self.confusion.len()).map(|class| self.confusion[class][class]).sum()
    }

    /// Share of images classified right, from 0 to 1.
    pub fn top1(&self) -> f64 {
        self.right() as f64 / self.images() as f64
    }

    /// Share of images whose class is among the five likeliest, from 0 to 1.
    pub fn top5(&self) -> f64 {
        self.in_top5 as f64 / self.images() as f64
    }

    /// How many images a class has.
    pub fn images_of(&self, class: usize) -> u64 {
        self.confusion[class].iter().sum()
    }

    /// Of a class's images, the share taken for it; `None` without images.
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.confusion[class][class], self.images_of(class))
    }

    /// Of the images taken for a class, the share that are of it; `None` without such.
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.confusion[class][class], self.confusion.iter().map(|row| row[class]).sum())
    }

    /// The class that a class is most often mistaken for, and how often; `None` if it never is.
    pub fn mistaken_for(&self, class: usize) -> Option<(usize, u64)> {
        let others =
            self.confusion[class].iter().copied().enumerate().filter(|(other, n)| *other != class && *n > 0);
        others.reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
