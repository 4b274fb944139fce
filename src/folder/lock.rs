//! A lock file that keeps other processes out of a folder.

use crate::file::{is_at, retried};
use crate::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const NAME: &str = ".striate.lock";

/// A file that the operating system keeps locked until this process ends, even if it is killed. An unlocked leftover is taken
/// over. The file holds the process id and host.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock, or fails if another process has it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        loop {
            let opened = retried(&path, "create", || open(&path)).map_err(|error| match error {
                Error::Io { source, .. } => {
                    Error::data(folder, format!("cannot be written ({source}); choose another folder"))
                }
                other => other,
            })?;
            let Some(file) = opened else {
                return Err(Error::data(&path, "is not a regular file; remove it, or choose another folder"));
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(in_use(folder, &path)),
                // Some network file systems do not support locks.
                Err(TryLockError::Error(error)) => {
                    log::warn!(
                        "{}: cannot be locked ({error}); make sure that no other process writes there",
                        folder.display()
                    );
                }
            }
            let mut lock = Self { path: path.clone(), file };
            // The previous holder may have removed the file between our open and our lock.
            if is_at(&lock.file, &lock.path) {
                let holder = format!("process {} on {}\n", std::process::id(), host());
                // Only used in messages. If the disk is full, writing the first real file reports that.
                let _ = lock.file.set_len(0).and_then(|()| lock.file.write_all(holder.as_bytes()));
                return Ok(lock);
            }
            // Another process may own the path by now: do not remove its file on drop.
            lock.path = PathBuf::new();
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens or creates the file; `None` if it is not a regular file. Links are not followed.
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
    Error::data(folder, format!("in use by {holder}; wait until it ends, or choose another folder"))
}
