//! Names of classes from a file.

use std::path::Path;

use crate::file::read_up_to;
use crate::{Error, Result};

/// The most that a file of names may hold: no list of classes is as long.
const MAX_NAMES_BYTES: u64 = 16 << 20;

/// Reads names of classes from a file, one a line; empty lines do not count.
///
/// The text is UTF-8, UTF-16 with a byte order mark, or, where it is neither, Latin-1.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read; [`Error::Data`] if it is no text or has no names.
pub fn read_class_names(path: &Path) -> Result<Vec<String>> {
    let text = read_up_to(path, MAX_NAMES_BYTES)?.and_then(|bytes| decode(&bytes));
    let names = text.iter().flat_map(|text| text.lines()).map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    match names.is_empty() {
        true => Err(Error::data(path, "has no names of classes; give a text with one a line")),
        false => Ok(names),
    }
}

/// The text of a file; `None` if it is none.
fn decode(bytes: &[u8]) -> Option<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok()?,
        // The first 256 characters of Unicode are those of Latin-1.
        _ => String::from_utf8(bytes.to_vec())
            .unwrap_or_else(|_| bytes.iter().map(|b| char::from(*b)).collect()),
    };
    // No text holds a zero; UTF-16 without its mark does.
    (!text.contains('\0')).then_some(text)
}
