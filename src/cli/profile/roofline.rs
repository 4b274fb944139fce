//! A roofline diagram with a point for each kernel (Williams, Waterman and Patterson 2009).

use super::Answer;
use super::peaks::Peaks;
use super::rows::Row;
use crate::cli::numbers::bounds;
use crate::cli::svg::{self, Area, Drawn};
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;
use striate::Result;

const SIZE: (u32, u32) = (1260, 676);
/// Height of the footer, and kernels per line in it.
const FOOTER: i32 = 90;
const ENTRIES: usize = 4;
/// Left edge of the names, to the right of the diagram.
const NAMES: i32 = 780;
/// Height of a line of text.
const LINE: i32 = 17;

const ARITHMETIC: RGBColor = RGBColor(31, 119, 180);
const MEMORY: RGBColor = RGBColor(214, 96, 10);
const ROOF: RGBColor = RGBColor(60, 60, 60);

/// A kernel in the diagram.
struct Point<'a> {
    row: &'a Row,
    /// Operations per byte.
    intensity: f64,
    /// Position in pixels.
    at: (i32, i32),
}

/// Draws the SVG. Errors name the file at `path`.
pub fn draw(path: &Path, answer: &Answer) -> Result<String> {
    svg::draw(path, SIZE, |root| {
        title(root, answer)?;
        let (with_arithmetic, others): (Vec<&Row>, Vec<&Row>) =
            answer.kernels.iter().filter(|row| row.ms > 0.0).partition(|row| row.flops > 0);
        let mut points: Vec<Point> = with_arithmetic
            .into_iter()
            .map(|row| Point { row, intensity: row.flops as f64 / row.bytes.max(1) as f64, at: (0, 0) })
            .collect();
        diagram(root, &answer.peaks, &mut points)?;
        names(root, points)?;
        footer(root, &others)
    })
}

fn title(root: &Area, answer: &Answer) -> Drawn {
    let [batch, channels, height, width] = answer.input;
    let what = format!("{}: a training step of {batch} images of {channels}x{height}x{width}", answer.model);
    root.draw(&Text::new(what, (20, 12), ("sans-serif", 20)))?;
    let how = format!("{}; timed by {}", answer.device, answer.clock);
    root.draw(&Text::new(how, (20, 38), ("sans-serif", 12).into_font().color(&ROOF)))?;
    Ok(())
}

/// Draws axes, roof and points, and sets the position of each point.
fn diagram(root: &Area, peaks: &Peaks, points: &mut [Point]) -> Drawn {
    let (x, y) = ranges(peaks, points);
    let (left, _) = root.split_horizontally(NAMES - 20);
    let mut chart = ChartBuilder::on(&left)
        .margin_top(62)
        .margin_left(12)
        .margin_right(10)
        .margin_bottom(FOOTER)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x.clone().log_scale(), y.clone().log_scale())?;
    chart
        .configure_mesh()
        .x_desc("operations a byte")
        .y_desc("GFLOP/s")
        .light_line_style(WHITE)
        .x_label_formatter(&|v| number(*v))
        .y_label_formatter(&|v| number(*v))
        .draw()?;
    let Peaks { gflop_per_s, gb_per_s, .. } = *peaks;
    let roof = [(x.start, x.start * gb_per_s), (peaks.ridge(), gflop_per_s), (x.end, gflop_per_s)];
    chart.draw_series(LineSeries::new(roof, ROOF.stroke_width(2)))?;
    for point in points.iter_mut() {
        let place = (point.intensity, point.row.gflop_per_s.max(y.start));
        point.at = chart.backend_coord(&place);
        let dot = Circle::new(place, radius(point.row), color(point.row).mix(0.75).filled());
        chart.draw_series([dot])?;
    }
    let label = |text: String, x: i32, y: i32| {
        root.draw(&Text::new(text, (x, y), ("sans-serif", 13).into_font().color(&ROOF)))
    };
    let (roof_x, roof_y) = chart.backend_coord(&(x.end, gflop_per_s));
    label(format!("{} GFLOP/s", number(gflop_per_s)), roof_x - 110, roof_y - 18)?;
    // Next to the middle of the slope.
    let middle = (x.start * peaks.ridge()).sqrt();
    let (roof_x, roof_y) = chart.backend_coord(&(middle, middle * gb_per_s));
    label(format!("{} GB/s", number(gb_per_s)), roof_x - 70, roof_y - 8)?;
    Ok(())
}

/// The ranges of the axes, which contain all points and both parts of the roof.
fn ranges(peaks: &Peaks, points: &[Point]) -> (Range<f64>, Range<f64>) {
    let around_ridge = [peaks.ridge() / 8.0, peaks.ridge() * 4.0];
    let (low, high) = bounds(points.iter().map(|p| p.intensity).chain(around_ridge));
    let x = low / 2.0..high * 2.0;
    let rates = points.iter().map(|p| p.row.gflop_per_s).filter(|rate| *rate > 0.0);
    let (low, high) = bounds(rates.chain([x.start * peaks.gb_per_s, peaks.gflop_per_s]));
    // A very slow kernel must not squeeze all others together.
    (x, low.max(peaks.gflop_per_s * 1e-6) / 2.0..high * 2.5)
}

/// The area of a point, apart from a minimum, is the kernel's share of the time.
fn radius(row: &Row) -> i32 {
    (4.0 + 14.0 * row.share.sqrt()).round() as i32
}

fn color(row: &Row) -> RGBColor {
    if row.bound == "memory" { MEMORY } else { ARITHMETIC }
}

/// Draws the names of the points in a column, each as close to the height of its point as possible and connected to it.
fn names(root: &Area, mut points: Vec<Point>) -> Drawn {
    points.sort_by_key(|p| p.at.1);
    let heights = spread(points.iter().map(|p| p.at.1).collect(), [70, SIZE.1 as i32 - 60]);
    for (point, height) in points.iter().zip(heights) {
        let Point { row, at, .. } = point;
        let line = [(at.0 + radius(row), at.1), (NAMES - 8, height)];
        root.draw(&PathElement::new(line.to_vec(), color(row).mix(0.3).stroke_width(1)))?;
        let text = format!(
            "{}  {} ms, {:.1} %, {:.0} % of peak",
            row.name,
            number(row.ms),
            100.0 * row.share,
            100.0 * row.of_peak
        );
        let font = ("sans-serif", 13).into_font().color(&color(row));
        root.draw(&Text::new(text, (NAMES, height - 7), font))?;
    }
    Ok(())
}

/// Moves sorted heights so that they are at least a line apart and, if possible, within bounds.
fn spread(mut heights: Vec<i32>, [top, bottom]: [i32; 2]) -> Vec<i32> {
    let mut next = top;
    for height in &mut heights {
        *height = (*height).max(next);
        next = *height + LINE;
    }
    let mut last = bottom;
    for height in heights.iter_mut().rev() {
        *height = (*height).min(last);
        last = *height - LINE;
    }
    heights
}

/// Draws the legend, and a list of kernels without arithmetic.
fn footer(root: &Area, rows: &[&Row]) -> Drawn {
    let list: Vec<String> = rows
        .iter()
        .map(|r| format!("{} {} ms at {} GB/s", r.name, number(r.ms), number(r.gb_per_s)))
        .collect();
    let entries: Vec<String> = list.chunks(ENTRIES).map(|entries| entries.join(", ")).collect();
    let mut lines = vec![
        "area: share of the time; blue: nearer to the arithmetic peak, orange: to the memory's".to_owned(),
    ];
    if !entries.is_empty() {
        lines.push("no arithmetic, so not shown:".to_owned());
        lines.extend(entries);
    }
    for (line, text) in lines.into_iter().enumerate() {
        let place = (20, SIZE.1 as i32 - FOOTER + 12 + LINE * line as i32);
        root.draw(&Text::new(text, place, ("sans-serif", 12).into_font().color(&ROOF)))?;
    }
    Ok(())
}

/// Formats three significant digits, or all digits before the point if there are more.
fn number(value: f64) -> String {
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_line_apart_and_in_bounds() {
        assert_eq!(spread(vec![100, 101, 300], [70, 500]), [100, 117, 300]);
        assert_eq!(spread(vec![10, 490, 499], [70, 500]), [70, 483, 500]);
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        assert_eq!([0.0123, 1.0, 12.345, 1234.5].map(number), ["0.0123", "1", "12.3", "1234"]);
        assert_eq!(number(0.5), "0.5");
    }
}
