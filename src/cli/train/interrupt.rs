//! Ctrl-C and termination signals.

use crate::cli::terminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use striate::{Error, Result};

/// Exit code of a program stopped by Ctrl-C.
pub const INTERRUPTED: i32 = 130;

/// Sets a flag on Ctrl-C and termination signals. A second signal ends the program at once.
pub fn stop_on_interrupt(flag: &Arc<AtomicBool>) -> Result<()> {
    let flag = flag.clone();
    ignored_as_before(|| ctrlc::set_handler(move || interrupt(&flag)))
        .map_err(|e| Error::argument("Ctrl-C", format!("cannot be caught: {e}")))
}

/// Stops training; the second time, ends the program at once.
pub fn interrupt(stop: &AtomicBool) {
    if stop.swap(true, Ordering::Relaxed) {
        terminal::close();
        std::process::exit(INTERRUPTED);
    }
}

/// Installs signal handlers, but keeps ignoring signals that were ignored at startup: by `nohup`, or by a shell without job
/// control for background processes.
#[cfg(unix)]
fn ignored_as_before<R>(install: impl FnOnce() -> R) -> R {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: an ignored signal runs no code.
    let ignore = |caught: Signal| unsafe { signal(caught, SigHandler::SigIgn) };
    let caught = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let before = caught.map(ignore);
    let installed = install();
    for (caught, before) in caught.into_iter().zip(before) {
        if matches!(before, Ok(SigHandler::SigIgn)) {
            // Cannot fail, since the same call succeeded above.
            let _ = ignore(caught);
        }
    }
    installed
}

#[cfg(not(unix))]
fn ignored_as_before<R>(install: impl FnOnce() -> R) -> R {
    install()
}
