//! `striate train`: the files of a run, stopping and resuming, output and errors.

#![cfg(unix)]

mod bad_data;
mod choice;
mod folders;
mod non_finite;
mod resume;
mod runs;
mod settings;
mod steps;
mod stopping;
mod terminal;
#[path = "../common/workspace.rs"]
mod workspace;
