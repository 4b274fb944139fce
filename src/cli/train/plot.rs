//! `curves.svg`: loss and accuracy by epoch.

use super::metrics::Row;
use crate::cli::numbers::bounds;
use crate::cli::svg::{self, Area, Drawn};
use plotters::prelude::*;
use std::path::Path;
use striate::Result;

const TRAIN: RGBColor = RGBColor(31, 119, 180);
const TEST: RGBColor = RGBColor(214, 96, 10);

/// Name, color and points of a curve.
type Curve = (&'static str, RGBColor, Vec<(f64, f64)>);

/// An SVG with two panels, loss and accuracy in percent, for training and held-out images. Errors name the file at `path`.
pub fn curves(path: &Path, title: &str, rows: &[Row]) -> Result<String> {
    let points = |value: fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        rows.iter().filter_map(|row| Some((row.epoch as f64, value(row)?))).collect()
    };
    let on = if rows.iter().any(|row| row.validation_loss.is_some()) { "validation" } else { "test" };
    let loss: [Curve; 2] = [
        ("training", TRAIN, points(|r| Some(r.train_loss))),
        (on, TEST, points(|r| r.held_out().map(|(loss, _)| loss))),
    ];
    let accuracy: [Curve; 2] = [
        ("training", TRAIN, points(|r| Some(100.0 * r.train_accuracy))),
        (on, TEST, points(|r| r.held_out().map(|(_, accuracy)| 100.0 * accuracy))),
    ];
    svg::draw(path, (960, 400), |root| {
        let panels = root.titled(title, ("sans-serif", 20))?.split_evenly((1, 2));
        panel(&panels[0], "loss", &loss)?;
        panel(&panels[1], "accuracy, %", &accuracy)
    })
}

fn panel(area: &Area, name: &str, curves: &[Curve]) -> Drawn {
    let all = || curves.iter().flat_map(|(_, _, points)| points);
    let (first, last) = bounds(all().map(|point| point.0));
    let (low, high) = bounds(all().map(|point| point.1));
    let margin = ((high - low) * 0.08).max(1e-3);
    let epochs = if last > first { first..last } else { first - 0.5..first + 0.5 };
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(38)
        .y_label_area_size(54)
        .build_cartesian_2d(epochs, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc(name)
        .light_line_style(WHITE)
        .x_labels(8)
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
        .draw()?;
    for (label, color, points) in curves {
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3);
        let key = *color;
        chart
            .draw_series(line)?
            .label(*label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], key.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}
