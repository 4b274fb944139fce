//! Results: on standard output, or in a file.

use super::terminal::Stream;
use super::text;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::Path;
use striate::{Error, Result, write_file};

/// Formats a value as indented JSON.
pub fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("reports have text keys and finite numbers");
    text::json(&text) + "\n"
}

/// Writes lines to standard output, control characters escaped.
pub fn print(text: &str) -> Result<()> {
    unless_closed(Stream::Output.write(text::lines(text).as_bytes()))
}

/// Writes lines to a file, if one is given, instead of standard output, where control characters are escaped.
pub fn write(lines: &str, file: Option<&Path>) -> Result<()> {
    let Some(file) = file else { return print(lines) };
    write_file(file, lines.as_bytes())?;
    print(&format!("written  {}\n", text::name(&file.display().to_string())))
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
