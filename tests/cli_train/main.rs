//! `striate train` as a program: what a run leaves behind, how it stops, and what it says about bad input.

#![cfg(all(feature = "cli", unix))]

mod bad_data;
mod folders;
mod place;
mod resume;
mod runs;
mod settings;
mod stopping;
mod terminal;
