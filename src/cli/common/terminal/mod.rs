//! The terminal, shared by printed lines and a progress bar below them, or an interface that hides them until it closes.

mod full_screen;
#[cfg(all(test, unix))]
mod tests;

pub use full_screen::{Frames, FullScreen, close, held_lines};

use super::text;
use anstream::{AutoStream, ColorChoice};
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Minimum terminal width for a progress bar before the text.
const WIDE: u16 = 110;
/// Width of the progress bar.
const GAUGE: usize = 30;

/// Columns left free at the right edge. indicatif pads the bar to the width of the terminal, and a terminal echoes Ctrl-C as `^C`
/// at the cursor: at the edge it would wrap, and the bar, no longer on the cursor's line, could not be cleared. The last column
/// is never written to.
const SPARE: u16 = 3;

/// What is on the terminal besides printed lines.
enum Shown {
    Nothing,
    Bar(ProgressBar),
    /// An interface, and what was written meanwhile.
    FullScreen(Vec<(Stream, Vec<u8>)>),
}

static SHOWN: Mutex<Shown> = Mutex::new(Shown::Nothing);

/// Whether lines and notes are dropped.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Sets whether lines and notes are dropped, because another process prints the same. Warnings and errors are still shown.
pub fn silence(silent: bool) {
    SILENT.store(silent, Ordering::Relaxed);
}

fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// A bar at the bottom of the terminal, one line at any width, removed on drop.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar redrawn at most `redraws` times per second, or on every change if that is 0. `None` if standard error is not a
    /// terminal.
    pub fn new(redraws: u8) -> Option<Self> {
        let screen = Screen(Term::buffered_stderr());
        if !screen.0.features().is_attended() || is_silent() {
            return None;
        }
        let target = match redraws {
            0 => ProgressDrawTarget::term_like(Box::new(screen)),
            redraws => ProgressDrawTarget::term_like_with_hz(Box::new(screen), redraws),
        };
        let style = ProgressStyle::with_template("{gauge}{wide_msg}").expect("the template is valid");
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style.with_key("gauge", gauge));
        *shown() = Shown::Bar(bar.clone());
        Some(Self(bar))
    }

    /// Shows that `done` of `total` steps are done.
    pub fn show(&self, done: usize, total: usize, text: String) {
        self.0.set_length(total as u64);
        self.0.set_message(text);
        self.0.set_position(done as u64);
    }
}

/// A terminal that reports [`SPARE`] columns less than it has.
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
        *shown() = Shown::Nothing;
        self.0.finish_and_clear();
    }
}

/// Standard output or standard error.
#[derive(Clone, Copy)]
pub enum Stream {
    Output,
    Error,
}

impl Stream {
    /// Writes above a progress bar; while an interface is shown, after it closes.
    pub fn write(self, bytes: &[u8]) -> io::Result<()> {
        if matches!(self, Self::Output) && is_silent() {
            return Ok(());
        }
        let bar = match &mut *shown() {
            Shown::Nothing => None,
            Shown::Bar(bar) => Some(bar.clone()),
            Shown::FullScreen(held) => {
                held.push((self, bytes.to_vec()));
                return Ok(());
            }
        };
        match bar {
            // Otherwise, it would be drawn over the output.
            Some(bar) => bar.suspend(|| self.write_now(bytes)),
            None => self.write_now(bytes),
        }
    }

    fn write_now(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Output => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            Self::Error => io::stderr().write_all(bytes),
        }
    }
}

/// Standard error for messages that may be printed while something else is shown.
pub struct Messages;

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Stream::Error.write(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Prints a line on standard error, control characters escaped. Errors are ignored, since nobody could see a message.
pub fn note(line: &str) {
    if is_silent() {
        return;
    }
    let _ = Messages.write_all(format!("{}\n", text::lines(line)).as_bytes());
}

/// Whether messages on standard error are colored: on a terminal that has colors, unless NO_COLOR, CLICOLOR or CLICOLOR_FORCE say
/// otherwise. clap decides in the same way about help and its own errors.
pub fn colored() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

fn shown() -> MutexGuard<'static, Shown> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws the progress bar if the terminal is wide enough.
fn gauge(state: &ProgressState, out: &mut dyn fmt::Write) {
    if Term::stderr().size().1 >= WIDE {
        let full = (state.fraction() * GAUGE as f32).round() as usize;
        // Ignored like all drawing errors.
        let _ = write!(out, "{}{} ", "█".repeat(full), "░".repeat(GAUGE - full.min(GAUGE)));
    }
}
