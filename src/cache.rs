//! The folder of what is worth keeping from run to run. Everything in it can be made anew, so nothing here is an error
//! that stops anything.

use crate::{Error, Result};
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

/// Writes a file under another name and renames it, so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().expect("files of the cache lie in its folder");
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "create the folder"))?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = std::fs::write(&temporary, bytes).map_err(Error::io(&temporary, "write"));
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path).map_err(Error::io(path, "write")));
    renamed.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_file_is_replaced_and_nothing_else_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/for it/file.json");
        for text in ["one", "two"] {
            write_whole(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(write_whole(&path.join("below a file"), b"").is_err());
    }
}
