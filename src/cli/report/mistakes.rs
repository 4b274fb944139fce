//! Which images a network gets wrong.

use std::sync::Arc;
use striate::Result;
use striate::data::{Dataset, Loader, LoaderConfig, Normalization};
use striate::infer::{Evaluation, Predictor, top};

/// An image that was taken for something else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mistake {
    /// Its number.
    pub image: usize,
    pub class: usize,
    pub taken_for: usize,
    /// How likely that seemed, and how likely its own class, from 0 to 1.
    pub sure: f64,
    pub own: f64,
}

/// What a network says of all test images.
pub struct Answers {
    pub evaluation: Evaluation,
    /// In the order of the images.
    pub mistakes: Vec<Mistake>,
}

impl Answers {
    pub fn ask(
        predictor: &mut Predictor,
        data: &Arc<Dataset>,
        normalization: &Normalization,
        batch_size: usize,
    ) -> Result<Self> {
        let loader =
            Loader::new(data.clone(), normalization, LoaderConfig { batch_size, ..Default::default() })?;
        let mut answers = Self { evaluation: Evaluation::new(data.classes().len()), mistakes: Vec::new() };
        let mut image = 0;
        for batch in loader {
            for (logits, label) in predictor.logits(&batch.images)?.iter().zip(&batch.labels) {
                answers.add(image, logits, *label as usize)?;
                image += 1;
            }
        }
        Ok(answers)
    }

    fn add(&mut self, image: usize, logits: &[f32], class: usize) -> Result<()> {
        self.evaluation.add(logits, class)?;
        let ranked = top(logits, logits.len());
        if ranked[0].class != class {
            let own = ranked.iter().find(|guess| guess.class == class).expect("every class is ranked");
            let (taken_for, sure, own) = (ranked[0].class, ranked[0].probability, own.probability);
            self.mistakes.push(Mistake { image, class, taken_for, sure, own });
        }
        Ok(())
    }

    /// The mistakes whose own class seemed the least likely, the worst first.
    pub fn worst(&self, count: usize) -> Vec<Mistake> {
        let mut worst = self.mistakes.clone();
        worst.sort_by(|a, b| a.own.total_cmp(&b.own));
        worst.truncate(count);
        worst
    }

    /// The pairs of a class and what it is taken for that happen most often, with their mistakes, the surest first.
    pub fn confused(&self, pairs: usize) -> Vec<Vec<Mistake>> {
        let mut by_pair: std::collections::BTreeMap<(usize, usize), Vec<Mistake>> = Default::default();
        for mistake in &self.mistakes {
            by_pair.entry((mistake.class, mistake.taken_for)).or_default().push(*mistake);
        }
        let mut confused: Vec<Vec<Mistake>> = by_pair.into_values().collect();
        // The sort is stable: of pairs that are equally frequent, the first class comes first.
        confused.sort_by_key(|mistakes| std::cmp::Reverse(mistakes.len()));
        confused.truncate(pairs);
        confused.iter_mut().for_each(|mistakes| mistakes.sort_by(|a, b| b.sure.total_cmp(&a.sure)));
        confused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits that give classes these probabilities.
    fn logits(probabilities: [f32; 3]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn mistakes_are_counted_by_pair_and_ranked() {
        let mut answers = Answers { evaluation: Evaluation::new(3), mistakes: Vec::new() };
        let asked = [
            ([0.8, 0.1, 0.1], 0),
            ([0.5, 0.3, 0.2], 1),
            ([0.7, 0.1, 0.2], 1),
            ([0.15, 0.25, 0.6], 0),
            ([0.05, 0.9, 0.05], 2),
        ];
        for (image, (probabilities, class)) in asked.into_iter().enumerate() {
            answers.add(image, &logits(probabilities), class).unwrap();
        }
        let images = |mistakes: &[Mistake]| mistakes.iter().map(|m| m.image).collect::<Vec<_>>();
        assert_eq!(answers.evaluation.right(), 1);
        assert_eq!(images(&answers.worst(2)), [4, 2]);
        let confused = answers.confused(2);
        assert_eq!(
            (images(&confused[0]), (confused[0][0].class, confused[0][0].taken_for)),
            (vec![2, 1], (1, 0))
        );
        assert_eq!(images(&confused[1]), [3]);
        assert!((confused[0][0].sure - 0.7).abs() < 1e-6 && (confused[0][0].own - 0.1).abs() < 1e-6);
    }
}
