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
        "shortcuts": lens.layers().iter().any(|layer| layer.shortcuts > 0),
        "branches": lens.layers().iter().any(|layer| layer.branches > 0),
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
    let structure = match (layer.shortcuts, layer.branches) {
        (0, 0) => String::new(),
        (1, _) => " A shortcut adds the input of its block to the output.".to_owned(),
        (0, branches) => {
            format!(" It has {branches} branches side by side, whose channels are put together at the end.")
        }
        (shortcuts, _) => {
            format!(" Its {shortcuts} blocks have shortcuts, which add the input of a block to its output.")
        }
    };
    let resized = match lens
        .layers()
        .iter()
        .any(|other| other.name.starts_with(&format!("{}.0.downsample", layer.name)))
    {
        true => {
            " In the first block, where the size changes, the shortcut has a convolution and a batch norm of its own \
             (downsample.0 and .1)."
        }
        false => "",
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
        "about": format!("{} in, {} out. {parameters}{structure}{resized}{sees}", sides(input), sides(&layer.shape)),
        "sketch": sketch(layer),
        "rows": rows,
        "panel": page.shown.iter().find(drawn).map(|shown| identifier("unit", &shown.name)),
    })
}

/// Largest width of a sketch, of a block in it and of a sketch of branches; and its height, in pixels.
const SKETCH: f64 = 140.0;
const BLOCK: f64 = 36.0;
const BRANCHES: f64 = 44.0;
const SKETCH_HEIGHT: f64 = 26.0;

/// Shortcuts as arcs over their blocks, or branches side by side, as lines of an SVG.
fn sketch(layer: &Layer) -> Option<Value> {
    let (width, lines) = match (layer.shortcuts, layer.branches) {
        (0, 0) => return None,
        (0, branches) => (BRANCHES, (0..branches).map(|branch| parallel(branch, branches)).collect()),
        (shortcuts, _) => {
            let block = BLOCK.min(SKETCH / shortcuts as f64);
            let arcs = (0..shortcuts).map(|index| arc(index as f64 * block, block)).collect::<Vec<String>>();
            (block * shortcuts as f64, arcs)
        }
    };
    Some(json!({ "width": width, "height": SKETCH_HEIGHT, "lines": lines }))
}

/// A block from `x` on: a box on the line through it, and the shortcut over it.
fn arc(x: f64, width: f64) -> String {
    let [start, left, right, join, end] =
        [0.0, 0.3, 0.7, 0.85, 1.0].map(|part| format!("{:.1}", x + part * width));
    let fork = format!("{:.1}", x + 0.15 * width);
    let (low, half, top) = (SKETCH_HEIGHT - 6.0, 4.0, -4.0);
    let [above, below] = [low - half, low + half];
    format!(
        "M{start} {low}H{left}V{above}H{right}V{below}H{left}V{low}M{right} {low}H{end}\
         M{fork} {low}C{fork} {top} {join} {top} {join} {low}"
    )
}

/// One of several branches, which part on the left and meet on the right.
fn parallel(branch: usize, branches: usize) -> String {
    let (middle, margin) = (SKETCH_HEIGHT / 2.0, 2.0);
    let y = margin + (SKETCH_HEIGHT - 2.0 * margin) * branch as f64 / (branches - 1).max(1) as f64;
    let [left, right] = [10.0, BRANCHES - 10.0];
    format!(
        "M0 {middle}C{left} {middle} 2 {y:.1} {left} {y:.1}H{right}C{:.1} {y:.1} {right} {middle} {BRANCHES} {middle}",
        BRANCHES - 2.0
    )
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
