//! SVG drawings.

use super::text;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;
use striate::{Error, Result};

/// A drawing, or a part of it.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// The result of drawing with plotters, whose error types depend on the backend.
pub type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The type face of pages, and colors for readers who prefer dark pages: white and black change places.
const STYLE: &str = "<style>text { font-family: system-ui, sans-serif } \
@media (prefers-color-scheme: dark) { rect[fill='#FFFFFF'] { fill: #1d1d20 } [stroke='#FFFFFF'] { stroke: #1d1d20 } text[fill='#000000'] { fill: #ececee } \
[stroke='#000000'] { stroke: #a5a5ad } }</style>";

/// Returns an SVG of `size` pixels drawn by `paint` on white. Errors name the file at `path`.
pub fn draw(path: &Path, size: (u32, u32), paint: impl FnOnce(&Area) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    let drawn: Drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        paint(&area)?;
        Ok(area.present()?)
    })();
    drawn.map_err(|error| Error::data(path, format!("cannot be drawn: {error}")))?;
    // The first tag ends with the first >.
    Ok(text::lines(&svg.replacen('>', &format!(">\n{STYLE}"), 1)).into_owned())
}

/// Ten colors that are easy to tell apart, or evenly spaced hues for more classes.
pub fn class_color(index: usize, count: usize) -> RGBColor {
    let colorous::Color { r, g, b } = match count <= colorous::TABLEAU10.len() {
        true => colorous::TABLEAU10[index],
        false => colorous::SINEBOW.eval_rational(index, count),
    };
    RGBColor(r, g, b)
}

/// The same colors for style sheets and scripts, such as `#4e79a7`.
pub fn class_color_css(index: usize, count: usize) -> String {
    let RGBColor(r, g, b) = class_color(index, count);
    format!("#{r:02x}{g:02x}{b:02x}")
}
