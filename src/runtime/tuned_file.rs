//! Where the choices for an adapter and its driver are kept.

use super::cache;
use super::gpu::AdapterSummary;
use crate::plan::Tuned;
use crate::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

fn path(folder: &Path, adapter: &AdapterSummary) -> PathBuf {
    folder.join(cache::file_name(&["tune", &adapter.name, &adapter.backend, &adapter.driver], "json"))
}

/// The choices that were kept for an adapter; none where there are none that can be used, which is told.
pub fn load(adapter: &AdapterSummary) -> Tuned {
    let Some(path) = cache::folder().map(|folder| path(&folder, adapter)) else { return Tuned::default() };
    read(&path, adapter).unwrap_or_else(|problem| {
        log::warn!("{} {problem}, and is ignored; `striate tune` writes it anew", path.display());
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

/// Fails if choices cannot be kept.
pub fn check(adapter: &AdapterSummary) -> Result<()> {
    match cache::folder() {
        Some(folder) => cache::check(&path(&folder, adapter)),
        None => Ok(()),
    }
}

/// Keeps choices for later runs on the same adapter and driver, and says where; `None` where nothing is to be kept.
pub fn save(adapter: &AdapterSummary, tuned: &Tuned) -> Result<Option<PathBuf>> {
    let Some(folder) = cache::folder() else { return Ok(None) };
    let path = path(&folder, adapter);
    cache::write(&path, tuned.to_json(&adapter.name, &adapter.driver).as_bytes())?;
    Ok(Some(path))
}
