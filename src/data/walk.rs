//! Finds images in folders.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::{Error, OutputFolder, Result};

/// Extensions of supported formats.
pub(super) const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];

/// The files in a folder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageFiles {
    /// Images, recognized by extension, sorted by name.
    pub images: Vec<PathBuf>,
    /// All other files.
    pub ignored: IgnoredFiles,
}

/// Files that are not supported images, and broken links. `Display` summarizes them by extension.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IgnoredFiles(pub Vec<PathBuf>);

/// Lists the images in a folder and its subfolders. Links are followed; hidden files and folders are skipped.
///
/// # Errors
///
/// [`Error::Io`] if a folder cannot be read.
pub fn images(dir: &Path) -> Result<ImageFiles> {
    let mut found = ImageFiles::default();
    for entry in walk(dir, usize::MAX) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if entry.file_type().is_file() && is_image(entry.path()) => {
                found.images.push(entry.into_path());
            }
            Ok(entry) => found.ignored.0.push(entry.into_path()),
            // A link to an enclosing folder, whose images are listed already.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => found.ignored.0.push(broken_link(dir, error)?),
        }
    }
    Ok(found)
}

/// The subfolders of a folder, sorted by name, without hidden ones and output folders.
pub(super) fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in walk(dir, 1) {
        match entry {
            Ok(entry) if entry.depth() == 1 && entry.file_type().is_dir() => {
                if !OutputFolder::is_one(entry.path()) {
                    folders.push(entry.into_path());
                }
            }
            Ok(_) => {}
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => drop(broken_link(dir, error)?),
        }
    }
    Ok(folders)
}

/// Number of images directly in a folder.
pub(super) fn loose(dir: &Path) -> usize {
    let own = walk(dir, 1).filter_map(std::result::Result::ok);
    own.filter(|entry| entry.file_type().is_file() && is_image(entry.path())).count()
}

fn walk(dir: &Path, depth: usize) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let visible = |entry: &DirEntry| entry.depth() == 0 || !name(entry.path()).starts_with('.');
    WalkDir::new(dir)
        .follow_links(true)
        .max_depth(depth)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(visible)
}

/// The broken link that caused an error, or the error if it has another cause.
fn broken_link(dir: &Path, error: walkdir::Error) -> Result<PathBuf> {
    let path = error.path().unwrap_or(dir).to_owned();
    if path != dir && path.is_symlink() && !path.exists() {
        return Ok(path);
    }
    let loops = || std::io::Error::other("its links form a loop");
    Err(Error::io(path, "read")(error.into_io_error().unwrap_or_else(loops)))
}

fn is_image(path: &Path) -> bool {
    ending(path).is_some_and(|ending| EXTENSIONS.contains(&ending.as_str()))
}

fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase())
}

/// A file's or folder's own name.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Most files of a kind listed in a message.
const MAX_LISTED: usize = 3;

impl IgnoredFiles {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for IgnoredFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
        for path in &self.0 {
            let kind = match ending(path) {
                _ if path.is_symlink() && !path.exists() => "broken link".to_owned(),
                Some(ending) => format!(".{ending}"),
                None => "without extension".to_owned(),
            };
            kinds.entry(kind).or_default().push(path);
        }
        let files = if self.0.len() == 1 { "file that is not an image" } else { "files that are not images" };
        write!(f, "ignored {} {files} ({})", self.0.len(), EXTENSIONS.join(", "))?;
        for (i, (kind, paths)) in kinds.iter().enumerate() {
            let named: Vec<String> =
                paths.iter().take(MAX_LISTED).map(|path| path.display().to_string()).collect();
            let more = if paths.len() > MAX_LISTED { ", ..." } else { "" };
            let before = if i == 0 { ": " } else { ", " };
            write!(f, "{before}{} {kind} ({}{more})", paths.len(), named.join(", "))?;
        }
        Ok(())
    }
}
