//! A zip archive of `data.pkl`, the pickle, and `data/KEY`, the numbers of each storage.
//!
//! `torch.save` does not compress, so a compressed entry is refused and what is read stays within the size of the
//! file; each entry's checksum is tested.

use super::SAVE;
use std::io::{Cursor, Read};
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// A zip file, and how much of it may still be read.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that all entries are in, with its slash.
    folder: String,
    /// Bytes of entries still to be read: entries do not share bytes, so the file's size bounds them all.
    bytes_left: u64,
}

impl<'a> Archive<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        // The file begins with the archive. To look for its beginning goes wrong where padding that `torch.save` has
        // put between entries happens to look like a central directory.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(damaged)?;
        let pickles = zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
        let folder =
            pickles.filter_map(|name| name.strip_suffix("data.pkl")).min_by_key(|folder| folder.len());
        let folder = folder
            .ok_or_else(|| format!("is a zip file, but not one of torch.save: it has no data.pkl; {SAVE}"))?
            .to_owned();
        if zip.index_for_name(&format!("{folder}constants.pkl")).is_some() {
            return Err(format!("is a TorchScript program, which striate does not run; {SAVE}"));
        }
        let mut archive = Self { zip, folder, bytes_left: bytes.len() as u64 };
        let order = format!("{}byteorder", archive.folder);
        if archive.zip.index_for_name(&order).is_some() && archive.entry("byteorder")? != b"little" {
            return Err("was written on a machine with the big end first; write it on another".to_owned());
        }
        Ok(archive)
    }

    /// The bytes of an entry. Each is to be read once.
    pub fn entry(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let mut file = self.zip.by_name(&format!("{}{name}", self.folder)).map_err(|error| match error {
            ZipError::FileNotFound => format!("is damaged: its {name} is missing; fetch or write it again"),
            other => damaged(other),
        })?;
        if file.compression() != CompressionMethod::Stored {
            return Err(format!("is compressed, which torch.save never does; {SAVE}"));
        }
        if file.size() > self.bytes_left {
            return Err(format!("promises more in its {name} than the file holds; fetch or write it again"));
        }
        let mut bytes = Vec::new();
        let read = (&mut file).take(self.bytes_left + 1).read_to_end(&mut bytes);
        read.map_err(|e| format!("is damaged in its {name} ({e}); fetch or write it again"))?;
        self.bytes_left = self.bytes_left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            format!("has entries that share bytes, {name} for one; fetch or write it again")
        })?;
        Ok(bytes)
    }
}

fn damaged(error: ZipError) -> String {
    format!("is a damaged zip file, or not one that torch.save writes ({error}); fetch or write it again")
}
