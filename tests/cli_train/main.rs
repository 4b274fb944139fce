//! `striate train`: the files of a run, stopping and resuming, output and errors.

#![cfg(unix)]

mod bad_data;
mod choice;
mod config;
mod folders;
mod non_finite;
mod resume;
mod runs;
#[path = "../common/terminal.rs"]
mod screen;
mod settings;
mod stages;
mod steps;
mod stopping;
mod terminal;
mod tui;
mod validation;
#[path = "../common/workspace.rs"]
mod workspace;
