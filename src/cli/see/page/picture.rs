//! One image, followed through the network.

use super::agreement;
use super::assemble::{Page, groups};
use super::results::log;
use super::{PageView, PageViews, units};
use crate::cli::html::{EmbeddedImage, list};
use crate::cli::see::view::{Figure, Subject};
use serde_json::{Value, json};
use striate::infer::{Prediction, top};

/// Predictions listed per image.
const GUESSES: usize = 5;

/// How to read each map that explains an answer.
const METHODS: [(&str, &str); 7] = [
    (
        "Occlusion",
        "covers a part with a gray patch and asks the network again. It is coarse, but measures just what it shows, so begin \
         with it. Beware of empty parts: on a uniform background the patch is an object of its own, so a bright cell there \
         means that adding something changes the answer; with --fill border, the command below does not add any.",
    ),
    (
        "Grad-CAM",
        "shows where the last layer supports the class. It is coarse, too, and good at where; compare it with occlusion.",
    ),
    (
        "Relevance",
        "divides the score of the class before the softmax, its logit, among the pixels, orange for the class, blue against \
         it. A label such as 7.5 of 9.1 is the sum of all pixels and the logit; the biases of the network have the rest. \
         Prefer it for details, and to see which channels are involved.",
    ),
    (
        "Integrated gradients",
        "divide the difference to the score of a uniform image among the pixels. Read them as relevance; they are noisier.",
    ),
    (
        "The gradient",
        "shows which pixels would change the score if they changed a little, not which ones it comes from. It is noisy: a \
         single bright pixel means nothing.",
    ),
    (
        "SmoothGrad",
        "is the mean of the gradients of noisy copies of the image. Prefer it to the gradient alone.",
    ),
    (
        "Guided backpropagation",
        "draws sharp edges, but nearly the same ones whatever the class: it shows what the network sees, not why it answers.",
    ),
];

/// Names of the methods, and how to read them.
pub fn methods() -> Value {
    list(METHODS.iter().map(|(name, how)| json!({ "name": name, "how": how })))
}

/// The views of single images.
pub fn views(views: &PageViews) -> impl Iterator<Item = &PageView> {
    let of_all = [&views.activations, &views.occlusion, &views.saliency, &views.relevance];
    of_all.into_iter().chain(&views.nearest_neighbors)
}

/// The values for the panel of an image.
pub fn panel(page: &Page<'_>, index: usize) -> Value {
    let (network, images) = (page.network, page.images);
    let of = |view: &PageView| groups(images, &figures(view, index));
    let reasons = [&page.views.occlusion, &page.views.saliency, &page.views.relevance];
    let [_, height, width] = network.lens.image_shape();
    let explained: Vec<&Figure> = reasons.iter().flat_map(|view| figures(view, index)).collect();
    let titled = network.titled(images, index);
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
        "title": titled,
        "finding": finding(page, &guesses[0], label),
        "thumb": EmbeddedImage::new(&photo, "", titled.as_str()),
        "photo": EmbeddedImage::new(&photo, "", format!("The image: {titled}")),
        "name": caption,
        "guesses": list(guesses.iter().map(guess)),
        "path": of(&page.views.activations),
        "units": list(units::unusual(page, index).iter().map(|unusual| unusual.link())),
        "agreement": agreement::sentence(&explained, [height, width]),
        "reasons": list(reasons.into_iter().map(of)),
        "similar": page.views.nearest_neighbors.as_ref().map(of),
    })
}

/// The figures of a view that show an image.
fn figures(view: &PageView, image: usize) -> Vec<&Figure> {
    view.output.figures.iter().filter(|figure| figure.subject == Subject::Image(image)).collect()
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
