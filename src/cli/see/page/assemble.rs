//! Assembles the page from the output of the views.

use super::choice::FEWEST;
use super::{PageView, PageViews, ShownLayer};
use super::{blind_test, diagram, map, picture, results, units};
use crate::cli::html::{ColorBar, EmbeddedImage, Fact, list};
use crate::cli::see::flags::InspectedNetwork;
use crate::cli::see::view::{Figure, Subject};
use crate::cli::text::grouped;
use serde_json::{Value, json};
use striate::interpret::{Images, Lens, Manifest, drawing};
use striate::{Result, Tensor};

/// Largest width of a small copy of an image, in pixels.
const THUMBNAIL: u32 = 96;

/// Everything that the page shows.
pub struct Page<'a> {
    pub network: &'a InspectedNetwork,
    pub images: &'a Images,
    /// Class probabilities of all images.
    pub probabilities: &'a Tensor,
    pub shown: &'a [ShownLayer],
    pub views: &'a PageViews,
    /// Number of images examined one by one.
    pub examples: usize,
}

impl Page<'_> {
    /// The values for the template.
    pub fn values(&self) -> Result<Value> {
        let (lens, views) = (&self.network.lens, self.views);
        let results = results::results(self)?;
        // One figure per filter: drawing them by channel would flood the page.
        let filters = views.filters.iter().flat_map(|view| &view.output.figures);
        let filters: Vec<&Figure> = filters.filter(|figure| figure.group == "Filter").collect();
        let layers = units::layers(self, &filters);
        let map = views.tsne.as_ref().map(|tsne| {
            json!({
                "drawn": map::map(self, tsne),
                "finding": views.nearest_neighbors.as_ref().and_then(|view| view.output.finding.clone()),
                "notes": [note(tsne)],
            })
        });
        let fields = views.receptive_fields.output.figures.iter();
        let of_units = [&views.top_activations, &views.activation_maximization, &views.classes];
        Ok(json!({
            "title": format!("What {} learned", lens.model()),
            "lead": "What it gets right and wrong, how an image passes through it, and what its channels look for.",
            "facts": self.facts(),
            "results": results,
            "diagram": diagram::diagram(self),
            "images": list((0..self.examples).map(|index| picture::panel(self, index))),
            "methods": picture::methods(),
            "image_notes": list(picture::views(views).map(note)),
            "layers": layers,
            "units_finding": units::finding(self),
            "units_about": units::about(self),
            "unit_notes": of_units.map(note),
            "rounds": blind_test::rounds(self),
            "filters": {
                "colored": lens.image_shape()[0] > 1,
                "figures": list(filters.into_iter().map(|figure| embed(self.images, figure))),
                "notes": list(views.filters.iter().map(note)),
            },
            "map_missing": format!("t-SNE needs at least {FEWEST} images; there are {}.", self.images.len()),
            "map": map,
            "fields": {
                "finding": views.receptive_fields.output.finding,
                "figures": list(fields.map(|figure| embed(self.images, figure))),
                "notes": [note(&views.receptive_fields)],
            },
        }))
    }

    fn facts(&self) -> Vec<Fact> {
        let lens = &self.network.lens;
        let [channels, height, width] = lens.image_shape();
        let count = grouped(self.images.len() as u64);
        vec![
            Fact::new("Model", lens.model().to_owned()),
            Fact::new("Weights", self.network.weights.clone()),
            Fact::new("Parameters", grouped(lens.parameters() as u64)),
            Fact::new("Input", format!("{channels} x {height} x {width}, {} classes", lens.classes())),
            Fact::new("Images", format!("{count} {}", self.network.data)),
            Fact::new("Device", lens.device().describe()),
        ]
    }

    /// The probabilities of an image's classes.
    pub fn probabilities_of(&self, image: usize) -> &[f32] {
        let classes = self.network.lens.classes();
        &self.probabilities.as_f32()[image * classes..][..classes]
    }

    /// A small copy of an image, which selects it.
    pub fn thumbnail(&self, image: usize) -> EmbeddedImage {
        let photo = self.network.photo(self.images, image);
        let photo =
            if photo.width() > THUMBNAIL { drawing::scale_to_width(&photo, THUMBNAIL) } else { photo };
        EmbeddedImage::new(&photo, "", self.network.titled(self.images, image))
    }
}

/// Collects figures by group, in order of first appearance. A group whose figures share a color bar has it once.
pub fn groups(images: &Images, figures: &[&Figure]) -> Value {
    let mut headings: Vec<&str> = Vec::new();
    for figure in figures {
        if !headings.contains(&figure.group.as_str()) {
            headings.push(&figure.group);
        }
    }
    let group = |heading: &str| {
        let own: Vec<&&Figure> = figures.iter().filter(|figure| figure.group == heading).collect();
        let shared = bar(own[0]).filter(|first| own.iter().all(|other| bar(other).as_ref() == Some(first)));
        let figure = |figure: &&&Figure| match shared {
            Some(_) => image(images, figure),
            None => image(images, figure).with_bar(bar(figure)),
        };
        json!({ "heading": heading, "figures": own.iter().map(figure).collect::<Vec<_>>(), "bar": shared })
    };
    list(headings.into_iter().map(group))
}

fn bar(figure: &Figure) -> Option<ColorBar> {
    figure.scale.as_ref().map(|(scale, unit)| ColorBar::new(scale, unit))
}

fn image(images: &Images, figure: &Figure) -> EmbeddedImage {
    let of = match &figure.subject {
        Subject::Network => String::new(),
        Subject::Image(index) => format!(" of {}", images.names[*index]),
        Subject::Unit(layer, unit) => format!(" of {layer}, channel {unit}"),
    };
    let alt = format!("{}{of}: {}", figure.group, figure.label);
    EmbeddedImage::new(&figure.image, figure.label.as_str(), alt)
}

fn embed(images: &Images, figure: &Figure) -> Value {
    json!(image(images, figure).with_bar(bar(figure)))
}

/// Explains how a view was made.
fn note(view: &PageView) -> Value {
    let Manifest { title, caption, .. } = &view.output.manifest;
    json!({ "title": title, "on_page": view.on_page, "caption": caption, "command": view.command })
}

/// Output, receptive field and stride of a layer; `None` if it does not depend on the images.
pub fn layer_sizes(lens: &Lens, name: &str) -> Option<[String; 3]> {
    let layer = lens.layer(name).ok()?;
    let [vertical, horizontal] = lens.receptive_field(name).ok()?;
    let field = format!("{} x {}", vertical.size, horizontal.size);
    Some([sides(&layer.shape), field, vertical.stride.to_string()])
}

/// A shape, such as `16 x 28 x 28`.
pub fn sides(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

/// Turns a name into an HTML id.
pub fn identifier(kind: &str, name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{kind}-{}", plain.collect::<String>())
}
