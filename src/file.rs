//! Bounded reads and atomic writes.

use crate::{Error, Result};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Opens a file for reading. Rejects devices and pipes.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    // Checked first, because opening a pipe blocks until another process writes to it.
    if is_stream(path) {
        return Err(Error::data(path, "is a device or a pipe; choose a regular file"));
    }
    File::open(path).map_err(Error::io(path, "read"))
}

/// Reads a file; `None` if it has more than `limit` bytes. Rejects devices and pipes, whose size is unknown.
pub(crate) fn read_up_to(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = open_file(path)?;
    let mut bytes = Vec::new();
    let length = file.metadata().map_err(Error::io(path, "read"))?.len();
    if length <= limit {
        file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    }
    Ok(Some(bytes).filter(|bytes| length <= limit && bytes.len() as u64 <= limit))
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be read; [`Error::Data`] if it is a device or a pipe, or has more than `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_up_to(path, limit)?.ok_or_else(|| {
        Error::data(
            path,
            format!("is larger than {limit} bytes, the limit for files of this kind; choose another file"),
        )
    })
}

/// Writes a file's content. It may be called twice, because transient errors are retried.
pub type Content<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// Writes a file atomically: to a temporary file in the same folder, which is synced and renamed. A crash or an error leaves the
/// old file intact. Transient errors are logged as warnings and retried once. Devices and pipes are written directly.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, &|out| out.write_all(bytes))
}

/// Like [`write_file`], for content that is generated on the fly.
pub(crate) fn write_with(path: &Path, content: Content) -> Result<()> {
    if is_stream(path) {
        let write = || content(&mut OpenOptions::new().write(true).open(path)?);
        return write().map_err(Error::io(path, "write"));
    }
    remove_leftovers(folder_of(path));
    Part::write(path, content)?.place()
}

/// Checks that a file can be written, without changing it. For use before the work that produces its content.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be written; [`Error::Data`] if it is a folder.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::data(path, "is a folder, expected a file; choose another name"));
    }
    if is_stream(path) { Ok(()) } else { Part::write(path, &|_| Ok(())).map(drop) }
}

/// Whether a path is a device, a pipe or a socket.
fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// The folder that contains a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

// Prefix and suffix of temporary files, around random digits.
const PART: (&str, &str) = (".striate-", ".part");

/// A complete temporary file that has not been moved into place. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Part {
    temporary: PathBuf,
    path: PathBuf,
    placed: bool,
    /// Locked while this exists, so that it is not mistaken for a leftover.
    _file: File,
}

impl Part {
    /// Writes and syncs the future content of `path`.
    pub fn write(path: &Path, content: Content) -> Result<Self> {
        retried(path, "write", || {
            let (temporary, file) = fresh(folder_of(path))?;
            let part = Self { temporary, path: path.to_owned(), placed: false, _file: file };
            let mut out = io::BufWriter::new(&part._file);
            content(&mut out)?;
            out.flush()?;
            drop(out);
            part._file.sync_all()?;
            Ok(part)
        })
    }

    /// Moves the file into place.
    pub fn place(mut self) -> Result<()> {
        retried(&self.path, "write", || fs::rename(&self.temporary, &self.path))?;
        self.placed = true;
        let folder = folder_of(&self.path);
        retried(folder, "sync", || sync_folder(folder))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // If this fails, the next start removes it as a leftover.
        if !self.placed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Creates an empty file with a unique name. Its lock protects it from [`remove_leftovers`].
fn fresh(folder: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let digits = RandomState::new().hash_one(folder);
        let path = folder.join(format!("{}{digits:016x}{}", PART.0, PART.1));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        // Before the file is locked, another process may remove it as a leftover.
        if claim(&file, &path) {
            return Ok((path, file));
        }
    }
}

/// Locks a file; false if another process holds the lock, or the file is no longer at its path. On file systems without
/// locks, leftovers are never removed.
fn claim(file: &File, path: &Path) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && is_at(file, path)
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let [open, named] = [file.metadata(), path.symlink_metadata()].map(|metadata| metadata.map(id).ok());
    open.is_some() && open == named
}

/// On other systems, an open file cannot be replaced.
#[cfg(not(unix))]
pub(crate) fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Makes renames in a folder durable. Windows and some file systems do not support it.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Removes temporary files left by killed processes. Files still being written are locked.
pub(crate) fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PART.0)?.strip_suffix(PART.1));
        let ours = digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let file = File::options().write(true).open(entry.path());
            if file.is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Retries once, with a warning, after a transient error.
pub(crate) fn retried<T>(
    path: &Path,
    action: &'static str,
    mut work: impl FnMut() -> io::Result<T>,
) -> Result<T> {
    let done = match work() {
        Err(error) if is_transient(error.kind()) => {
            log::warn!("{}: cannot {action}: {error}; retrying", path.display());
            work()
        }
        done => done,
    };
    done.map_err(Error::io(path, action))
}

/// Whether a retry may succeed.
fn is_transient(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    #[rustfmt::skip]
    let permanent = [
        AlreadyExists, DirectoryNotEmpty, FileTooLarge, InvalidFilename, InvalidInput, IsADirectory, NotADirectory,
        NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, Unsupported,
    ];
    !permanent.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn writes_replace_the_file_and_leave_no_temporary_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for text in ["one", "two"] {
            write_file(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        check_writable(&path).unwrap();
        check_writable(&dir.path().join("new")).unwrap();
        assert!(check_writable(dir.path()).is_err() && check_writable(&path.join("below a file")).is_err());
        assert!(write_file(&path.join("below a file"), b"").is_err());
        let failed = write_with(&path, &|_| Err(ErrorKind::StorageFull.into()));
        assert!(failed.unwrap_err().to_string().contains("cannot write"));
        assert_eq!(
            (names(dir.path()), fs::read_to_string(&path).unwrap()),
            (vec!["file".to_owned()], "two".to_owned())
        );
    }

    #[test]
    fn transient_errors_are_retried_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (kind, failures, written) in
            [(ErrorKind::Other, 1, true), (ErrorKind::Other, 2, false), (ErrorKind::StorageFull, 1, false)]
        {
            let left = std::cell::Cell::new(failures);
            let result = write_with(&path, &|out| match left.replace(left.get().max(1) - 1) {
                0 => out.write_all(b"text"),
                _ => Err(kind.into()),
            });
            assert_eq!(result.is_ok(), written, "{failures} times {kind:?}");
        }
    }

    #[test]
    fn leftovers_are_removed_but_not_files_in_progress() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let others = ["a.part", ".striate-1.part", ".striate-0123456789abcdef.txt"];
        others.iter().for_each(|name| fs::write(at(name), b"mine").unwrap());
        fs::write(at(".striate-0123456789abcdef.part"), b"left").unwrap();
        let part = Part::write(&at("slow"), &|_| Ok(())).unwrap();
        write_file(&at("file"), b"text").unwrap();
        part.place().unwrap();
        let mut want = others.to_vec();
        want.extend(["file", "slow"]);
        want.sort_unstable();
        assert_eq!(names(dir.path()), want);
    }

    #[test]
    fn new_files_are_not_removed_as_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".striate-0123456789abcdef.part");
        let file = File::create_new(&path).unwrap();
        let other = File::options().write(true).open(&path).unwrap();
        other.lock().unwrap();
        assert!(!claim(&file, &path), "another process holds the lock");
        fs::remove_file(&path).unwrap();
        drop(other);
        assert!(!claim(&file, &path), "another process removed the file");
        let (path, _file) = fresh(dir.path()).unwrap();
        remove_leftovers(dir.path());
        assert!(path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_written_directly() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("target"), b"kept").unwrap();
        std::os::unix::fs::symlink(at("target"), at("link")).unwrap();
        write_file(&at("link"), b"new").unwrap();
        assert_eq!(
            (fs::read(at("target")).unwrap(), fs::read(at("link")).unwrap()),
            (b"kept".to_vec(), b"new".to_vec())
        );
        std::os::unix::fs::symlink("/dev/null", at("null")).unwrap();
        check_writable(&at("null")).unwrap();
        write_file(&at("null"), b"gone").unwrap();
        assert!(at("null").symlink_metadata().unwrap().is_symlink());
        let pipe = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        if pipe.is_ok_and(|status| status.success()) {
            assert!(read_up_to(&at("pipe"), 9).unwrap_err().to_string().contains("a device or a pipe"));
        }
    }
}
