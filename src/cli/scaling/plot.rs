//! The efficiency by the number of ranks, as an SVG.

use super::model::Link;
use super::{Network, counts};
use crate::cli::svg::{self, class_color};
use plotters::prelude::*;
use std::path::Path;
use striate::Result;

/// Draws a curve for each network. Errors name the file at `path`.
pub fn draw(path: &Path, networks: &[Network], link: &Link) -> Result<String> {
    svg::draw(path, (720, 420), |area| {
        let last = counts().count() as f64 - 1.0;
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..last, 0.0..105.0)?;
        chart
            .configure_mesh()
            .x_desc("ranks")
            .y_desc("efficiency, %")
            .light_line_style(WHITE)
            .x_labels(counts().count())
            .x_label_formatter(&|power| format!("{:.0}", power.exp2()))
            .draw()?;
        for (i, network) in networks.iter().enumerate() {
            let points = counts()
                .enumerate()
                .map(|(power, ranks)| (power as f64, 100.0 * network.timeline.efficiency(ranks, link)));
            let color = class_color(i, networks.len().max(3));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?
                .label(network.workload.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    })
}
