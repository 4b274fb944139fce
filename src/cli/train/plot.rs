//! `curves.svg`: loss and accuracy by epoch, with thin lines for the training steps between.

use super::metrics::{Metrics, Row};
use super::steps::StepRow;
use crate::cli::numbers::{axis_bounds, bounds};
use crate::cli::svg::{self, Area, Drawn};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;
use striate::Result;

const TRAIN: RGBColor = RGBColor(31, 119, 180);
const TEST: RGBColor = RGBColor(214, 96, 10);

/// Name, color and points of a curve.
type Curve = (&'static str, RGBColor, Vec<(f64, f64)>);

/// Axes of numbers, to draw curves into.
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Most points of a thin line, about one per pixel.
const MAX_POINTS: usize = 400;

/// Loss, or accuracy in percent, of training and held-out images.
struct Panel {
    name: &'static str,
    /// Training steps.
    steps: Vec<(f64, f64)>,
    curves: [Curve; 2],
}

/// Size of a panel on its own, in pixels; not much wider than a phone, so that its text is legible there.
pub const PANEL: (u32, u32) = (380, 280);

/// An SVG with two panels, loss and accuracy. Errors name the file at `path`.
pub fn curves(path: &Path, title: &str, metrics: &Metrics) -> Result<String> {
    svg::draw(path, (960, 400), |root| {
        let areas = root.titled(title, ("sans-serif", 20))?.split_evenly((1, 2));
        panels(metrics).iter().zip(&areas).try_for_each(|(panel, area)| panel.draw(area))
    })
}

/// The panels as SVGs of their own, which fit side by side or below each other.
pub fn curve_panels(path: &Path, metrics: &Metrics) -> Result<Vec<String>> {
    panels(metrics).iter().map(|panel| svg::draw(path, PANEL, |area| panel.draw(area))).collect()
}

fn panels(metrics: &Metrics) -> [Panel; 2] {
    let points = |value: fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        metrics.rows.iter().filter_map(|row| Some((row.epoch as f64, value(row)?))).collect()
    };
    let thin = |value: fn(&StepRow) -> Option<f64>| {
        thinned(metrics.steps.iter().filter_map(|row| Some((row.epoch, value(row)?))).collect())
    };
    let held_out = metrics.held_out();
    let loss: [Curve; 2] = [
        ("training", TRAIN, points(|r| Some(r.train_loss))),
        (held_out, TEST, points(|r| r.held_out().map(|(loss, _)| loss))),
    ];
    let accuracy: [Curve; 2] = [
        ("training", TRAIN, points(|r| Some(100.0 * r.train_accuracy))),
        (held_out, TEST, points(|r| r.held_out().map(|(_, accuracy)| 100.0 * accuracy))),
    ];
    let accuracy_of_steps = thin(|r| r.accuracy.map(|a| 100.0 * a));
    [
        Panel { name: "loss", steps: thin(|r| r.loss), curves: loss },
        Panel { name: "accuracy, %", steps: accuracy_of_steps, curves: accuracy },
    ]
}

/// At most [`MAX_POINTS`] points, means of neighbors.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    points.chunks(points.len().div_ceil(MAX_POINTS).max(1)).map(mean).collect()
}

impl Panel {
    fn draw(&self, area: &Area) -> Drawn {
        let all = || self.curves.iter().flat_map(|(_, _, points)| points).chain(&self.steps).copied();
        let values = padded(axis_bounds(all().map(|point| point.1)), 1e-3);
        let name = axis_name(self.name, all(), &values);
        let mut chart = axes(area, &name, bounds(all().map(|point| point.0)), values.clone())?;
        let inside = |points: &[(f64, f64)]| clamped(points, &values);
        chart.draw_series(LineSeries::new(inside(&self.steps), TRAIN.mix(0.6).stroke_width(1)))?;
        chart.draw_series(beyond(&self.steps, &values, TRAIN))?;
        for (label, color, points) in &self.curves {
            let line = LineSeries::new(inside(points), color.stroke_width(2)).point_size(3);
            let key = *color;
            chart
                .draw_series(line)?
                .label(*label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], key.stroke_width(2)));
            chart.draw_series(beyond(points, &values, *color))?;
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    }
}

/// The points, with those beyond the axis moved to its end.
pub fn clamped(points: &[(f64, f64)], values: &Range<f64>) -> Vec<(f64, f64)> {
    points.iter().map(|(x, y)| (*x, y.clamp(values.start, values.end))).collect()
}

/// Triangles at the ends of the axis for the points beyond it.
pub fn beyond(
    points: &[(f64, f64)],
    values: &Range<f64>,
    color: RGBColor,
) -> Vec<TriangleMarker<(f64, f64), i32>> {
    let outside = points.iter().zip(clamped(points, values)).filter(|(point, end)| point.1 != end.1);
    // A triangle of negative size points down.
    outside
        .map(|(point, end)| TriangleMarker::new(end, if point.1 > end.1 { 6 } else { -6 }, color.filled()))
        .collect()
}

/// The name of an axis, with the most extreme value if some lie beyond it.
pub fn axis_name(name: &str, points: impl Iterator<Item = (f64, f64)>, values: &Range<f64>) -> String {
    let (low, high) = bounds(points.map(|point| point.1));
    match (low < values.start, high > values.end) {
        (_, true) => format!("{name} (triangles: up to {high:.2})"),
        (true, _) => format!("{name} (triangles: down to {low:.2})"),
        _ => name.to_owned(),
    }
}

/// A range with a margin of at least `least` on either side.
pub fn padded((low, high): (f64, f64), least: f64) -> Range<f64> {
    let margin = ((high - low) * 0.08).max(least);
    low - margin..high + margin
}

/// A chart of a value from the first to the last epoch, without curves.
pub fn axes<'a, 'b>(
    area: &'a Area<'b>,
    name: &str,
    (first, last): (f64, f64),
    values: Range<f64>,
) -> Drawn<Chart<'a, 'b>> {
    let epochs = if last > first { first..last } else { first - 0.5..first + 0.5 };
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(38)
        .y_label_area_size(54)
        .build_cartesian_2d(epochs, values)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc(name)
        .light_line_style(WHITE)
        .x_labels(8)
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
        .draw()?;
    Ok(chart)
}

#[cfg(test)]
mod tests {
    use super::{TRAIN, axis_name, beyond, clamped};

    #[test]
    fn points_beyond_an_axis_are_marked_at_its_ends() {
        let points = [(1.0, 50.0), (2.0, 1.0), (3.0, -4.0)];
        let values = 0.0..2.0;
        assert_eq!(clamped(&points, &values), [(1.0, 2.0), (2.0, 1.0), (3.0, 0.0)]);
        assert_eq!(beyond(&points, &values, TRAIN).len(), 2);
        assert_eq!(axis_name("loss", points.into_iter(), &values), "loss (triangles: up to 50.00)");
        assert_eq!(axis_name("loss", [(1.0, 1.0)].into_iter(), &values), "loss");
    }
}
