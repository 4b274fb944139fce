//! One image, followed through the network.

use super::assemble::{Page, groups};
use super::results::log;
use super::{PageView, PageViews};
use crate::cli::html::{EmbeddedImage, list};
use crate::cli::see::view::{Figure, Subject};
use serde_json::{Value, json};
use striate::infer::{Prediction, top};

/// Predictions listed per image.
const GUESSES: usize = 5;

/// The views of single images.
pub fn views(views: &PageViews) -> impl Iterator<Item = &PageView> {
    let of_all = [&views.activations, &views.occlusion, &views.saliency, &views.relevance];
    of_all.into_iter().chain(&views.nearest_neighbors)
}

/// The values for the panel of an image.
pub fn panel(page: &Page<'_>, index: usize) -> Value {
    let (network, images) = (page.network, page.images);
    let of = |view: &PageView| {
        let own: Vec<&Figure> =
            view.output.figures.iter().filter(|figure| figure.subject == Subject::Image(index)).collect();
        groups(&own)
    };
    let caption = network.called(images, index);
    let logs: Vec<f32> = page.probabilities_of(index).iter().map(log).collect();
    let guesses = top(&logs, GUESSES);
    let label = images.labels.as_ref().map(|labels| labels[index]);
    let guess = |guess: &Prediction| {
        json!({
            "name": network.class(guess.class),
            "percent": format!("{:.1}", 100.0 * guess.probability),
            "right": label == Some(guess.class),
        })
    };
    let photo = network.photo(images, index);
    json!({
        "id": format!("image-{index}"),
        "image": index,
        "title": format!("{caption} ({})", images.names[index]),
        "finding": finding(page, &guesses[0], label),
        "thumb": EmbeddedImage::new(&photo, "", format!("image {index}: {caption}")),
        "photo": EmbeddedImage::new(&photo, "", format!("The image: {caption}")),
        "name": caption,
        "guesses": list(guesses.iter().map(guess)),
        "path": of(&page.views.activations),
        "reasons": [of(&page.views.occlusion), of(&page.views.saliency), of(&page.views.relevance)],
        "similar": page.views.nearest_neighbors.as_ref().map(of),
    })
}

fn finding(page: &Page<'_>, guess: &Prediction, label: Option<usize>) -> String {
    let verdict = match label {
        Some(label) if label == guess.class => ", which is right".to_owned(),
        Some(label) => format!(", but it is {}", page.network.class(label)),
        None => String::new(),
    };
    let (name, percent) = (page.network.class(guess.class), 100.0 * guess.probability);
    format!("The network says {name}, with {percent:.1} %{verdict}.")
}
