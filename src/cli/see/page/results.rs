//! What the network gets right and wrong.

use super::assemble::Page;
use crate::cli::html::{confusion, list};
use crate::cli::mistakes::{Mistake, TestResults};
use crate::cli::text::grouped;
use serde_json::{Value, json};
use striate::Result;

/// Mistakes shown as images, and the pairs of classes listed.
const SHOWN: usize = 200;
const PAIRS: usize = 5;
/// Images listed with their predictions if their classes are unknown.
const GUESSED: usize = 48;

/// The values for the first section.
pub fn results(page: &Page<'_>) -> Result<Value> {
    let Some(labels) = &page.images.labels else { return Ok(guesses(page)) };
    let network = page.network;
    let mut results = TestResults::new(network.lens.classes());
    for (image, label) in labels.iter().enumerate() {
        let logs: Vec<f32> = page.probabilities_of(image).iter().map(log).collect();
        results.add(image, &logs, *label)?;
    }
    let names: Vec<String> = (0..network.lens.classes()).map(|class| network.class(class)).collect();
    let pair = |mistakes: &Vec<Mistake>| {
        let Mistake { class, predicted, .. } = mistakes[0];
        let words = format!(
            "{} called {}: {} of {}",
            names[class],
            names[predicted],
            mistakes.len(),
            results.evaluation.images_of(class)
        );
        json!({ "class": class, "predicted": predicted, "words": words })
    };
    let mistake = |mistake: &Mistake| {
        let Mistake { image, class, predicted, confidence, true_probability } = *mistake;
        let [seen, missed] = [confidence, true_probability].map(|probability| 100.0 * probability);
        json!({
            "image": image,
            "class": class,
            "predicted": predicted,
            "figure": page.thumbnail(image),
            "words": format!("{} ({missed:.1}\u{a0}%), called {} ({seen:.0}\u{a0}%)", names[class], names[predicted]),
        })
    };
    Ok(json!({
        "finding": finding(&results, &names),
        "matrix": confusion(&names, &results.evaluation),
        "pairs": list(results.confused(PAIRS).iter().map(pair)),
        "mistakes": list(results.worst(SHOWN).iter().map(mistake)),
        "all_mistakes": results.mistakes.len(),
        "guesses": [],
    }))
}

/// Accuracy, the hardest class and the most frequent mistake in words.
fn finding(results: &TestResults, names: &[String]) -> String {
    let evaluation = &results.evaluation;
    let mut text = format!(
        "It recognizes {} of {} images ({:.1} %).",
        grouped(evaluation.correct()),
        grouped(evaluation.images()),
        100.0 * evaluation.top1()
    );
    let recalls = (0..names.len()).filter_map(|class| Some((class, evaluation.recall(class)?)));
    let hardest = recalls.reduce(|worst, next| if next.1 < worst.1 { next } else { worst });
    if let Some((class, recall)) = hardest.filter(|(_, recall)| *recall < 1.0) {
        text += &format!(
            " The hardest class is {}, with {:.0} of {} recognized.",
            names[class],
            recall * evaluation.images_of(class) as f64,
            evaluation.images_of(class)
        );
    }
    if let Some(mistakes) = results.confused(1).first() {
        let Mistake { class, predicted, .. } = mistakes[0];
        let times = if mistakes.len() == 1 { "once".to_owned() } else { format!("{} times", mistakes.len()) };
        text +=
            &format!(" The most frequent mistake: {} is called {} {times}.", names[class], names[predicted]);
    }
    text
}

/// What the network says about images whose classes are unknown.
fn guesses(page: &Page<'_>) -> Value {
    let likeliest = |image: usize| {
        let probabilities = page.probabilities_of(image);
        let class = super::choice::largest(probabilities);
        (class, 100.0 * probabilities[class])
    };
    let all = page.images.len();
    let sure = (0..all).filter(|image| likeliest(*image).1 > 50.0).count();
    let guess = |image: usize| {
        let (class, percent) = likeliest(image);
        json!({
            "image": image,
            "figure": page.thumbnail(image),
            "words": format!("{} ({percent:.0}\u{a0}%)", page.network.class(class)),
        })
    };
    json!({
        "finding": format!(
            "Of {all} images, it gives {sure} a class with more than 50 % probability. Their true classes are not known \
             here; --dataset names a data set with classes."
        ),
        "matrix": null,
        "pairs": [],
        "mistakes": [],
        "all_mistakes": 0,
        "guesses": list((0..all.min(GUESSED)).map(guess)),
    })
}

/// The logarithm of a probability, which has the rank and the softmax of the logit.
pub fn log(probability: &f32) -> f32 {
    probability.max(f32::MIN_POSITIVE).ln()
}
