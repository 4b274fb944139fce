//! Pages of one file: style, script and images are in them, and nothing is fetched from anywhere.

use super::text;
use base64::prelude::{BASE64_STANDARD, Engine};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use striate::{Error, Result};

/// A larger page is slow to open, and is told about.
pub const LARGE: usize = 20 << 20;

/// Images that are narrower are shown with their pixels as squares.
const SMALL: u32 = 100;
/// What a PNG may take before JPEG is tried: drawings with flat colours stay sharp.
const SHARP: usize = 12 << 10;
/// Of JPEG, out of 100.
const QUALITY: u8 = 85;

/// An image in a page.
#[derive(Clone, Serialize)]
pub struct Figure {
    /// The bytes, as a data URI.
    src: String,
    width: u32,
    height: u32,
    /// Whether pixels are to be seen.
    small: bool,
    /// What is in it, for those who do not see it.
    alt: String,
    label: String,
}

impl Figure {
    pub fn new(image: &RgbImage, label: impl Into<String>, alt: impl Into<String>) -> Self {
        let (width, height) = image.dimensions();
        Self {
            src: data_uri(image),
            width,
            height,
            small: width < SMALL,
            alt: alt.into(),
            label: label.into(),
        }
    }
}

/// Something to know, in a word or two.
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

/// An SVG as a data URI.
pub fn svg_uri(svg: &[u8]) -> String {
    format!("data:image/svg+xml;base64,{}", BASE64_STANDARD.encode(svg))
}

fn data_uri(image: &RgbImage) -> String {
    const MEMORY: &str = "every RGB image can be written, and memory takes it";
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

/// Fails if a file is there that is no page of striate's, and must not be replaced.
pub fn check_replaceable(path: &Path) -> Result<()> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let mut head = Vec::new();
    if metadata.is_file() {
        let file = File::open(path).map_err(Error::io(path, "read"))?;
        file.take(HEAD).read_to_end(&mut head).map_err(Error::io(path, "read"))?;
    }
    match !metadata.is_file() || head.is_empty() || String::from_utf8_lossy(&head).contains(GENERATOR) {
        true => Ok(()),
        false => {
            Err(Error::data(path, "is a file that striate did not write; move it away, or give another name"))
        }
    }
}

/// What the head of `base.html` says of every page, and bytes in which it is found.
const GENERATOR: &str = "<meta name=\"generator\" content=\"striate ";
const HEAD: u64 = 4096;

/// The pages there are.
#[derive(Clone, Copy)]
pub enum Template {
    /// What a network learned.
    See,
    /// How a run went.
    Run,
}

/// A page filled with `values`. A template that does not fill is a bug of ours.
pub fn render(template: Template, values: &impl Serialize) -> String {
    let (name, text) = match template {
        Template::See => ("see.html", include_str!("see.html")),
        Template::Run => ("run.html", include_str!("run.html")),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    const SYNTAX: &str = "our templates are well formed";
    environment.add_template("base.html", include_str!("base.html")).expect(SYNTAX);
    environment.add_template("parts.html", include_str!("parts.html")).expect(SYNTAX);
    environment.add_template(name, text).expect(SYNTAX);
    let page = context! {
        style => include_str!("style.css"),
        script => include_str!("page.js"),
        version => env!("CARGO_PKG_VERSION"),
        ..Value::from(Serde(values))
    };
    let template = environment.get_template(name).expect("it was just added");
    let page = template.render(page).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    text::lines(&page).into_owned()
}

/// A size as people say it: `3.4 MB`.
pub fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
