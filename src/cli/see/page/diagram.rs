//! The network as a diagram of its layers.

use super::ShownLayer;
use super::assemble::{Page, identifier, layer_sizes, sides};
use crate::cli::html::list;
use crate::cli::text::grouped;
use serde_json::{Value, json};
use striate::interpret::{Layer, Lens};

/// Largest height of a layer in the diagram, and width per doubling of its channels, in pixels.
const HEIGHT: f64 = 72.0;
const WIDTH: f64 = 4.0;

/// The values for the diagram: one tab per layer or block, in order.
pub fn diagram(page: &Page<'_>) -> Value {
    let lens = &page.network.lens;
    let outer = lens.layers().iter().filter(|layer| !layer.name.contains('.') && layer.name != Lens::LOGITS);
    let mut input = lens.image_shape().to_vec();
    let mut boxes = Vec::new();
    for layer in outer {
        boxes.push(panel(page, layer, &input));
        input.clone_from(&layer.shape);
    }
    let [channels, height, width] = lens.image_shape();
    json!({
        "finding": format!(
            "{} numbers, the pixels of an image, become {} scores, one per class, by {} parameters.",
            grouped((channels * height * width) as u64),
            lens.classes(),
            grouped(lens.parameters() as u64)
        ),
        "layers": boxes,
    })
}

fn panel(page: &Page<'_>, layer: &Layer, input: &[usize]) -> Value {
    let lens = &page.network.lens;
    let inner = lens.layers().iter().filter(|other| is_inside(&other.name, &layer.name));
    let rows: Vec<Value> = inner.filter_map(|inner| row(lens, &inner.name)).collect();
    let field = layer_sizes(lens, &layer.name).map(|[_, field, _]| field);
    let parameters = match lens.parameters_in(&layer.name) {
        0 => "It has no parameters.".to_owned(),
        count => format!("It has {} parameters.", grouped(count as u64)),
    };
    let sees = match (&layer.shape[..], field) {
        ([_, _, _], Some(field)) => {
            format!(" Each output depends on {field} pixels of the image, or fewer at its edge.")
        }
        _ => String::new(),
    };
    let drawn = |shown: &&ShownLayer| shown.name == layer.name || is_inside(&shown.name, &layer.name);
    let [_, pixels, _] = lens.image_shape();
    let side = layer.shape.get(1).map_or(0.15, |side| (*side as f64 / pixels as f64).sqrt());
    json!({
        "id": identifier("layer", &layer.name),
        "name": layer.name,
        "size": sides(&layer.shape),
        "height": (HEIGHT * side).round().max(6.0),
        "width": (WIDTH * (layer.channels() as f64).log2()).round().max(4.0),
        "about": format!("{} in, {} out. {parameters}{sees}", sides(input), sides(&layer.shape)),
        "rows": rows,
        "panel": page.shown.iter().find(drawn).map(|shown| identifier("unit", &shown.name)),
    })
}

/// Sizes of a layer inside a block.
fn row(lens: &Lens, name: &str) -> Option<Value> {
    let [output, field, stride] = layer_sizes(lens, name)?;
    let parameters = grouped(lens.parameters_in(name) as u64);
    Some(list([json!(name), json!(output), json!(parameters), json!(field), json!(stride)].into_iter()))
}

fn is_inside(layer: &str, block: &str) -> bool {
    layer.strip_prefix(block).is_some_and(|rest| rest.starts_with('.'))
}
