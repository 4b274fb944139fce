//! Standard output.

use super::terminal::Stream;
use super::text;
use serde::Serialize;
use std::io::ErrorKind;
use striate::{Error, Result};

/// Formats a value as indented JSON.
pub fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("reports have text keys and finite numbers");
    text::json(&text) + "\n"
}

/// Writes lines to standard output, control characters escaped.
pub fn print(text: &str) -> Result<()> {
    unless_closed(Stream::Output.write(text::lines(text).as_bytes()))
}

/// Maps the result of writing to standard output. A closed pipe (`| head`) is not an error.
pub fn unless_closed(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write")(error))
        }
        _ => Ok(()),
    }
}
