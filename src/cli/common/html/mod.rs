//! Self-contained HTML pages, with style, script and images inlined.

use super::text;
use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use striate::infer::Evaluation;
use striate::interpret::drawing::ColorScale;
use striate::{Error, Result};

/// Above this size a page is slow to open, and a note says so.
pub const LARGE: usize = 20 << 20;

/// Narrower images are shown with sharp pixels.
const SMALL: u32 = 100;
/// A PNG up to this size is kept, so that flat drawings stay sharp; above, JPEG is tried.
const SHARP: usize = 12 << 10;
/// JPEG quality, out of 100.
const QUALITY: u8 = 85;

/// An image inlined in a page.
#[derive(Clone, Serialize)]
pub struct EmbeddedImage {
    /// Data URI.
    src: String,
    width: u32,
    height: u32,
    /// Whether to show sharp pixels.
    small: bool,
    /// Description for those who cannot see the image.
    alt: String,
    label: String,
    bar: Option<ColorBar>,
}

/// The color scale of a map.
#[derive(Clone, PartialEq, Serialize)]
pub struct ColorBar {
    /// Values of the ends.
    low: String,
    high: String,
    unit: &'static str,
    /// Whether 0 is in the middle.
    diverging: bool,
}

impl ColorBar {
    pub fn new(scale: &ColorScale, unit: &'static str) -> Self {
        let [low, high] = scale.ends().map(short);
        Self { low, high, unit, diverging: scale.is_diverging() }
    }
}

/// A number with about three digits.
fn short(value: f32) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        x if x >= 0.1 => format!("{value:.2}"),
        x if x >= 0.01 => format!("{value:.3}"),
        x if x >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

impl EmbeddedImage {
    pub fn new(image: &RgbImage, label: impl Into<String>, alt: impl Into<String>) -> Self {
        let (width, height) = image.dimensions();
        Self {
            src: data_uri(image),
            width,
            height,
            small: width < SMALL,
            alt: alt.into(),
            label: label.into(),
            bar: None,
        }
    }

    /// The image with a color bar below.
    pub fn with_bar(self, bar: Option<ColorBar>) -> Self {
        Self { bar, ..self }
    }
}

/// A name and a short value.
#[derive(Serialize)]
pub struct Fact {
    name: String,
    value: String,
}

impl Fact {
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// With more classes, a confusion matrix would be too large to read.
const READABLE: usize = 30;

/// A confusion matrix for the macro `confusion`; `None` if there are too many classes.
pub fn confusion(names: &[String], evaluation: &Evaluation) -> Option<Value> {
    let cell = |class: usize, predicted: usize| {
        let (count, all) = (evaluation.confusion[class][predicted], evaluation.images_of(class).max(1));
        let fraction = count as f32 / all as f32;
        let Rgb([r, g, b]) = ColorScale::new(0.0, 1.0).color(fraction);
        json!({
            "count": count,
            "predicted": predicted,
            "color": format!("rgb({r} {g} {b})"),
            // The low end of the scale is dark.
            "bright": fraction > 0.6,
            "alt": format!("{count} of {all}: {} called {}", names[class], names[predicted]),
        })
    };
    let row = |class: usize| json!({ "name": names[class], "class": class, "cells": list((0..names.len()).map(|other| cell(class, other))) });
    (names.len() <= READABLE).then(|| json!({ "names": names, "rows": list((0..names.len()).map(row)) }))
}

/// A list of template values.
pub fn list(values: impl Iterator<Item = Value>) -> Value {
    values.collect()
}

/// JSON that cannot end the script element around it.
pub fn inlined(json: &str) -> String {
    json.replace("</", "<\\/").replace("<!--", "<\\u0021--")
}

/// An SVG as a data URI.
pub fn svg_uri(svg: &[u8]) -> String {
    format!("data:image/svg+xml;base64,{}", BASE64_STANDARD.encode(svg))
}

fn data_uri(image: &RgbImage) -> String {
    const MEMORY: &str = "encoding an RGB image in memory cannot fail";
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).expect(MEMORY);
    let png = png.into_inner();
    if png.len() > SHARP {
        let mut jpeg = Vec::new();
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY)).expect(MEMORY);
        if jpeg.len() < png.len() {
            return format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg));
        }
    }
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}

/// Fails if the file exists and is not a page written by striate from the same template, which must not be replaced.
pub fn check_replaceable(path: &Path, template: &str) -> Result<()> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let mut head = Vec::new();
    if metadata.is_file() {
        let file = File::open(path).map_err(Error::io(path, "read"))?;
        file.take(HEAD).read_to_end(&mut head).map_err(Error::io(path, "read"))?;
    }
    let head = String::from_utf8_lossy(&head);
    let generator = head.split(GENERATOR).nth(1).and_then(|rest| rest.split('"').next());
    let problem = match generator {
        Some(generator) if generator.ends_with(template) => return Ok(()),
        _ if !metadata.is_file() || head.is_empty() => return Ok(()),
        Some(_) => "is another page of striate",
        None => "was not written by striate",
    };
    Err(Error::data(path, format!("{problem}; move it away, or choose another name")))
}

/// Marks every page in its head, followed by version and template, and how many bytes to search for it.
const GENERATOR: &str = "<meta name=\"generator\" content=\"striate ";
const HEAD: u64 = 4096;

/// The pages, `see.html`, `run.html`, `compare.html` and `web.html`, and what they include.
const TEMPLATES: [(&str, &str); 7] = [
    ("base.html", include_str!("base.html")),
    ("parts.html", include_str!("parts.html")),
    ("see.html", include_str!("see.html")),
    ("live.html", include_str!("live.html")),
    ("run.html", include_str!("run.html")),
    ("compare.html", include_str!("compare.html")),
    ("web.html", include_str!("web.html")),
];

/// Fills a template. Templates and values are part of the program, so an error is a bug.
pub fn render(name: &str, values: &Value) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text).expect("the built-in templates are valid");
    }
    let page = context! {
        style => style(name),
        script => script(name),
        live_script => LIVE,
        version => env!("CARGO_PKG_VERSION"),
        template => name,
        ..minijinja::Value::from(Serde(values))
    };
    let template = environment.get_template(name).expect("the template is built in");
    let page = template.render(page).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    text::lines(&page).into_owned()
}

/// What runs the network on the page of `striate see`.
const LIVE: &str = concat!(
    include_str!("../../../../web/embedded.js"),
    include_str!("../../../../web/safetensors.js"),
    include_str!("../../../../web/executor.js"),
    include_str!("../../../../web/image.js"),
    include_str!("../../../../web/draw.js"),
    include_str!("../../../../web/attribution.js"),
    include_str!("../../../../web/explain.js"),
    include_str!("../../../../web/inputs.js"),
    include_str!("../../../../web/live.js"),
);

fn style(template: &str) -> &'static str {
    match template {
        "see.html" => concat!(include_str!("style.css"), include_str!("live.css")),
        _ => include_str!("style.css"),
    }
}

/// What makes a page interactive.
fn script(template: &str) -> &'static str {
    match template {
        "see.html" => concat!(
            include_str!("page.js"),
            include_str!("see.js"),
            include_str!("dots.js"),
            include_str!("map.js")
        ),
        "web.html" => concat!(
            include_str!("../../../../web/random.js"),
            include_str!("../../../../web/safetensors.js"),
            include_str!("../../../../web/executor.js"),
            include_str!("../../../../web/embedded.js"),
            include_str!("../../../../web/draw.js"),
            include_str!("../../../../web/pca.js"),
            include_str!("../../../../web/training.js"),
            include_str!("web_runs.js"),
            include_str!("web_curves.js"),
            include_str!("web_views.js"),
            include_str!("web.js"),
        ),
        _ => include_str!("page.js"),
    }
}

/// Data in an element that the script reads with `embedded` (`web/embedded.js`): gzipped, in base64.
pub fn embedded(id: &str, bytes: &[u8]) -> String {
    const MEMORY: &str = "compressing in memory cannot fail";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect(MEMORY);
    let packed = BASE64_STANDARD.encode(encoder.finish().expect(MEMORY));
    format!("<script type=\"application/octet-stream\" id=\"{id}\">{packed}</script>\n")
}

/// A size in megabytes, such as `3.4 MB`.
pub fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
