//! Draws the interface.

use super::chart::Chart;
use super::colors::Colors;
use super::gallery::Guess;
use super::layout::Panes;
use super::picture::{Picture, grid, opaque};
use super::state::{Now, State};
use crate::cli::train::progress::clock;
use image::RgbImage;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, LineGauge};
use striate::interpret::drawing::resize;
use striate::plan::format_bytes;

/// What is shown besides the state of the run.
pub struct View {
    pub colors: Colors,
    /// The latest messages, oldest first.
    pub messages: Vec<String>,
    pub help: bool,
    /// Whether the run is about to stop.
    pub stopping: bool,
}

const KEYS: &[&str] = &["q stop   s save a checkpoint   ? help"];
const STOPPING: &[&str] = &["stopping after this step; Ctrl-C ends at once"];
const HELP: &[&str] = &[
    "q, Ctrl-C  stop: write the results so far, and say how to resume",
    "s          save a checkpoint now",
    "?          hide this",
];

pub fn draw(frame: &mut Frame<'_>, state: &State, view: &View) {
    let area = frame.area();
    let facts = lines_of(&facts(state), usize::from(area.width));
    let keys = match view {
        View { stopping: true, .. } => STOPPING,
        View { help: true, .. } => HELP,
        _ => KEYS,
    };
    let panes = Panes::new(area, facts.len() as u16, keys.len() as u16);
    frame.render_widget(Line::styled(&state.title, Modifier::BOLD), panes.title);
    draw_progress(frame, panes.progress, state, view.colors);
    frame.render_widget(Text::from_iter(facts), panes.facts);
    let tested = |value: fn((f64, f64)) -> f64| -> Vec<(f64, f64)> {
        let rows = state.metrics.rows.iter();
        rows.filter_map(|row| Some((row.epoch as f64, value(row.held_out()?)))).collect()
    };
    let (loss, accuracy) = (tested(|(loss, _)| loss), tested(|(_, accuracy)| 100.0 * accuracy));
    let of_tested = state.held_out;
    let loss = Chart { name: "Loss", train: &state.loss.points, tested: &loss, of_tested, decimals: 2 };
    let train = &state.accuracy.points;
    let accuracy = Chart { name: "Accuracy %", train, tested: &accuracy, of_tested, decimals: 1 };
    loss.draw(frame, panes.charts[0], view.colors);
    accuracy.draw(frame, panes.charts[1], view.colors);
    draw_filters(frame, panes.pictures[0], &state.look.filters, view.colors);
    let guesses = format!("Predictions for {of_tested} images");
    draw_guesses(frame, panes.pictures[1], &guesses, &state.look.guesses, view.colors);
    let messages = &view.messages[view.messages.len().saturating_sub(usize::from(panes.messages.height))..];
    frame.render_widget(Text::from_iter(messages.iter().map(String::as_str)), panes.messages);
    frame.render_widget(Text::from_iter(keys.iter().copied()).style(Modifier::DIM), panes.keys);
}

fn draw_progress(frame: &mut Frame<'_>, area: Rect, state: &State, colors: Colors) {
    let label = match &state.now {
        None => "starting".to_owned(),
        Some(Now { progress: p, .. }) if area.width < 60 => {
            format!("{}/{} {}/{}", p.epoch, state.epochs, p.step, p.steps)
        }
        Some(Now { progress: p, .. }) => {
            format!("epoch {}/{}  step {}/{}", p.epoch, state.epochs, p.step, p.steps)
        }
    };
    let gauge = LineGauge::default().filled_symbol("█").unfilled_symbol("░");
    let gauge = gauge.filled_style(colors.style(Color::Cyan));
    frame.render_widget(gauge.label(label).ratio(state.done().clamp(0.0, 1.0)), area);
}

/// Numbers, the most important first.
fn facts(state: &State) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(Now { progress: p, images_per_second, left }) = &state.now {
        facts.push(format!("loss {:.4}", p.score.loss));
        facts.push(format!("accuracy {:.2} %", 100.0 * p.score.accuracy));
        facts.push(format!("{} left", clock(*left)));
        facts.push(format!("{images_per_second:.0} images/s"));
        facts.push(format!("learning rate {}", rate(p.lr)));
    }
    if let Some((best, (_, accuracy))) = state.metrics.best().and_then(|best| Some((best, best.held_out()?)))
    {
        facts.push(format!("best {:.2} % after epoch {}", 100.0 * accuracy, best.epoch));
    }
    facts.push(format!("{} on the device", format_bytes(state.memory)));
    facts.extend(state.checkpoint.map(|step| format!("checkpoint after step {step}")));
    facts
}

/// A learning rate in the shorter notation.
fn rate(lr: f32) -> String {
    if lr >= 1e-3 { format!("{lr:.4}") } else { format!("{lr:.2e}") }
}

/// Puts as many facts on each line as fit.
fn lines_of(facts: &[String], width: usize) -> Vec<String> {
    const GAP: &str = "   ";
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        match lines.last_mut() {
            Some(line) if line.len() + GAP.len() + fact.len() <= width => *line += &format!("{GAP}{fact}"),
            _ => lines.push(fact.clone()),
        }
    }
    lines
}

/// A pane with a title; returns its inside.
fn pane(frame: &mut Frame<'_>, area: Rect, title: &str) -> Rect {
    let block = Block::new().borders(Borders::TOP).title(format!("{title} "));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    inside
}

fn draw_filters(frame: &mut Frame<'_>, area: Rect, filters: &[RgbImage], colors: Colors) {
    if filters.is_empty() || area.is_empty() {
        return;
    }
    let (image, shown) = grid(filters, [u32::from(area.width), 2 * u32::from(area.height - 1)]);
    let count = if shown < filters.len() { format!(" {shown}/{}", filters.len()) } else { String::new() };
    let title = format!("Filters{count}, first layer");
    let inside = pane(frame, area, &title);
    frame.render_widget(Picture { image, colors }, inside);
}

/// Least columns of a prediction, and lines below its image.
const GUESS_WIDTH: u16 = 12;
const GUESS_LINES: u16 = 2;

fn draw_guesses(frame: &mut Frame<'_>, area: Rect, title: &str, guesses: &[Guess], colors: Colors) {
    let Some(first) = guesses.first().filter(|_| !area.is_empty()) else { return };
    let inside = pane(frame, area, title);
    let (width, height) = (first.image.width() as f64, first.image.height());
    let columns = |rows: u16| (width / f64::from(height) * f64::from(2 * rows)).round().max(1.0) as u16;
    let tile = |rows: u16| [columns(rows).max(GUESS_WIDTH) + 1, rows + GUESS_LINES];
    let fitting = |rows: u16| {
        let [across, down] = tile(rows);
        usize::from((inside.width + 1) / across * (inside.height / down)).min(guesses.len())
    };
    // The size at which the images together are largest.
    let sizes = 2..=(height.div_ceil(2) as u16).min(inside.height.saturating_sub(GUESS_LINES));
    let Some(rows) = sizes.max_by_key(|rows| fitting(*rows) * usize::from(rows * columns(*rows))) else {
        return;
    };
    let [across, down] = tile(rows);
    let per_row = ((inside.width + 1) / across).max(1);
    for (index, guess) in (0..).zip(&guesses[..fitting(rows)]) {
        let (x, y) = (inside.x + index % per_row * across, inside.y + index / per_row * down);
        let image = resize(&guess.image, u32::from(columns(rows)), u32::from(2 * rows));
        let picture = Picture { image: opaque(&image), colors };
        frame.render_widget(picture, Rect { x, y, width: across - 1, height: rows });
        let caption = caption(guess, colors);
        frame.render_widget(caption, Rect { x, y: y + rows, width: across - 1, height: GUESS_LINES });
    }
}

/// The predicted class, and its probability or the right class.
fn caption(guess: &Guess, colors: Colors) -> Text<'static> {
    match &guess.instead_of {
        None => Text::from(vec![
            Line::styled(format!("✓ {}", guess.class), colors.style(Color::Green)),
            Line::styled(format!("  {:.0} %", 100.0 * guess.probability), Modifier::DIM),
        ]),
        Some(class) => Text::from(vec![
            Line::styled(format!("✗ {}", guess.class), colors.style(Color::Red)),
            Line::raw(format!("  is {class}")),
        ]),
    }
}
