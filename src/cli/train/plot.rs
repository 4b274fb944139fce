//! Loss and accuracy by epoch, as an image.

use super::metrics::Row;
use crate::cli::text;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

const TRAIN: RGBColor = RGBColor(31, 119, 180);
const TEST: RGBColor = RGBColor(214, 96, 10);

/// A curve of the image: its name, colour and points.
type Curve = (&'static str, RGBColor, Vec<(f64, f64)>);

/// An SVG of two panels: loss, and accuracy in percent; training and test in each.
pub fn curves(title: &str, rows: &[Row]) -> Result<String, Box<dyn Error>> {
    let points = |value: fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        rows.iter().filter_map(|row| Some((row.epoch as f64, value(row)?))).collect()
    };
    let loss: [Curve; 2] =
        [("training", TRAIN, points(|r| Some(r.train_loss))), ("test", TEST, points(|r| r.test_loss))];
    let accuracy: [Curve; 2] = [
        ("training", TRAIN, points(|r| Some(100.0 * r.train_accuracy))),
        ("test", TEST, points(|r| r.test_accuracy.map(|a| 100.0 * a))),
    ];
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (960, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(title, ("sans-serif", 20))?;
        let panels = root.split_evenly((1, 2));
        panel(&panels[0], "loss", &loss)?;
        panel(&panels[1], "accuracy, %", &accuracy)?;
        root.present()?;
    }
    Ok(text::lines(&svg).into_owned())
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    name: &str,
    curves: &[Curve],
) -> Result<(), Box<dyn Error>> {
    let all = || curves.iter().flat_map(|(_, _, points)| points);
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let low = all().map(pick).fold(f64::INFINITY, f64::min);
        let high = all().map(pick).fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    };
    let (first, last) = range(|p| p.0);
    let (low, high) = range(|p| p.1);
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
