//! The terminal, which a progress bar shares with the lines that are printed meanwhile.

use super::text;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};
use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Columns from which on there is room for a gauge before the text.
const WIDE: u16 = 110;
/// Columns of the gauge.
const GAUGE: usize = 30;

/// Columns at the right edge that the bar leaves free. A terminal shows a typed Ctrl-C as `^C` where the cursor is, at the bar's
/// end: at the edge it would start a new line, and the bar would no longer be found on the cursor's. The last column is never
/// written to.
const SPARE: u16 = 3;

/// The bar on the screen now, if there is one.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A bar at the bottom of the terminal, one line at any width, that is gone when this is dropped.
pub struct Bar(ProgressBar);

impl Bar {
    /// Redrawn at most so often a second, 0 for as often as it changes. `None` where standard error is no terminal that
    /// could show a bar.
    pub fn new(redraws: u8) -> Option<Self> {
        let screen = Screen(Term::buffered_stderr());
        if !screen.0.features().is_attended() {
            return None;
        }
        let target = match redraws {
            0 => ProgressDrawTarget::term_like(Box::new(screen)),
            redraws => ProgressDrawTarget::term_like_with_hz(Box::new(screen), redraws),
        };
        let style = ProgressStyle::with_template("{gauge}{wide_msg}").expect("the template is a valid one");
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style.with_key("gauge", gauge));
        *shown() = Some(bar.clone());
        Some(Self(bar))
    }

    /// Shows how far the work is.
    pub fn show(&self, done: usize, of: usize, text: String) {
        self.0.set_length(of as u64);
        self.0.set_message(text);
        self.0.set_position(done as u64);
    }
}

/// A terminal that the bar takes for [`SPARE`] columns narrower than it is.
#[derive(Debug)]
struct Screen(Term);

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.0.width().saturating_sub(SPARE).max(1)
    }

    fn height(&self) -> u16 {
        self.0.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.0.write_line(s)
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.0.write_str(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        *shown() = None;
        self.0.finish_and_clear();
    }
}

/// Does what prints, with the bar out of its way: the bar would be drawn over it.
pub fn above_bar<R>(print: impl FnOnce() -> R) -> R {
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// Standard error, for messages that may come while a bar is shown.
pub struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        above_bar(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Tells something beside what a command prints, control characters escaped. Where it cannot be told, nothing is lost.
pub fn note(line: &str) {
    let _ = Messages.write_all(format!("{}\n", text::lines(line)).as_bytes());
}

/// Whether messages on standard error are coloured.
pub fn coloured() -> bool {
    let term = Term::stderr();
    term.features().colors_supported() && std::env::var_os("NO_COLOR").is_none()
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far the work is, where the terminal is wide enough.
fn gauge(state: &ProgressState, out: &mut dyn fmt::Write) {
    if Term::stderr().size().1 >= WIDE {
        let full = (state.fraction() * GAUGE as f32).round() as usize;
        // What cannot be written is not drawn.
        let _ = write!(out, "{}{} ", "█".repeat(full), "░".repeat(GAUGE - full.min(GAUGE)));
    }
}
