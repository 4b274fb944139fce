//! The confusion matrix as an SVG.

use crate::cli::svg::{self, Area, Drawn};
use plotters::prelude::*;
use plotters::style::colors::colormaps::ViridisRGB;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;
use striate::Result;
use striate::infer::Evaluation;

/// With more classes, names and counts would be too small to read, and are left out.
const READABLE: usize = 30;

/// Space for class names to the left and below, and for the title, in pixels.
const NAMES: i32 = 110;
const TITLE: i32 = 40;
const MARGIN: i32 = 16;

/// Ink on bright cells. Black itself becomes bright on a dark page.
const DARK: RGBColor = RGBColor(16, 16, 16);

/// Side of the matrix, in pixels.
const SIDE: i32 = 600;

/// Draws a row per true class and a column per predicted class. Colors, from viridis, are fractions of the row, so that
/// classes with few images show as well. Errors name the file at `path`.
pub fn matrix(path: &Path, title: &str, names: &[String], evaluation: &Evaluation) -> Result<String> {
    let readable = names.len() <= READABLE;
    let edge = if readable { NAMES } else { MARGIN };
    let size = ((edge + SIDE + MARGIN) as u32, (TITLE + SIDE + edge + MARGIN) as u32);
    svg::draw(path, size, |root| {
        let style = TextStyle::from(("sans-serif", 18)).pos(Pos::new(HPos::Center, VPos::Center));
        root.draw(&Text::new(title.to_owned(), (edge + SIDE / 2, TITLE / 2), style))?;
        for class in 0..names.len() {
            row(root, edge, evaluation, class, readable)?;
            if readable {
                label(root, edge, names, class)?;
            }
        }
        Ok(())
    })
}

/// Where the n-th of `classes` classes begins, in pixels from the matrix's edge.
fn offset(n: usize, classes: usize) -> i32 {
    (n as i64 * i64::from(SIDE) / classes as i64) as i32
}

fn row(root: &Area, left: i32, evaluation: &Evaluation, class: usize, counts: bool) -> Drawn {
    let (classes, all) = (evaluation.confusion.len(), evaluation.images_of(class).max(1) as f32);
    let (top, bottom) = (TITLE + offset(class, classes), TITLE + offset(class + 1, classes));
    for (other, count) in evaluation.confusion[class].iter().enumerate() {
        let fraction = *count as f32 / all;
        let (from, to) = (left + offset(other, classes), left + offset(other + 1, classes));
        root.draw(&Rectangle::new([(from, top), (to, bottom)], ViridisRGB.get_color(fraction).filled()))?;
        if counts && *count > 0 {
            // The low end of viridis is dark.
            let ink = if fraction < 0.5 { &WHITE } else { &DARK };
            let font = ("sans-serif", (SIDE / classes as i32 / 3).clamp(7, 16)).into_font().color(ink);
            let style = font.pos(Pos::new(HPos::Center, VPos::Center));
            root.draw(&Text::new(count.to_string(), ((from + to) / 2, (top + bottom) / 2), style))?;
        }
    }
    Ok(())
}

/// Writes a class's name next to its row and below its column.
fn label(root: &Area, left: i32, names: &[String], class: usize) -> Drawn {
    let middle = (offset(class, names.len()) + offset(class + 1, names.len())) / 2;
    let font = ("sans-serif", (SIDE / names.len() as i32 - 2).clamp(8, 14)).into_font();
    let name: String = names[class].chars().take(14).collect();
    let beside = TextStyle::from(font.clone()).pos(Pos::new(HPos::Right, VPos::Center));
    root.draw(&Text::new(name.clone(), (left - 6, TITLE + middle), beside))?;
    let below =
        TextStyle::from(font.transform(FontTransform::Rotate90)).pos(Pos::new(HPos::Left, VPos::Center));
    root.draw(&Text::new(name, (left + middle, TITLE + SIDE + 6), below))?;
    Ok(())
}
