//! The images that a network gets wrong.

use crate::cli::text;
use std::sync::Arc;
use striate::Result;
use striate::data::{Dataset, Loader, LoaderConfig, Normalization};
use striate::infer::{Evaluation, Predictor, top};

/// A misclassified image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mistake {
    /// Index of the image.
    pub image: usize,
    pub class: usize,
    pub predicted: usize,
    /// Probability of the predicted class, and of the true one.
    pub confidence: f64,
    pub true_probability: f64,
}

/// The results on all test images.
pub struct TestResults {
    pub evaluation: Evaluation,
    /// In the order of the images.
    pub mistakes: Vec<Mistake>,
}

impl TestResults {
    /// The results on no images.
    pub fn new(classes: usize) -> Self {
        Self { evaluation: Evaluation::new(classes), mistakes: Vec::new() }
    }

    pub fn compute(
        predictor: &mut Predictor,
        data: &Arc<Dataset>,
        normalization: &Normalization,
        batch_size: usize,
    ) -> Result<Self> {
        let loader =
            Loader::new(data.clone(), normalization, LoaderConfig { batch_size, ..Default::default() })?;
        let mut results = Self::new(data.classes().len());
        let mut image = 0;
        for batch in loader {
            for (logits, label) in predictor.logits(&batch.images)?.iter().zip(&batch.labels) {
                results.add(image, logits, *label as usize)?;
                image += 1;
            }
        }
        Ok(results)
    }

    /// Adds the logits, or logarithms of probabilities, of an image.
    pub fn add(&mut self, image: usize, logits: &[f32], class: usize) -> Result<()> {
        self.evaluation.add(logits, class)?;
        let ranked = top(logits, logits.len());
        if ranked[0].class != class {
            let true_probability =
                ranked.iter().find(|guess| guess.class == class).expect("every class is ranked");
            let (predicted, confidence, true_probability) =
                (ranked[0].class, ranked[0].probability, true_probability.probability);
            self.mistakes.push(Mistake { image, class, predicted, confidence, true_probability });
        }
        Ok(())
    }

    /// The mistakes with the lowest probability of the true class, the worst first.
    pub fn worst(&self, count: usize) -> Vec<Mistake> {
        let mut worst = self.mistakes.clone();
        worst.sort_by(|a, b| a.true_probability.total_cmp(&b.true_probability));
        worst.truncate(count);
        worst
    }

    /// The pairs of true and predicted class with the most mistakes, each with its mistakes in decreasing confidence.
    pub fn confused(&self, pairs: usize) -> Vec<Vec<Mistake>> {
        let mut by_pair: std::collections::BTreeMap<(usize, usize), Vec<Mistake>> = Default::default();
        for mistake in &self.mistakes {
            by_pair.entry((mistake.class, mistake.predicted)).or_default().push(*mistake);
        }
        let mut confused: Vec<Vec<Mistake>> = by_pair.into_values().collect();
        // A stable sort: pairs with equal counts stay in the order of their true class.
        confused.sort_by_key(|mistakes| std::cmp::Reverse(mistakes.len()));
        confused.truncate(pairs);
        confused
            .iter_mut()
            .for_each(|mistakes| mistakes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence)));
        confused
    }

    /// The pairs with the most mistakes in words; `None` if there are no mistakes.
    pub fn confused_most(&self, names: &[String], pairs: usize) -> Option<String> {
        let words = |mistakes: &Vec<Mistake>| {
            let Mistake { class, predicted, .. } = mistakes[0];
            let (count, all) = (mistakes.len(), self.evaluation.images_of(class));
            format!(
                "{count} of {all} {} taken for {}",
                text::name(&names[class]),
                text::name(&names[predicted])
            )
        };
        let confused: Vec<String> = self.confused(pairs).iter().map(words).collect();
        (!confused.is_empty()).then(|| confused.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose softmax is these probabilities.
    fn logits(probabilities: [f32; 3]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn mistakes_are_counted_by_pair_and_ranked() {
        let mut results = TestResults::new(3);
        let predictions = [
            ([0.8, 0.1, 0.1], 0),
            ([0.5, 0.3, 0.2], 1),
            ([0.7, 0.1, 0.2], 1),
            ([0.15, 0.25, 0.6], 0),
            ([0.05, 0.9, 0.05], 2),
        ];
        for (image, (probabilities, class)) in predictions.into_iter().enumerate() {
            results.add(image, &logits(probabilities), class).unwrap();
        }
        let images = |mistakes: &[Mistake]| mistakes.iter().map(|m| m.image).collect::<Vec<_>>();
        assert_eq!(results.evaluation.correct(), 1);
        assert_eq!(images(&results.worst(2)), [4, 2]);
        let confused = results.confused(2);
        assert_eq!(
            (images(&confused[0]), (confused[0][0].class, confused[0][0].predicted)),
            (vec![2, 1], (1, 0))
        );
        assert_eq!(images(&confused[1]), [3]);
        assert!(
            (confused[0][0].confidence - 0.7).abs() < 1e-6
                && (confused[0][0].true_probability - 0.1).abs() < 1e-6
        );
    }
}
