//! The cache folder, for data worth keeping between runs. All of it can be recreated, so errors need not be fatal.

use crate::{Error, Result, check_writable, read_file, write_file};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The cache folder: `STRIATE_CACHE` if it is set, else `striate` in the user's cache folder. `None` if there is no such
/// folder, or if `STRIATE_CACHE` is empty or `off`.
pub fn folder() -> Option<PathBuf> {
    chosen(std::env::var_os("STRIATE_CACHE").as_deref(), dirs::cache_dir())
}

fn chosen(variable: Option<&OsStr>, user: Option<PathBuf>) -> Option<PathBuf> {
    match variable {
        Some(off) if off.is_empty() || off == "off" => None,
        Some(folder) => Some(folder.into()),
        None => user.map(|folder| folder.join("striate")),
    }
}

/// A file name from parts, with special characters replaced.
pub(crate) fn file_name(parts: &[&str], extension: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let parts: Vec<String> = parts.iter().map(|part| part.chars().map(plain).collect()).collect();
    format!("{}.{extension}", parts.join("_"))
}

/// Maximum size of a file.
const MAX_BYTES: u64 = 1 << 30;

/// Reads a file of the cache; fails on devices and pipes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_file(path, MAX_BYTES)
}

/// Writes a file of the cache atomically.
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
    let folder = path.parent().expect("files of the cache are in its folder");
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "create the folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn devices_are_refused() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("is a device or a pipe"));
    }

    #[test]
    fn the_variable_sets_the_folder_or_disables_it() {
        let user = || Some(PathBuf::from("/home/u/.cache"));
        let chosen = |variable: Option<&str>| chosen(variable.map(OsStr::new), user());
        assert_eq!(chosen(None), Some("/home/u/.cache/striate".into()));
        assert_eq!(chosen(Some("/tmp/elsewhere")), Some("/tmp/elsewhere".into()));
        assert_eq!(chosen(Some("off")), None);
        assert_eq!(chosen(Some("")), None);
        assert_eq!(super::chosen(None, None), None);
    }

    #[test]
    fn file_names_have_no_special_characters() {
        assert_eq!(file_name(&["tune", "GPU (a/b)"], "json"), "tune_GPU--a-b-.json");
    }
}
