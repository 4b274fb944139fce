//! Assembles the page from the output of the views.

use super::choice::{FEWEST, largest};
use super::{PageView, PageViews};
use crate::cli::html::{EmbeddedImage, Fact, svg_uri};
use crate::cli::see::flags::InspectedNetwork;
use crate::cli::see::view::{Figure, Subject};
use crate::cli::text::grouped;
use serde::Serialize;
use striate::Tensor;
use striate::infer::top;
use striate::interpret::{Images, Lens, Manifest};

/// Predictions listed per image.
const GUESSES: usize = 5;

#[derive(Serialize)]
pub struct Page {
    title: String,
    lead: String,
    facts: Vec<Fact>,
    filters: Section,
    layers: Vec<LayerPanel>,
    unit_notes: Vec<Note>,
    images: Vec<ImagePanel>,
    image_notes: Vec<Note>,
    map: Option<MapSection>,
    map_missing: String,
    fields: Section,
    all_layers: Vec<LayerRow>,
}

#[derive(Serialize)]
struct Section {
    figures: Vec<EmbeddedImage>,
    notes: Vec<Note>,
}

/// Explains how a view was made.
#[derive(Serialize)]
struct Note {
    title: String,
    caption: String,
    command: String,
}

/// Figures shown side by side.
#[derive(Serialize)]
struct Group {
    heading: &'static str,
    figures: Vec<EmbeddedImage>,
}

#[derive(Serialize)]
struct LayerPanel {
    id: String,
    name: String,
    about: String,
    thumb: Option<EmbeddedImage>,
    units: Vec<UnitPanel>,
}

#[derive(Serialize)]
struct UnitPanel {
    id: String,
    name: String,
    thumb: Option<EmbeddedImage>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct ImagePanel {
    id: String,
    name: String,
    title: String,
    thumb: EmbeddedImage,
    photo: EmbeddedImage,
    guesses: Vec<Guess>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Guess {
    name: String,
    percent: String,
    right: bool,
}

#[derive(Serialize)]
struct MapSection {
    /// The scatter plot as a data URI, if points can be colored by class.
    scatter: Option<String>,
    mosaic: EmbeddedImage,
    notes: Vec<Note>,
}

#[derive(Serialize)]
struct LayerRow {
    name: String,
    output: String,
    field: String,
    stride: String,
}

/// Builds the page. `probabilities` holds the class probabilities of all images.
pub fn page(
    network: &InspectedNetwork,
    images: &Images,
    probabilities: &Tensor,
    views: PageViews,
    layers: &[String],
) -> Page {
    let lens = &network.lens;
    let map = views.tsne.map(|map| MapSection {
        scatter: map
            .output
            .svg
            .as_ref()
            .filter(|_| images.labels.is_some())
            .map(|svg| svg_uri(svg.as_bytes())),
        mosaic: embed(&map.output.figures[0]),
        notes: vec![note(&map)],
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
    Page {
        title: format!("What {} learned", lens.model()),
        lead: format!("Activations, filters, saliency and more, computed from {} images.", images.len()),
        facts: facts(network, images, probabilities),
        layers: names.map(|name| layer_panel(network, name, &all)).collect(),
        unit_notes: of_units.map(note).into(),
        images: (0..examples.max().unwrap_or(0)).map(panel).collect(),
        image_notes: of_images.iter().map(|view| note(view)).collect(),
        map_missing: format!("t-SNE needs at least {FEWEST} images; there are {}.", images.len()),
        map,
        fields: Section {
            figures: views.receptive_fields.output.figures.iter().map(embed).collect(),
            notes: vec![note(&views.receptive_fields)],
        },
        all_layers: lens.layers().iter().filter_map(|layer| layer_row(lens, &layer.name)).collect(),
        filters: Section {
            figures: filters.into_iter().map(embed).collect(),
            notes: views.filters.iter().map(note).collect(),
        },
    }
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

fn layer_panel(network: &InspectedNetwork, name: &str, figures: &[&Figure]) -> LayerPanel {
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
        UnitPanel {
            id: format!("{id}-{index}"),
            thumb: best.map(|figure| EmbeddedImage::new(&figure.image, "", format!("{name}, {caption}"))),
            name: caption,
            groups: groups(&own),
        }
    };
    let about = match layer_row(&network.lens, name) {
        Some(LayerRow { output, field, .. }) if name != Lens::LOGITS => {
            format!("Output {output}; each unit sees {field} pixels of the image.")
        }
        _ => "The score of each class, before the softmax turns scores into probabilities.".to_owned(),
    };
    let shown = if name == Lens::LOGITS { "classes" } else { name };
    let units: Vec<UnitPanel> = units.into_iter().map(unit).collect();
    LayerPanel { id, name: shown.to_owned(), about, thumb: None, units }
}

fn image_panel(
    network: &InspectedNetwork,
    images: &Images,
    probabilities: &Tensor,
    views: &[&PageView],
    index: usize,
) -> ImagePanel {
    let figures = views.iter().flat_map(|view| &view.output.figures);
    let own: Vec<&Figure> = figures.filter(|figure| figure.subject == Subject::Image(index)).collect();
    let photo = network.photo(images, index);
    let caption = network.called(images, index);
    let classes = network.lens.classes();
    let logs: Vec<f32> = probabilities.as_f32()[index * classes..][..classes]
        .iter()
        .map(|p| p.max(f32::MIN_POSITIVE).ln())
        .collect();
    let guess = |guess: striate::infer::Prediction| Guess {
        name: network.class(guess.class),
        percent: format!("{:.1}", 100.0 * guess.probability),
        right: images.labels.as_ref().is_some_and(|labels| labels[index] == guess.class),
    };
    ImagePanel {
        id: format!("image-{index}"),
        title: format!("{caption} ({})", images.names[index]),
        thumb: EmbeddedImage::new(&photo, "", format!("image {index}: {caption}")),
        photo: EmbeddedImage::new(&photo, "", format!("The image: {caption}")),
        name: caption,
        guesses: top(&logs, GUESSES).into_iter().map(guess).collect(),
        groups: groups(&own),
    }
}

/// Collects figures by group, in order of first appearance.
fn groups(figures: &[&Figure]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for figure in figures {
        match groups.iter_mut().find(|group| group.heading == figure.group) {
            Some(group) => group.figures.push(embed(figure)),
            None => groups.push(Group { heading: figure.group, figures: vec![embed(figure)] }),
        }
    }
    groups
}

fn embed(figure: &Figure) -> EmbeddedImage {
    let of = match &figure.subject {
        Subject::Network => String::new(),
        Subject::Image(index) => format!(" of image {index}"),
        Subject::Unit(layer, unit) => format!(" of {layer}, channel {unit}"),
    };
    EmbeddedImage::new(
        &figure.image,
        figure.label.as_str(),
        format!("{}{of}: {}", figure.group, figure.label),
    )
}

fn note(view: &PageView) -> Note {
    let Manifest { title, caption, .. } = &view.output.manifest;
    Note { title: title.clone(), caption: caption.clone(), command: view.command.clone() }
}

/// Describes a layer; `None` if it does not depend on the images.
fn layer_row(lens: &Lens, name: &str) -> Option<LayerRow> {
    let layer = lens.layer(name).ok()?;
    let [vertical, horizontal] = lens.receptive_field(name).ok()?;
    let sides: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
    Some(LayerRow {
        name: name.to_owned(),
        output: sides.join(" x "),
        field: format!("{} x {}", vertical.size, horizontal.size),
        stride: vertical.stride.to_string(),
    })
}

/// Turns a name into an HTML id.
fn identifier(kind: &str, name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{kind}-{}", plain.collect::<String>())
}
