//! Where everything is, for terminals of any size.

use ratatui::layout::{Constraint, Layout, Rect};

/// The panes from top to bottom; those that do not fit are empty.
pub struct Panes {
    pub title: Rect,
    pub progress: Rect,
    pub facts: Rect,
    /// Loss, and accuracy.
    pub charts: [Rect; 2],
    /// Filters, and predictions.
    pub pictures: [Rect; 2],
    pub messages: Rect,
    pub keys: Rect,
}

/// Smallest sizes of charts and pictures.
const CHART: [u16; 2] = [24, 6];
const PICTURE: [u16; 2] = [20, 6];
/// Most rows of pictures.
const MAX_PICTURE: u16 = 19;

impl Panes {
    /// Divides `area` among panes, the most important first: progress, keys, `facts` lines, title, messages, charts, pictures.
    pub fn new(area: Rect, facts: u16, keys: u16) -> Self {
        let mut rest = area.height;
        let mut claim = |rows: u16| {
            let rows = rows.min(rest);
            rest -= rows;
            rows
        };
        let roomy = area.height >= 8;
        let progress = claim(1);
        let keys = claim(if roomy { keys } else { keys.min(1) });
        let facts = claim(facts);
        let [title, mut messages] = [claim(u16::from(roomy)), claim(u16::from(roomy))];
        if rest >= 24 {
            rest -= 4;
            messages += 4;
        }
        let charts = if area.width >= CHART[0] && rest >= CHART[1] { rest } else { 0 };
        let pictures = if area.width >= 2 * PICTURE[0] && charts >= CHART[1] + PICTURE[1] {
            (rest * 4 / 9).clamp(PICTURE[1], MAX_PICTURE)
        } else {
            0
        };
        let rows = [title, progress, facts, charts - pictures, pictures];
        let [title, progress, facts, charts, pictures, _, messages, keys] = Layout::vertical(
            rows.map(Constraint::Length)
                .into_iter()
                .chain([Constraint::Fill(1)])
                .chain([messages, keys].map(Constraint::Length)),
        )
        .areas(area);
        Self {
            title,
            progress,
            facts,
            charts: if area.width >= 2 * CHART[0] { halves(charts, 50) } else { [charts, Rect::ZERO] },
            pictures: halves(pictures, 34),
            messages,
            keys,
        }
    }
}

/// Left and right part, with a gap of two columns.
fn halves(area: Rect, percent: u16) -> [Rect; 2] {
    Layout::horizontal([Constraint::Percentage(percent), Constraint::Fill(1)]).spacing(2).areas(area)
}
