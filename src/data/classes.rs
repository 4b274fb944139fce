//! Class names from a file.

use std::path::Path;

use crate::file::read_up_to;
use crate::{Error, Result};

/// Largest file accepted.
const MAX_NAMES_BYTES: u64 = 16 << 20;

/// Reads class names from a text file, one per line; empty lines are ignored.
///
/// The encoding is UTF-8, UTF-16 with a byte order mark, or otherwise Latin-1.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read; [`Error::Data`] if it is not text or has no names.
pub fn read_class_names(path: &Path) -> Result<Vec<String>> {
    let text = read_up_to(path, MAX_NAMES_BYTES)?.and_then(|bytes| decode(&bytes));
    let names = text.iter().flat_map(|text| text.lines()).map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    match names.is_empty() {
        true => Err(Error::data(path, "has no class names; expected a text file with one per line")),
        false => Ok(names),
    }
}

/// Decodes text; `None` if it is binary.
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
        // Latin-1 is the first 256 code points of Unicode.
        _ => String::from_utf8(bytes.to_vec())
            .unwrap_or_else(|_| bytes.iter().map(|b| char::from(*b)).collect()),
    };
    // Text has no NUL characters, but UTF-16 without a byte order mark read as Latin-1 does.
    (!text.contains('\0')).then_some(text)
}
