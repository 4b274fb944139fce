//! The file of tuned choices for an adapter and its driver.

use super::cache;
use super::gpu::AdapterSummary;
use crate::plan::Tuned;
use crate::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

fn path(adapter: &AdapterSummary) -> Option<PathBuf> {
    adapter.cache_file("tune")
}

/// Reads the choices for an adapter. A file that cannot be used is ignored with a warning.
pub fn load(adapter: &AdapterSummary) -> Tuned {
    let Some(path) = path(adapter) else { return Tuned::default() };
    read(&path, adapter).unwrap_or_else(|problem| {
        log::warn!("{} {problem} and is ignored; run `striate tune` to write a new one", path.display());
        Tuned::default()
    })
}

fn read(path: &Path, adapter: &AdapterSummary) -> Result<Tuned, String> {
    match cache::read(path) {
        Ok(bytes) => Tuned::from_json(&String::from_utf8_lossy(&bytes), &adapter.name, &adapter.driver),
        Err(Error::Io { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            Ok(Tuned::default())
        }
        Err(error) => Err(format!("cannot be read ({error})")),
    }
}

/// Fails if the file could not be written.
pub fn check(adapter: &AdapterSummary) -> Result<()> {
    path(adapter).map_or(Ok(()), |path| cache::check(&path))
}

/// Writes the file and returns its path; `None` without a cache folder.
pub fn save(adapter: &AdapterSummary, tuned: &Tuned) -> Result<Option<PathBuf>> {
    let Some(path) = path(adapter) else { return Ok(None) };
    cache::write(&path, tuned.to_json(&adapter.name, &adapter.driver).as_bytes())?;
    Ok(Some(path))
}
