//! Plots errors by epoch as in figure 6 of the paper: plain networks on the left, residual ones on the right; training errors thin,
//! test errors bold.

use super::findings::{Epoch, Family, Net};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

const COLORS: [RGBColor; 6] = [
    RGBColor(190, 160, 20),
    RGBColor(31, 119, 180),
    RGBColor(44, 140, 70),
    RGBColor(200, 50, 40),
    RGBColor(130, 80, 170),
    RGBColor(90, 90, 90),
];

/// An SVG of both panels.
pub fn curves(nets: &[Net]) -> Result<String, Box<dyn Error>> {
    let epochs = nets.iter().map(|net| net.epochs.len()).max().unwrap_or(1).max(2) as f64;
    let errors = nets.iter().flat_map(|net| &net.epochs).map(|e| e.train_error.max(e.test_error));
    let highest = errors.fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (960, 420)).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = root.split_evenly((1, 2));
        for (area, family, title) in
            [(&panels[0], Family::Plain, "plain"), (&panels[1], Family::Residual, "residual")]
        {
            let nets: Vec<&Net> = nets.iter().filter(|net| net.family == family).collect();
            panel(area, title, &nets, [epochs, 1.05 * highest])?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    nets: &[&Net],
    [epochs, highest]: [f64; 2],
) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{title}: training thin, test bold"), ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d(1.0..epochs, 0.0..highest)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc("error, %")
        .max_light_lines(1)
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
        .draw()?;
    for (net, color) in nets.iter().zip(COLORS.iter().cycle()) {
        let points = |value: fn(&Epoch) -> f64| {
            net.epochs.iter().enumerate().map(move |(i, epoch)| ((i + 1) as f64, value(epoch)))
        };
        chart.draw_series(LineSeries::new(points(|e| e.train_error), color.stroke_width(1)))?;
        chart
            .draw_series(LineSeries::new(points(|e| e.test_error), color.stroke_width(3)))?
            .label(net.name())
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}
