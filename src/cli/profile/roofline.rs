//! The roofline of the device with each kernel as a point in it (Williams, Waterman and Patterson 2009).

use super::Answer;
use super::peaks::Peaks;
use super::rows::Row;
use crate::cli::text;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::ops::Range;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const SIZE: (u32, u32) = (1260, 676);
/// Room for the lines below the diagram, and entries in one of them.
const FOOTER: i32 = 90;
const ENTRIES: usize = 4;
/// Where the names begin, right of the diagram.
const NAMES: i32 = 780;
const LINE: i32 = 17;

const ARITHMETIC: RGBColor = RGBColor(31, 119, 180);
const MEMORY: RGBColor = RGBColor(214, 96, 10);
const ROOF: RGBColor = RGBColor(60, 60, 60);

/// A kernel in the diagram.
struct Point<'a> {
    row: &'a Row,
    /// Operations a byte.
    intensity: f64,
    /// Where it is drawn, in pixels.
    at: (i32, i32),
}

/// An SVG.
pub fn draw(answer: &Answer) -> Outcome<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        title(&root, answer)?;
        let (counting, moving): (Vec<&Row>, Vec<&Row>) =
            answer.kernels.iter().filter(|row| row.ms > 0.0).partition(|row| row.flops > 0);
        let mut points: Vec<Point> = counting
            .into_iter()
            .map(|row| Point { row, intensity: row.flops as f64 / row.bytes.max(1) as f64, at: (0, 0) })
            .collect();
        diagram(&root, &answer.peaks, &mut points)?;
        names(&root, points)?;
        without_arithmetic(&root, &moving)?;
        root.present()?;
    }
    Ok(text::lines(&svg).into_owned())
}

fn title(root: &Area, answer: &Answer) -> Outcome {
    let [batch, channels, height, width] = answer.input;
    let what = format!("{}: a training step of {batch} images of {channels}x{height}x{width}", answer.model);
    root.draw(&Text::new(what, (20, 12), ("sans-serif", 20)))?;
    let how = format!("{}; timed by {}", answer.device, answer.clock);
    root.draw(&Text::new(how, (20, 38), ("sans-serif", 12).into_font().color(&ROOF)))?;
    Ok(())
}

/// Axes, roof and points; tells each point where it was drawn.
fn diagram(root: &Area, peaks: &Peaks, points: &mut [Point]) -> Outcome {
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
    let (roof_x, roof_y) = chart.backend_coord(&(x.end, gflop_per_s));
    let flat = format!("{} GFLOP/s", number(gflop_per_s));
    root.draw(&Text::new(flat, (roof_x - 110, roof_y - 18), ("sans-serif", 13).into_font().color(&ROOF)))?;
    // Beside the middle of the slope.
    let middle = (x.start * peaks.ridge()).sqrt();
    let (roof_x, roof_y) = chart.backend_coord(&(middle, middle * gb_per_s));
    let slope = format!("{} GB/s", number(gb_per_s));
    root.draw(&Text::new(slope, (roof_x - 70, roof_y - 8), ("sans-serif", 13).into_font().color(&ROOF)))?;
    Ok(())
}

/// The axes: all points, and the roof with both its parts.
fn ranges(peaks: &Peaks, points: &[Point]) -> (Range<f64>, Range<f64>) {
    let least = |start: f64, values: &mut dyn Iterator<Item = f64>| values.fold(start, f64::min);
    let most = |start: f64, values: &mut dyn Iterator<Item = f64>| values.fold(start, f64::max);
    let x = || points.iter().map(|p| p.intensity);
    let x = least(peaks.ridge() / 8.0, &mut x()) / 2.0..most(peaks.ridge() * 4.0, &mut x()) * 2.0;
    let y = || points.iter().map(|p| p.row.gflop_per_s).filter(|y| *y > 0.0);
    // A kernel that hardly computes must not press all others together.
    let low = least(x.start * peaks.gb_per_s, &mut y()).max(peaks.gflop_per_s * 1e-6);
    (x, low / 2.0..most(peaks.gflop_per_s, &mut y()) * 2.5)
}

/// Its area is the kernel's share of the time.
fn radius(row: &Row) -> i32 {
    (4.0 + 14.0 * row.share.sqrt()).round() as i32
}

fn color(row: &Row) -> RGBColor {
    if row.bound == "memory" { MEMORY } else { ARITHMETIC }
}

/// The points' names in a column, each as near to its point's height as the others let it, with a line to it.
fn names(root: &Area, mut points: Vec<Point>) -> Outcome {
    points.sort_by_key(|p| p.at.1);
    let heights = apart(points.iter().map(|p| p.at.1).collect(), [70, SIZE.1 as i32 - 60]);
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

/// Heights in order, moved so that they are a line apart and between the bounds, if they can be.
fn apart(mut heights: Vec<i32>, [top, bottom]: [i32; 2]) -> Vec<i32> {
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

/// What has no place in the diagram.
fn without_arithmetic(root: &Area, rows: &[&Row]) -> Outcome {
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

/// Three digits, or all that are before the point.
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
        assert_eq!(apart(vec![100, 101, 300], [70, 500]), [100, 117, 300]);
        assert_eq!(apart(vec![10, 490, 499], [70, 500]), [70, 483, 500]);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.0123, 1.0, 12.345, 1234.5].map(number), ["0.0123", "1", "12.3", "1234"]);
        assert_eq!(number(0.5), "0.5");
    }
}
