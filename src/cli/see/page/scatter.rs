//! The embedding as an inline SVG: a point per image, colored by class.

use super::assemble::Page;
use crate::cli::html::list;
use crate::cli::numbers::bounds;
use crate::cli::see::tsne::color;
use serde_json::{Value, json};

/// Width and height of the drawing.
const SIDE: f64 = 1000.0;

/// Points and classes; `None` if classes are unknown, because then the points have no colors and say little.
pub fn scatter(page: &Page<'_>, points: &[[f64; 2]]) -> Option<Value> {
    let labels = page.images.labels.as_ref()?;
    let present: Vec<usize> =
        (0..page.network.lens.classes()).filter(|class| labels.contains(class)).collect();
    let colors: Vec<String> = (0..present.len())
        .map(|index| {
            let plotters::style::RGBColor(r, g, b) = color(index, present.len());
            format!("#{r:02x}{g:02x}{b:02x}")
        })
        .collect();
    let place = |class: usize| present.binary_search(&class).expect("the class is present");
    let [x, y] = [0, 1].map(|axis| bounds(points.iter().map(|point| point[axis])));
    let scaled = |value: f64, (low, high): (f64, f64)| {
        format!("{:.0}", SIDE * (0.02 + 0.96 * (value - low) / (high - low).max(1e-9)))
    };
    let point = |(image, (point, class)): (usize, (&[f64; 2], &usize))| {
        json!({
            "image": image,
            "class": class,
            "x": scaled(point[0], x),
            // Up is positive, as in the view's own drawing.
            "y": scaled(-point[1], (-y.1, -y.0)),
            "color": colors[place(*class)],
        })
    };
    let class = |class: &usize| json!({ "class": class, "name": page.network.class(*class), "color": colors[place(*class)] });
    Some(json!({
        "points": list(points.iter().zip(labels).enumerate().map(point)),
        "classes": list(present.iter().map(class)),
    }))
}
