//! `striate train`: the files of a run, stopping and resuming, output and errors.

#![cfg(unix)]

mod bad_data;
mod choice;
mod folders;
mod non_finite;
#[path = "../common/pty.rs"]
mod pty;
mod resume;
mod runs;
mod settings;
mod stopping;
mod terminal;
mod tui;
#[path = "../common/workspace.rs"]
mod workspace;
