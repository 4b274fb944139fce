//! One process at a time.

use crate::file::{is_at, retried};
use crate::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const NAME: &str = ".striate.lock";

/// A file that the operating system locks for this process, until it ends, in whichever way. What a killed process leaves is
/// not locked, and is taken over. It holds the process's number and host.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Fails if another process holds it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        loop {
            let opened = retried(&path, "create", || open(&path)).map_err(|error| match error {
                Error::Io { source, .. } => {
                    Error::data(folder, format!("the folder cannot be written ({source}); give another"))
                }
                other => other,
            })?;
            let Some(file) = opened else {
                return Err(Error::data(&path, "is no regular file; remove it, or give another folder"));
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(in_use(folder, &path)),
                // Some network file systems have no locks.
                Err(TryLockError::Error(error)) => {
                    log::warn!(
                        "{}: cannot be locked ({error}); let no other process write there",
                        folder.display()
                    );
                }
            }
            let mut lock = Self { path: path.clone(), file };
            // The one before us may have removed the file between our opening and our locking it.
            if lock.is_there() {
                let holder = format!("process {} on {}\n", std::process::id(), host());
                // For messages only; where there is no room for it, the first file that matters says so.
                let _ = lock.file.set_len(0).and_then(|()| lock.file.write_all(holder.as_bytes()));
                return Ok(lock);
            }
            // Its place may be another's by now.
            lock.path = PathBuf::new();
        }
    }

    /// Whether the file is the one at its path.
    fn is_there(&self) -> bool {
        is_at(&self.file, &self.path)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file, made if it is not there; `None` if something else is in its place. Links are not followed.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    let mut options = File::options();
    options.read(true).write(true);
    loop {
        match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(Some),
        }
        match path.symlink_metadata() {
            Ok(kind) if !kind.is_file() => return Ok(None),
            Ok(_) => match options.open(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened.map(Some),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// The name of this computer.
fn host() -> String {
    #[cfg(any(unix, windows))]
    return gethostname::gethostname().to_string_lossy().into_owned();
    #[cfg(not(any(unix, windows)))]
    return "this host".to_owned();
}

fn in_use(folder: &Path, lock: &Path) -> Error {
    let holder = fs::read_to_string(lock).unwrap_or_default();
    let holder: String = holder.lines().next().unwrap_or("another process").chars().take(200).collect();
    Error::data(folder, format!("{holder} is writing there; wait until it ends, or give another folder"))
}
