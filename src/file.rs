//! Files: read within a limit, written whole or not at all.

use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The bytes of a file; `None` if it has more than `limit`, of which nothing is kept. Devices and pipes, which
/// have no size to go by, are refused, before opening one that nobody writes to would wait for ever.
pub(crate) fn read_up_to(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let metadata = std::fs::metadata(path).map_err(Error::io(path, "read"))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Error::data(path, "is a device or a pipe; give a file"));
    }
    let file = File::open(path).map_err(Error::io(path, "read"))?;
    let mut bytes = Vec::new();
    let length = metadata.len();
    if length <= limit {
        file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    }
    Ok(Some(bytes).filter(|bytes| length <= limit && bytes.len() as u64 <= limit))
}

/// The bytes of a file.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be read; [`Error::Data`] if it is a device or a pipe, or has more than `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_up_to(path, limit)?.ok_or_else(|| {
        Error::data(path, format!("has more than {limit} bytes, which no such file has; give another"))
    })
}

/// Writes a file that appears whole or not at all, whatever ends the program: it is written beside its
/// place as `NAME.part`, synced and renamed. What was there stays until then, also when writing fails.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(Error::io(&temporary, "create"))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
    renamed.map_err(|error| {
        // A part that cannot be removed either does no harm: the next run replaces it.
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, "write")(error)
    })
}
