//! Curves of training and held-out images.

use super::colors::Colors;
use crate::cli::numbers::bounds;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{self, Axis, Block, Borders, Dataset, GraphType};

/// A value by epoch.
pub struct Chart<'a> {
    pub name: &'a str,
    /// Of the steps.
    pub train: &'a [(f64, f64)],
    /// On held-out images, after each epoch.
    pub tested: &'a [(f64, f64)],
    /// What these images are.
    pub of_tested: &'a str,
    /// Of the latest values.
    pub decimals: usize,
}

const TRAIN: Color = Color::Cyan;
const TEST: Color = Color::Yellow;

impl Chart<'_> {
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, colors: Colors) {
        if area.is_empty() {
            return;
        }
        let Self { train, tested, decimals, .. } = *self;
        let both = || train.iter().chain(tested);
        let (left, right) = padded(bounds(both().map(|point| point.0)));
        let left = left.floor();
        let (low, high) = padded(bounds(both().map(|point| point.1)));
        let curve = |points, kind, marker, color| {
            let curve = Dataset::default().data(points).graph_type(kind).marker(marker);
            curve.style(colors.style(color))
        };
        // Different markers, since there may be no colors.
        let curves = vec![
            curve(train, GraphType::Line, Marker::Braille, TRAIN),
            curve(tested, GraphType::Scatter, Marker::Dot, TEST),
        ];
        let value = |y: f64| format!("{y:.decimals$}");
        let x_axis =
            Axis::default().bounds([left, right]).labels([format!("{left}"), format!("epoch {right:.1}")]);
        let y_axis = Axis::default().bounds([low, high]).labels([low, (low + high) / 2.0, high].map(value));
        let block = Block::new().borders(Borders::TOP).title(self.legend(colors));
        let chart = widgets::Chart::new(curves).block(block).x_axis(x_axis).y_axis(y_axis);
        frame.render_widget(chart.legend_position(None), area);
    }

    /// The name, and the latest values.
    fn legend(&self, colors: Colors) -> Line<'static> {
        let mut legend = vec![Span::raw(self.name.to_owned())];
        for (marker, name, points, color) in
            [("⠒", "train", self.train, TRAIN), ("•", self.of_tested, self.tested, TEST)]
        {
            if let Some((_, value)) = points.last() {
                let text = format!("  {marker} {name} {value:.*}", self.decimals);
                legend.push(Span::styled(text, colors.style(color)));
            }
        }
        legend.push(Span::raw(" "));
        legend.into()
    }
}

/// Bounds that are not equal, and exist.
fn padded((low, high): (f64, f64)) -> (f64, f64) {
    match high > low {
        true => (low, high),
        false if low.is_finite() => (low - 0.5, low + 0.5),
        false => (0.0, 1.0),
    }
}
