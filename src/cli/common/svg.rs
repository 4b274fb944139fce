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
    Ok(text::lines(&svg).into_owned())
}
