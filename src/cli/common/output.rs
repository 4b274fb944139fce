//! Standard output.

use super::terminal::above_bar;
use super::text;
use serde::Serialize;
use std::io::{ErrorKind, Write};
use striate::{Error, Result};

/// A value as JSON for people and machines.
pub fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("reports have text keys and finite numbers");
    text::json(&text) + "\n"
}

/// Writes lines to standard output, control characters escaped.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    let text = text::lines(text);
    let written = above_bar(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    unless_closed(written)
}

/// What came of writing to standard output. A reader that has seen enough (`| head`) is no error.
pub fn unless_closed(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write")(error))
        }
        _ => Ok(()),
    }
}
