//! From what views showed to what is on the page.

use super::choice::{FEWEST, largest};
use super::{Noted, Views};
use crate::cli::html::{Fact, Figure, svg_uri};
use crate::cli::see::flags::Subject;
use crate::cli::see::view::{Of, Plate};
use crate::cli::text::grouped;
use serde::Serialize;
use striate::Tensor;
use striate::infer::top;
use striate::see::{Images, Lens, Record};

/// Guesses that are listed for an image.
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
    figures: Vec<Figure>,
    notes: Vec<Note>,
}

/// How a view was made.
#[derive(Serialize)]
struct Note {
    title: String,
    caption: String,
    command: String,
}

/// Figures that belong together.
#[derive(Serialize)]
struct Group {
    heading: &'static str,
    figures: Vec<Figure>,
}

#[derive(Serialize)]
struct LayerPanel {
    id: String,
    name: String,
    about: String,
    thumb: Option<Figure>,
    units: Vec<UnitPanel>,
}

#[derive(Serialize)]
struct UnitPanel {
    id: String,
    name: String,
    thumb: Option<Figure>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct ImagePanel {
    id: String,
    name: String,
    title: String,
    thumb: Figure,
    photo: Figure,
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
    /// The SVG as a data URI, where points have the colours of classes.
    scatter: Option<String>,
    mosaic: Figure,
    notes: Vec<Note>,
}

#[derive(Serialize)]
struct LayerRow {
    name: String,
    gives: String,
    sees: String,
    step: String,
}

/// The page of what views showed. `probabilities` are of all images.
pub fn page(
    subject: &Subject,
    images: &Images,
    probabilities: &Tensor,
    views: Views,
    layers: &[String],
) -> Page {
    let lens = &subject.lens;
    let map = views.map.map(|map| MapSection {
        scatter: map
            .shown
            .drawing
            .as_ref()
            .filter(|_| images.labels.is_some())
            .map(|svg| svg_uri(svg.as_bytes())),
        mosaic: figure(&map.shown.plates[0]),
        notes: vec![note(&map)],
    });
    let of_units = [&views.ascent, &views.classes, &views.peaks];
    let unit_plates: Vec<&Plate> =
        [&views.ascent, &views.peaks, &views.classes].iter().flat_map(|view| &view.shown.plates).collect();
    let filter_plates = views.filters.iter().flat_map(|view| &view.shown.plates);
    // One image a filter: where there are many channels, the page would be full of them.
    let filters: Vec<&Plate> = filter_plates.filter(|plate| plate.group == "Its filter").collect();
    let all: Vec<&Plate> = filters.iter().copied().chain(unit_plates).collect();
    let of_images = [&views.occlusion, &views.saliency].into_iter().chain(&views.neighbours);
    let of_images: Vec<&Noted> = of_images.chain([&views.activations]).collect();
    let names = layers.iter().map(String::as_str).chain([Lens::LOGITS]);
    let panel = |index: usize| image_panel(subject, images, probabilities, &of_images, index);
    let examples = views.occlusion.shown.plates.iter().filter_map(|plate| match plate.of {
        Of::Image(index) => Some(index + 1),
        _ => None,
    });
    Page {
        title: format!("What {} learned", lens.model()),
        lead: format!("A look into a network with {} images, made by running it.", images.len()),
        facts: facts(subject, images, probabilities),
        layers: names.map(|name| layer_panel(subject, name, &all)).collect(),
        unit_notes: of_units.map(note).into(),
        images: (0..examples.max().unwrap_or(0)).map(panel).collect(),
        image_notes: of_images.iter().map(|view| note(view)).collect(),
        map_missing: format!("A map wants at least {FEWEST} images; there are {}.", images.len()),
        map,
        fields: Section {
            figures: views.fields.shown.plates.iter().map(figure).collect(),
            notes: vec![note(&views.fields)],
        },
        all_layers: lens.layers().iter().filter_map(|layer| layer_row(lens, &layer.name)).collect(),
        filters: Section {
            figures: filters.into_iter().map(figure).collect(),
            notes: views.filters.iter().map(note).collect(),
        },
    }
}

fn facts(subject: &Subject, images: &Images, probabilities: &Tensor) -> Vec<Fact> {
    let lens = &subject.lens;
    let classes = lens.classes();
    let right = images.labels.as_ref().map(|labels| {
        let guesses = probabilities.as_f32().chunks_exact(classes).map(largest);
        let right = guesses.zip(labels).filter(|(guess, label)| guess == *label).count();
        format!("{:.1} % right of these images", 100.0 * right as f64 / labels.len() as f64)
    });
    let [channels, height, width] = lens.image_shape();
    let mut facts = vec![
        Fact::new("Model", lens.model().to_owned()),
        Fact::new("Weights", subject.weights.clone()),
        Fact::new("Parameters", grouped(lens.parameters() as u64)),
        Fact::new("Takes", format!("{channels} x {height} x {width}, {classes} classes")),
        Fact::new("Images", format!("{} {}", grouped(images.len() as u64), subject.data)),
    ];
    facts.extend(right.map(|right| Fact::new("Accuracy", right)));
    facts.push(Fact::new("Computed by", lens.device().describe()));
    facts
}

fn layer_panel(subject: &Subject, name: &str, plates: &[&Plate]) -> LayerPanel {
    let mut units: Vec<usize> = Vec::new();
    let of_layer = |plate: &&&Plate| matches!(&plate.of, Of::Unit(other, _) if other == name);
    for plate in plates.iter().filter(of_layer).filter(|plate| plate.group != "Its filter") {
        if let Of::Unit(_, unit) = plate.of
            && !units.contains(&unit)
        {
            units.push(unit);
        }
    }
    let id = identifier("unit", name);
    let unit = |number: usize| {
        let own: Vec<&Plate> =
            plates.iter().filter(|p| p.of == Of::Unit(name.to_owned(), number)).copied().collect();
        let called = match name == Lens::LOGITS {
            true => subject.class(number),
            false => format!("channel {number}"),
        };
        // What it sees says more than what was made for it.
        let best = own.iter().find(|plate| plate.group == "What excites it the most").or(own.first());
        UnitPanel {
            id: format!("{id}-{number}"),
            thumb: best.map(|plate| Figure::new(&plate.image, "", format!("{name}, {called}"))),
            name: called,
            groups: groups(&own),
        }
    };
    let about = match layer_row(&subject.lens, name) {
        Some(LayerRow { gives, sees, .. }) if name != Lens::LOGITS => {
            format!("Gives {gives}; each unit sees {sees} pixels of the image.")
        }
        _ => "What the network says of each class, before these become probabilities.".to_owned(),
    };
    let shown = if name == Lens::LOGITS { "classes" } else { name };
    let units: Vec<UnitPanel> = units.into_iter().map(unit).collect();
    LayerPanel { id, name: shown.to_owned(), about, thumb: None, units }
}

fn image_panel(
    subject: &Subject,
    images: &Images,
    probabilities: &Tensor,
    views: &[&Noted],
    index: usize,
) -> ImagePanel {
    let plates = views.iter().flat_map(|view| &view.shown.plates);
    let own: Vec<&Plate> = plates.filter(|plate| plate.of == Of::Image(index)).collect();
    let photo = subject.photo(images, index);
    let called = subject.called(images, index);
    let classes = subject.lens.classes();
    let logs: Vec<f32> = probabilities.as_f32()[index * classes..][..classes]
        .iter()
        .map(|p| p.max(f32::MIN_POSITIVE).ln())
        .collect();
    let guess = |guess: striate::infer::Guess| Guess {
        name: subject.class(guess.class),
        percent: format!("{:.1}", 100.0 * guess.probability),
        right: images.labels.as_ref().is_some_and(|labels| labels[index] == guess.class),
    };
    ImagePanel {
        id: format!("image-{index}"),
        title: format!("{called} ({})", images.names[index]),
        thumb: Figure::new(&photo, "", format!("image {index}: {called}")),
        photo: Figure::new(&photo, "", format!("The image: {called}")),
        name: called,
        guesses: top(&logs, GUESSES).into_iter().map(guess).collect(),
        groups: groups(&own),
    }
}

/// Plates by group, in the order in which groups come up.
fn groups(plates: &[&Plate]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for plate in plates {
        match groups.iter_mut().find(|group| group.heading == plate.group) {
            Some(group) => group.figures.push(figure(plate)),
            None => groups.push(Group { heading: plate.group, figures: vec![figure(plate)] }),
        }
    }
    groups
}

fn figure(plate: &Plate) -> Figure {
    let of = match &plate.of {
        Of::Network => String::new(),
        Of::Image(index) => format!(" of image {index}"),
        Of::Unit(layer, unit) => format!(" of {layer}, channel {unit}"),
    };
    Figure::new(&plate.image, plate.label.as_str(), format!("{}{of}: {}", plate.group, plate.label))
}

fn note(view: &Noted) -> Note {
    let Record { title, caption, .. } = &view.shown.record;
    Note { title: title.clone(), caption: caption.clone(), command: view.command.clone() }
}

/// A layer in words; `None` if it depends on no image.
fn layer_row(lens: &Lens, name: &str) -> Option<LayerRow> {
    let layer = lens.layer(name).ok()?;
    let [vertical, horizontal] = lens.receptive_field(name).ok()?;
    let sides: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
    Some(LayerRow {
        name: name.to_owned(),
        gives: sides.join(" x "),
        sees: format!("{} x {}", vertical.size, horizontal.size),
        step: vertical.stride.to_string(),
    })
}

/// A name as an identifier in a page.
fn identifier(kind: &str, name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{kind}-{}", plain.collect::<String>())
}
