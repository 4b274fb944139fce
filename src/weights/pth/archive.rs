//! The zip format: `data.pkl` is the pickle, `data/KEY` the content of each storage.
//!
//! `torch.save` does not compress. Compressed entries are rejected, which bounds the bytes read by the file's size.
//! Checksums are verified.

use super::{AGAIN, BIG_ENDIAN, SAVE};
use std::io::{Cursor, Read};
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// A zip archive with a budget of bytes to read.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder of all entries, with a trailing slash.
    folder: String,
    /// Bytes that may still be read. Valid entries do not overlap, so their total is at most the file's size.
    bytes_left: u64,
}

impl<'a> Archive<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        // The archive starts at offset 0. Letting the crate detect the offset fails when the padding that
        // `torch.save` puts between entries happens to look like a central directory.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(damaged)?;
        let pickles = zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
        let folder =
            pickles.filter_map(|name| name.strip_suffix("data.pkl")).min_by_key(|folder| folder.len());
        let folder = folder
            .ok_or_else(|| format!("is a zip file without data.pkl, so not one from torch.save; {SAVE}"))?
            .to_owned();
        if zip.index_for_name(&format!("{folder}constants.pkl")).is_some() {
            return Err(format!("is a TorchScript program, which is not supported; {SAVE}"));
        }
        let mut archive = Self { zip, folder, bytes_left: bytes.len() as u64 };
        let order = format!("{}byteorder", archive.folder);
        if archive.zip.index_for_name(&order).is_some() && archive.entry("byteorder")? != b"little" {
            return Err(BIG_ENDIAN.to_owned());
        }
        Ok(archive)
    }

    /// Reads an entry. Reading one twice counts twice against the budget.
    pub fn entry(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let mut file = self.zip.by_name(&format!("{}{name}", self.folder)).map_err(|error| match error {
            ZipError::FileNotFound => format!("is damaged: {name} is missing; {AGAIN}"),
            other => damaged(other),
        })?;
        if file.compression() != CompressionMethod::Stored {
            return Err(format!("is compressed, unlike files from torch.save; {SAVE}"));
        }
        if file.size() > self.bytes_left {
            return Err(format!("is damaged: {name} claims to be larger than the file; {AGAIN}"));
        }
        let mut bytes = Vec::new();
        let read = (&mut file).take(self.bytes_left + 1).read_to_end(&mut bytes);
        read.map_err(|e| format!("is damaged: cannot read {name} ({e}); {AGAIN}"))?;
        let bytes_left = self.bytes_left.checked_sub(bytes.len() as u64);
        self.bytes_left =
            bytes_left.ok_or_else(|| format!("is damaged: {name} overlaps another entry; {AGAIN}"))?;
        Ok(bytes)
    }
}

fn damaged(error: ZipError) -> String {
    format!("is a damaged zip file, or not one from torch.save ({error}); {AGAIN}")
}
