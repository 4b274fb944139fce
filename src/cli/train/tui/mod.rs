//! `--tui`: curves, numbers and pictures on the whole terminal while training.

mod chart;
mod colors;
mod draw;
mod gallery;
mod layout;
mod picture;
mod state;
#[cfg(test)]
mod tests;

use super::interrupt::interrupt;
use super::metrics::Metrics;
use super::training::Run;
use crate::cli::terminal::{Frames, FullScreen, close, held_lines, note};
use colors::Colors;
use draw::{View, draw};
use gallery::Gallery;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
pub use state::Now;
use state::State;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use striate::train::{EpochReport, Trainer};

/// Time between two frames.
const REDRAW: Duration = Duration::from_millis(100);
/// How long the thread of the interface may take to end. It may wait for a terminal that is gone.
const PATIENCE: Duration = Duration::from_millis(500);
/// Messages at hand.
const MESSAGES: usize = 8;

/// The interface, on a thread of its own, so that it reacts during long steps, and a slow terminal does not slow training.
pub struct Interface {
    shared: Arc<Shared>,
    /// `None` if it failed.
    gallery: Option<Gallery>,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
    _screen: FullScreen,
}

/// What the threads share.
struct Shared {
    state: Mutex<State>,
    colors: Colors,
    stop: Arc<AtomicBool>,
    /// Whether a checkpoint is to be saved.
    save: AtomicBool,
    closing: AtomicBool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interface {
    /// Opens the interface for a run after some epochs; `None`, with a note, if there is no suitable terminal.
    pub fn open(run: &Run<'_>, trainer: &mut Trainer, done: &Metrics) -> Option<Self> {
        let mut state = State {
            title: format!("{} on {}", run.model.name(), run.split.train.name()),
            held_out: if run.split.validation.is_some() { "validation" } else { "test" },
            memory: trainer.session().bytes(),
            epochs: run.args.schedule.epochs,
            ..State::default()
        };
        state.continue_from(&done.rows);
        let colors = Colors::of_terminal();
        let Some(screen) = FullScreen::open() else {
            note(
                "note: --tui needs a terminal for standard input, output and error; progress is printed instead",
            );
            return None;
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            colors,
            stop: run.stop.clone(),
            save: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let (alive, ended) = channel();
        thread::spawn({
            let shared = shared.clone();
            move || {
                let _alive = alive;
                // Without a screen or keys, printed lines and signals are better than nothing.
                if let Err(error) = show(&shared) {
                    close();
                    log::warn!("the interface of --tui failed: {error}; training continues");
                }
            }
        });
        let gallery = Gallery::new(trainer, run.model, run.split);
        let gallery = gallery.inspect_err(|error| log::warn!("no filters and predictions: {error}")).ok();
        let mut interface = Self { shared, gallery, ended, _screen: screen };
        interface.look(trainer);
        Some(interface)
    }

    /// Shows a step.
    pub fn step(&self, now: Now) {
        self.shared.state().step(now);
    }

    /// Shows an epoch.
    pub fn epoch(&self, report: &EpochReport) {
        self.shared.state().epoch(report);
    }

    /// Shows the network as it is now. If that fails, only warns: training does not need it.
    pub fn look(&mut self, trainer: &mut Trainer) {
        let Some(gallery) = &mut self.gallery else { return };
        match gallery.look(trainer) {
            Ok(look) => self.shared.state().look = look,
            Err(error) => {
                log::warn!("no more filters and predictions: {error}");
                self.gallery = None;
            }
        }
    }

    /// Shows that there is a checkpoint after this step.
    pub fn saved(&self, step: usize) {
        self.shared.state().checkpoint = Some(step);
    }

    /// Whether a checkpoint is to be saved now.
    pub fn wants_checkpoint(&self) -> bool {
        self.shared.save.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // Always an error: nothing is sent.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

/// Draws frames and reacts to keys until the interface closes.
fn show(shared: &Shared) -> io::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(Frames::default()))?;
    let mut help = false;
    while !shared.closing.load(Ordering::Relaxed)
        && let Some(messages) = held_lines(MESSAGES)
    {
        let stopping = shared.stop.load(Ordering::Relaxed);
        let view = View { colors: shared.colors, messages, help, stopping };
        terminal.draw(|frame| draw(frame, &shared.state(), &view))?;
        let next = Instant::now() + REDRAW;
        while event::poll(next.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
            {
                react(key, shared, &mut help);
            }
        }
    }
    Ok(())
}

fn react(key: KeyEvent, shared: &Shared, help: &mut bool) {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => interrupt(&shared.stop),
        KeyCode::Char('q') => shared.stop.store(true, Ordering::Relaxed),
        KeyCode::Char('s') => shared.save.store(true, Ordering::Relaxed),
        KeyCode::Char('?') => *help = !*help,
        _ => {}
    }
}
