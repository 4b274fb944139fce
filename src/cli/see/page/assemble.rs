//! Assembles the page from the output of the views.

use super::choice::{FEWEST, largest};
use super::{PageView, PageViews};
use crate::cli::html::{EmbeddedImage, Fact, list, svg_uri};
use crate::cli::see::flags::InspectedNetwork;
use crate::cli::see::view::{Figure, Subject};
use crate::cli::text::grouped;
use serde_json::{Value, json};
use striate::Tensor;
use striate::infer::{Prediction, top};
use striate::interpret::{Images, Layer, Lens, Manifest};

/// Predictions listed per image.
const GUESSES: usize = 5;

/// The values for the template. `probabilities` holds the class probabilities of all images.
pub fn page(
    network: &InspectedNetwork,
    images: &Images,
    probabilities: &Tensor,
    views: PageViews,
    layers: &[String],
) -> Value {
    let lens = &network.lens;
    let map = views.tsne.map(|map| {
        // Without classes, the points of the scatter plot have no colors.
        let svg = map.output.svg.as_ref().filter(|_| images.labels.is_some());
        json!({
            "scatter": svg.map(|svg| svg_uri(svg.as_bytes())),
            "mosaic": embed(&map.output.figures[0]),
            "notes": [note(&map)],
        })
    });
    let of_units = [&views.activation_maximization, &views.classes, &views.top_activations];
    let unit_figures: Vec<&Figure> = [&views.activation_maximization, &views.top_activations, &views.classes]
        .iter()
        .flat_map(|view| &view.output.figures)
        .collect();
    let filter_figures = views.filters.iter().flat_map(|view| &view.output.figures);
    // One figure per filter: drawing them by channel would flood the page.
    let filters: Vec<&Figure> = filter_figures.filter(|figure| figure.group == "Filter").collect();
    let all: Vec<&Figure> = filters.iter().copied().chain(unit_figures).collect();
    let of_images = [&views.occlusion, &views.saliency].into_iter().chain(&views.nearest_neighbors);
    let of_images: Vec<&PageView> = of_images.chain([&views.activations]).collect();
    let names = layers.iter().map(String::as_str).chain([Lens::LOGITS]);
    let panel = |index: usize| image_panel(network, images, probabilities, &of_images, index);
    let examples = views.occlusion.output.figures.iter().filter_map(|figure| match figure.subject {
        Subject::Image(index) => Some(index + 1),
        _ => None,
    });
    let layer_row = |layer: &Layer| {
        let [output, field, stride] = layer_sizes(lens, &layer.name)?;
        Some(json!({ "name": layer.name, "output": output, "field": field, "stride": stride }))
    };
    json!({
        "title": format!("What {} learned", lens.model()),
        "lead": format!("Activations, filters, saliency and more, computed from {} images.", images.len()),
        "facts": facts(network, images, probabilities),
        "layers": list(names.map(|name| layer_panel(network, name, &all))),
        "unit_notes": of_units.map(note),
        "images": list((0..examples.max().unwrap_or(0)).map(panel)),
        "image_notes": list(of_images.iter().map(|view| note(view))),
        "map_missing": format!("t-SNE needs at least {FEWEST} images; there are {}.", images.len()),
        "map": map,
        "fields": {
            "figures": list(views.receptive_fields.output.figures.iter().map(embed)),
            "notes": [note(&views.receptive_fields)],
        },
        "all_layers": list(lens.layers().iter().filter_map(layer_row)),
        "filters": {
            "figures": list(filters.into_iter().map(embed)),
            "notes": list(views.filters.iter().map(note)),
        },
    })
}

fn facts(network: &InspectedNetwork, images: &Images, probabilities: &Tensor) -> Vec<Fact> {
    let lens = &network.lens;
    let classes = lens.classes();
    let right = images.labels.as_ref().map(|labels| {
        let guesses = probabilities.as_f32().chunks_exact(classes).map(largest);
        let right = guesses.zip(labels).filter(|(guess, label)| guess == *label).count();
        format!("{:.1} % of these images", 100.0 * right as f64 / labels.len() as f64)
    });
    let [channels, height, width] = lens.image_shape();
    let mut facts = vec![
        Fact::new("Model", lens.model().to_owned()),
        Fact::new("Weights", network.weights.clone()),
        Fact::new("Parameters", grouped(lens.parameters() as u64)),
        Fact::new("Input", format!("{channels} x {height} x {width}, {classes} classes")),
        Fact::new("Images", format!("{} {}", grouped(images.len() as u64), network.data)),
    ];
    facts.extend(right.map(|right| Fact::new("Accuracy", right)));
    facts.push(Fact::new("Device", lens.device().describe()));
    facts
}

fn layer_panel(network: &InspectedNetwork, name: &str, figures: &[&Figure]) -> Value {
    let mut units: Vec<usize> = Vec::new();
    let of_layer = |figure: &&&Figure| matches!(&figure.subject, Subject::Unit(other, _) if other == name);
    for figure in figures.iter().filter(of_layer).filter(|figure| figure.group != "Filter") {
        if let Subject::Unit(_, unit) = figure.subject
            && !units.contains(&unit)
        {
            units.push(unit);
        }
    }
    let id = identifier("unit", name);
    let unit = |index: usize| {
        let own: Vec<&Figure> =
            figures.iter().filter(|p| p.subject == Subject::Unit(name.to_owned(), index)).copied().collect();
        let caption = match name == Lens::LOGITS {
            true => network.class(index),
            false => format!("channel {index}"),
        };
        // Patches of real images say more than a synthetic one.
        let best = own.iter().find(|figure| figure.group == "Top patches").or(own.first());
        json!({
            "id": format!("{id}-{index}"),
            "thumb": best.map(|figure| EmbeddedImage::new(&figure.image, "", format!("{name}, {caption}"))),
            "name": caption,
            "groups": groups(&own),
        })
    };
    let (shown, about) = match layer_sizes(&network.lens, name) {
        Some([output, field, _]) if name != Lens::LOGITS => {
            (name, format!("Output {output}; each unit sees {field} pixels of the image."))
        }
        _ => (
            "classes",
            "The score of each class, before the softmax turns scores into probabilities.".to_owned(),
        ),
    };
    let units = list(units.into_iter().map(unit));
    json!({ "id": id, "name": shown, "about": about, "thumb": null, "units": units })
}

fn image_panel(
    network: &InspectedNetwork,
    images: &Images,
    probabilities: &Tensor,
    views: &[&PageView],
    index: usize,
) -> Value {
    let figures = views.iter().flat_map(|view| &view.output.figures);
    let own: Vec<&Figure> = figures.filter(|figure| figure.subject == Subject::Image(index)).collect();
    let photo = network.photo(images, index);
    let caption = network.called(images, index);
    let classes = network.lens.classes();
    let logs: Vec<f32> = probabilities.as_f32()[index * classes..][..classes]
        .iter()
        .map(|p| p.max(f32::MIN_POSITIVE).ln())
        .collect();
    let guess = |guess: Prediction| {
        json!({
            "name": network.class(guess.class),
            "percent": format!("{:.1}", 100.0 * guess.probability),
            "right": images.labels.as_ref().is_some_and(|labels| labels[index] == guess.class),
        })
    };
    json!({
        "id": format!("image-{index}"),
        "title": format!("{caption} ({})", images.names[index]),
        "thumb": EmbeddedImage::new(&photo, "", format!("image {index}: {caption}")),
        "photo": EmbeddedImage::new(&photo, "", format!("The image: {caption}")),
        "name": caption,
        "guesses": list(top(&logs, GUESSES).into_iter().map(guess)),
        "groups": groups(&own),
    })
}

/// Collects figures by group, in order of first appearance.
fn groups(figures: &[&Figure]) -> Value {
    let mut headings: Vec<&str> = Vec::new();
    for figure in figures {
        if !headings.contains(&figure.group) {
            headings.push(figure.group);
        }
    }
    let figures =
        |heading| list(figures.iter().filter(|figure| figure.group == heading).map(|figure| embed(figure)));
    list(headings.into_iter().map(|heading| json!({ "heading": heading, "figures": figures(heading) })))
}

fn embed(figure: &Figure) -> Value {
    let of = match &figure.subject {
        Subject::Network => String::new(),
        Subject::Image(index) => format!(" of image {index}"),
        Subject::Unit(layer, unit) => format!(" of {layer}, channel {unit}"),
    };
    let alt = format!("{}{of}: {}", figure.group, figure.label);
    json!(EmbeddedImage::new(&figure.image, figure.label.as_str(), alt))
}

/// Explains how a view was made.
fn note(view: &PageView) -> Value {
    let Manifest { title, caption, .. } = &view.output.manifest;
    json!({ "title": title, "caption": caption, "command": view.command })
}

/// Output, receptive field and stride of a layer; `None` if it does not depend on the images.
fn layer_sizes(lens: &Lens, name: &str) -> Option<[String; 3]> {
    let layer = lens.layer(name).ok()?;
    let [vertical, horizontal] = lens.receptive_field(name).ok()?;
    let sides: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
    let field = format!("{} x {}", vertical.size, horizontal.size);
    Some([sides.join(" x "), field, vertical.stride.to_string()])
}

/// Turns a name into an HTML id.
fn identifier(kind: &str, name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{kind}-{}", plain.collect::<String>())
}
