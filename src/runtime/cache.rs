//! The folder of what is worth keeping from run to run. Everything in it can be made anew, so nothing here is an error
//! that stops anything.

use crate::{Error, Result, check_writable, read_file, write_file};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where files are kept: `STRIATE_CACHE` if it is set, else `striate` in the user's cache folder. `None` where there is no
/// such folder, or `STRIATE_CACHE` is empty or `off`.
pub(crate) fn folder() -> Option<PathBuf> {
    chosen(std::env::var_os("STRIATE_CACHE").as_deref(), dirs::cache_dir())
}

fn chosen(variable: Option<&OsStr>, user: Option<PathBuf>) -> Option<PathBuf> {
    match variable {
        Some(off) if off.is_empty() || off == "off" => None,
        Some(folder) => Some(folder.into()),
        None => user.map(|folder| folder.join("striate")),
    }
}

/// A file's name from the names of what it is for.
pub(crate) fn file_name(parts: &[&str], extension: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let parts: Vec<String> = parts.iter().map(|part| part.chars().map(plain).collect()).collect();
    format!("{}.{extension}", parts.join("_"))
}

/// No file of the cache has more bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The bytes of a file of the cache; a device or a pipe in its place is an error.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_file(path, MAX_BYTES)
}

/// Writes a file of the cache, which appears whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_folder(path)?;
    write_file(path, bytes)
}

/// Fails if a file of the cache cannot be written.
pub(crate) fn check(path: &Path) -> Result<()> {
    make_folder(path)?;
    check_writable(path)
}

fn make_folder(path: &Path) -> Result<()> {
    let folder = path.parent().expect("files of the cache lie in its folder");
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "create the folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_device_is_no_file_of_the_cache() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("is a device or a pipe"));
    }

    #[test]
    fn the_folder_can_be_named_and_turned_off() {
        let user = || Some(PathBuf::from("/home/u/.cache"));
        let chosen = |variable: Option<&str>| chosen(variable.map(OsStr::new), user());
        assert_eq!(chosen(None), Some("/home/u/.cache/striate".into()));
        assert_eq!(chosen(Some("/tmp/elsewhere")), Some("/tmp/elsewhere".into()));
        assert_eq!(chosen(Some("off")), None);
        assert_eq!(chosen(Some("")), None);
        assert_eq!(super::chosen(None, None), None);
    }

    #[test]
    fn names_hold_nothing_that_a_file_system_minds() {
        assert_eq!(file_name(&["tune", "GPU (a/b)"], "json"), "tune_GPU--a-b-.json");
    }
}
