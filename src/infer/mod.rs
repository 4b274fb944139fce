//! Inference: classifying images, and evaluating a network on a data set.
//!
//! A [`Predictor`] runs a network; its page has an example. [`top`] ranks the classes of an image, an [`Evaluation`] counts
//! correct ones, and a [`Card`] tells which network and preprocessing a file of weights is for.

mod card;
mod evaluation;
mod predictor;

use std::cmp::Ordering;

pub use card::{Card, class_count, class_tensors, last_layer, usual_preprocessing};
pub use evaluation::Evaluation;
pub use predictor::{Predictor, features, inference_graph};

/// A class predicted for an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Index of the class.
    pub class: usize,
    /// Its logit.
    pub logit: f32,
    /// Its probability, from 0 to 1: the softmax of the logits.
    pub probability: f64,
}

/// The `k` most likely classes, or all if there are fewer. Of equal logits, the smaller class ranks first; NaN ranks before all
/// others.
///
/// ```
/// let predictions = striate::infer::top(&[0.0, 2f32.ln(), 0.0], 2);
/// assert_eq!((predictions[0].class, predictions[1].class), (1, 0));
/// assert!((predictions[0].probability - 0.5).abs() < 1e-6);
/// ```
pub fn top(logits: &[f32], k: usize) -> Vec<Prediction> {
    let scale = log_sum_exp(logits);
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    // The sort is stable.
    classes.sort_by(|a, b| likelier_first(logits[*a], logits[*b]));
    classes.truncate(k);
    let prediction = |class: usize| {
        let logit = logits[class];
        Prediction { class, logit, probability: (f64::from(logit) - scale).exp() }
    };
    classes.into_iter().map(prediction).collect()
}

/// The order of [`TopK`](crate::op::TopK).
fn likelier_first(a: f32, b: f32) -> Ordering {
    let nan_first = b.is_nan().cmp(&a.is_nan());
    nan_first.then(b.partial_cmp(&a).unwrap_or(Ordering::Equal))
}

/// log of the sum of exp(logit), safe for logits of any size.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    largest + logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::top;

    #[test]
    fn zeros_of_both_signs_are_equal_and_any_nan_comes_first() {
        let ranked = |logits: &[f32]| top(logits, 4).iter().map(|guess| guess.class).collect::<Vec<_>>();
        assert_eq!(ranked(&[-0.0, 0.0, -0.0, 1.0]), [3, 0, 1, 2]);
        assert_eq!(ranked(&[1.0, f32::NAN, f32::INFINITY, -f32::NAN]), [1, 3, 2, 0]);
    }
}
