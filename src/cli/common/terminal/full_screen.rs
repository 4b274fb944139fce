//! The whole terminal for an interface: its alternate screen, in raw mode.

use super::{Shown, shown};
use console::{Term, strip_ansi_codes};
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{self, Write};
use std::mem;
use std::panic;
use std::sync::Once;

/// The whole terminal, given back on drop. Until then, printed lines are [held back](held_lines).
pub struct FullScreen(());

impl FullScreen {
    /// Takes the terminal; `None` if standard output, standard error or the keyboard is not one, or it cannot move its cursor.
    pub fn open() -> Option<Self> {
        static CLOSES_ON_PANIC: Once = Once::new();
        let is_terminal = |term: Term| term.features().is_attended();
        if !(is_terminal(Term::stdout()) && is_terminal(Term::stderr())) || enable_raw_mode().is_err() {
            return None;
        }
        *shown() = Shown::FullScreen(Vec::new());
        let screen = Self(());
        CLOSES_ON_PANIC.call_once(|| {
            let print = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                close();
                print(info);
            }));
        });
        // Not every terminal clears its alternate screen.
        execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All)).is_ok().then_some(screen)
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        close();
    }
}

/// Gives the terminal back, if an interface has it, and prints what was held. For programs that are about to exit without
/// dropping their values, too.
pub fn close() {
    let mut shown = shown();
    if let Shown::FullScreen(held) = &mut *shown {
        let held = mem::take(held);
        *shown = Shown::Nothing;
        // Errors are ignored: there may be no terminal anymore.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        for (stream, bytes) in held {
            let _ = stream.write_now(&bytes);
        }
    }
}

/// The last `count` lines printed since an interface is shown, oldest first; `None` if none is shown.
pub fn held_lines(count: usize) -> Option<Vec<String>> {
    let Shown::FullScreen(held) = &*shown() else { return None };
    let text: String = held[held.len().saturating_sub(count)..]
        .iter()
        .map(|(_, bytes)| strip_ansi_codes(&String::from_utf8_lossy(bytes)).into_owned())
        .collect();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    Some(lines[lines.len().saturating_sub(count)..].to_vec())
}

/// Where an interface writes its frames. Each is written at once, and never after the terminal was given back.
#[derive(Default)]
pub struct Frames(Vec<u8>);

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = mem::take(&mut self.0);
        match *shown() {
            Shown::FullScreen(_) => io::stdout().write_all(&frame).and_then(|()| io::stdout().flush()),
            _ => Ok(()),
        }
    }
}
