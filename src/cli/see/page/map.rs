//! The map of the images: the embedding, and what the page's script (`map.js`) needs to draw and search it.

use super::assemble::Page;
use super::choice::{largest, strongest};
use super::units::{unit_id, unusual};
use super::{PageView, TOP_ACTIVATIONS};
use crate::cli::html::{EmbeddedImage, inlined, list};
use crate::cli::numbers::bounds;
use crate::cli::see::flags::label;
use crate::cli::svg::class_color_css;
use image::{RgbImage, imageops};
use serde_json::{Map, Value, json};
use striate::interpret::{Lens, drawing};

/// Pixels of the atlas, about; and the sides of an image in it. With more images, each is smaller.
const ATLAS: usize = 2 << 20;
const SMALLEST: usize = 16;
const LARGEST: usize = 96;

/// Points, classes and small copies of the images.
pub fn map(page: &Page<'_>, view: &PageView) -> Value {
    let count = page.images.len();
    let predicted: Vec<usize> = (0..count).map(|image| largest(page.probabilities_of(image))).collect();
    // Without known classes, the colors are those of the predicted ones.
    let classes = page.images.labels.as_ref().unwrap_or(&predicted);
    let present: Vec<usize> =
        (0..page.network.lens.classes()).filter(|class| classes.contains(class)).collect();
    let class = |(index, class): (usize, &usize)| {
        json!({
            "class": class,
            "name": page.network.class(*class),
            "color": class_color_css(index, present.len()),
        })
    };
    let colored = list(present.iter().enumerate().map(class));
    let names: Map<String, Value> = classes
        .iter()
        .chain(&predicted)
        .map(|class| (class.to_string(), page.network.class(*class).into()))
        .collect();
    let points = places(&view.output.points);
    let image = |image: usize| {
        let [x, y] = points[image];
        let percent = (1000.0 * f64::from(page.probabilities_of(image)[predicted[image]])).round() / 10.0;
        let name = label(&page.images.names[image]);
        json!([x, y, classes[image], predicted[image], percent, name])
    };
    let units = units(page);
    let place = |id: String| units.keys().position(|other| *other == id);
    let unusual = |image: usize| {
        json!(unusual(page, image).iter().map(|unusual| place(unusual.id())).collect::<Vec<_>>())
    };
    let (atlas, side) = atlas(page);
    let data = json!({
        "images": list((0..count).map(image)),
        "known": page.images.labels.is_some(),
        "names": names,
        "classes": colored,
        "unusual": list((0..count).map(unusual)),
        "units": units,
        "side": side,
        "columns": columns(count),
    });
    json!({
        "data": inlined(&data.to_string()),
        "classes": colored,
        "known": page.images.labels.is_some(),
        "atlas": EmbeddedImage::new(&atlas, "", "All images, in their order"),
    })
}

/// Positions between 0 and 1, from left to right and from top to bottom.
fn places(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let [x, y] = [0, 1].map(|axis| bounds(points.iter().map(|point| point[axis])));
    let fraction =
        |value: f64, (low, high): (f64, f64)| (1e4 * (value - low) / (high - low).max(1e-9)).round() / 1e4;
    // Up is positive, as in the view's own drawing.
    points.iter().map(|point| [fraction(point[0], x), fraction(-point[1], (-y.1, -y.0))]).collect()
}

/// The images that excite each unit of the page most.
fn units(page: &Page<'_>) -> Map<String, Value> {
    let top = |value: &dyn Fn(usize) -> f32| json!(strongest(page.images.len(), TOP_ACTIVATIONS, value));
    let channels = page.shown.iter().flat_map(|layer| {
        let channel = |channel: &usize| {
            let images = top(&|image| layer.responses.largest(image, *channel));
            (unit_id(&layer.name, *channel), images)
        };
        layer.channels.iter().map(channel).collect::<Vec<_>>()
    });
    let classes = (0..page.network.lens.classes())
        .map(|class| (unit_id(Lens::LOGITS, class), top(&|image| page.probabilities_of(image)[class])));
    channels.chain(classes).collect()
}

/// Small copies of all images in rows, and the side of each.
fn atlas(page: &Page<'_>) -> (RgbImage, u32) {
    let (count, [.., width]) = (page.images.len(), page.network.lens.image_shape());
    let side = (ATLAS / count).isqrt().clamp(SMALLEST, LARGEST).min(width) as u32;
    let columns = columns(count);
    let mut atlas = RgbImage::new(columns as u32 * side, count.div_ceil(columns) as u32 * side);
    for image in 0..count {
        // Tall images are cut off at the bottom.
        let small = drawing::scale_to_width(&page.network.photo(page.images, image), side);
        let small = imageops::crop_imm(&small, 0, 0, side, side).to_image();
        let [column, row] = [image % columns, image / columns].map(|index| (index as u32 * side).into());
        imageops::replace(&mut atlas, &small, column, row);
    }
    (atlas, side)
}

/// Images in a row of the atlas, which is about square.
fn columns(count: usize) -> usize {
    (count as f64).sqrt().ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn the_map_is_filled_and_up_is_positive() {
        let points = places(&[[-2.0, 0.0], [2.0, 10.0], [0.0, 5.0]]);
        assert_eq!(points, [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]);
        assert_eq!(places(&[[3.0, 3.0]; 2]), [[0.0, 0.0]; 2], "all in one place");
    }
}
