//! The curves of several runs in one chart.

use super::run::Run;
use crate::cli::html::svg_uri;
use crate::cli::numbers::{axis_bounds, bounds};
use crate::cli::svg::{self, Area, Drawn};
use crate::cli::train::{PANEL, Row, axes, axis_name, beyond, clamped, padded};
use plotters::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use striate::Result;

/// Eight colors that stay apart for color-blind readers: those of M. A. Petroff, *Accessible Color Sequences for Data
/// Visualization*, 2021, in an order in which the first few differ most.
const COLORS: [RGBColor; 8] = [
    RGBColor(0x18, 0x45, 0xfb),
    RGBColor(0xc9, 0x1f, 0x16),
    RGBColor(0xc8, 0x49, 0xa9),
    RGBColor(0xad, 0xad, 0x7d),
    RGBColor(0x65, 0x63, 0x64),
    RGBColor(0x57, 0x8d, 0xff),
    RGBColor(0xff, 0x5e, 0x02),
    RGBColor(0x86, 0xc8, 0xdd),
];

/// Length of dashes and of the gaps between them, in pixels: none for the first eight runs.
const DASHES: [[u32; 2]; 3] = [[1, 0], [9, 4], [2, 3]];

/// The most runs whose lines are all different.
pub const MAX_RUNS: usize = COLORS.len() * DASHES.len();

/// The line of a run.
#[derive(Clone, Copy, Serialize)]
pub struct Style {
    #[serde(serialize_with = "hexadecimal")]
    color: RGBColor,
    dashes: [u32; 2],
}

fn hexadecimal<S: serde::Serializer>(RGBColor(r, g, b): &RGBColor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("#{r:02x}{g:02x}{b:02x}"))
}

impl Style {
    /// The style of the run at this place.
    pub fn of(index: usize) -> Self {
        Self { color: COLORS[index % COLORS.len()], dashes: DASHES[index / COLORS.len() % DASHES.len()] }
    }
}

/// Title and values of a chart.
type Chart = (&'static str, fn(&Row) -> Option<f64>);

/// Charts by the name of their vertical axis, which they share.
const CHARTS: [(&str, &[Chart]); 3] = [
    (
        "loss",
        &[
            ("Training loss", |row| Some(row.train_loss)),
            ("Held-out loss", |row| row.held_out().map(|(loss, _)| loss)),
        ],
    ),
    (
        "accuracy, %",
        &[
            ("Training accuracy", |row| Some(100.0 * row.train_accuracy)),
            ("Held-out accuracy", |row| row.held_out().map(|(_, share)| 100.0 * share)),
        ],
    ),
    (RATE, &[("Learning rate", |row| Some(f64::from(row.lr)))]),
];

const RATE: &str = "learning rate";

/// Epochs and values of a run.
type Curve = Vec<(f64, f64)>;

/// Title and SVG of each chart that has any values. Errors name the file at `path`.
pub fn plots(path: &Path, runs: &[Run]) -> Result<Vec<Value>> {
    let mut plots = Vec::new();
    for (axis, charts) in CHARTS {
        let curves = |value: fn(&Row) -> Option<f64>| -> Vec<Curve> {
            let point = |row: &Row| Some((row.epoch as f64, value(row)?));
            runs.iter().map(|run| run.metrics.rows.iter().filter_map(point).collect()).collect()
        };
        let mut charts: Vec<(&str, Vec<Curve>)> =
            charts.iter().map(|(title, value)| (*title, curves(*value))).collect();
        charts.retain(|(_, curves)| curves.iter().any(|curve| !curve.is_empty()));
        let points = || charts.iter().flat_map(|(_, curves)| curves).flatten();
        let epochs = bounds(points().map(|point| point.0));
        let heights = points().map(|point| point.1);
        // Schedules have steps, not outliers.
        let values = if axis == RATE { bounds(heights) } else { axis_bounds(heights) };
        for (title, curves) in &charts {
            let svg = svg::draw(path, PANEL, |area| chart(area, axis, epochs, values, curves))?;
            plots.push(json!({ "title": title, "src": svg_uri(svg.as_bytes()) }));
        }
    }
    Ok(plots)
}

/// Draws the curves of all runs, with a dot at the end of each.
fn chart(area: &Area, axis: &str, epochs: (f64, f64), values: (f64, f64), curves: &[Curve]) -> Drawn {
    // The margin is relative, because learning rates can be tiny.
    let values = padded(values, (0.02 * values.1.abs()).max(1e-9));
    let axis = axis_name(axis, curves.iter().flatten().copied(), &values);
    let mut chart = axes(area, &axis, epochs, values.clone())?;
    for (index, curve) in curves.iter().enumerate() {
        let Style { color, dashes: [dash, gap] } = Style::of(index);
        let points = clamped(curve, &values).into_iter();
        match gap {
            0 => chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?,
            _ => chart.draw_series(DashedLineSeries::new(points, dash, gap, color.stroke_width(2)))?,
        };
        chart.draw_series(beyond(curve, &values, color))?;
        chart
            .draw_series(clamped(curve, &values).last().map(|last| Circle::new(*last, 4, color.filled())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_its_own_line() {
        let line = |index| serde_json::to_string(&Style::of(index)).unwrap();
        assert_eq!(line(8), r##"{"color":"#1845fb","dashes":[9,4]}"##);
        let lines: std::collections::HashSet<String> = (0..MAX_RUNS).map(line).collect();
        assert_eq!(lines.len(), MAX_RUNS);
    }
}
