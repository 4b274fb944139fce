//! Where the training, validation and test images of a folder are.

use crate::Result;
use crate::data::walk::{folders, name};
use std::path::{Path, PathBuf};

/// Folder names, in lower case.
const TRAIN_FOLDERS: [&str; 2] = ["train", "training"];
const TEST_FOLDERS: [&str; 5] = ["test", "val", "valid", "validation", "dev"];

/// The folders that have the classes.
pub struct Layout {
    pub train: PathBuf,
    /// `None` if test images are held out of the training images.
    pub test: Option<PathBuf>,
    pub validation: Option<PathBuf>,
    /// Other folders, which are not read.
    unread: Vec<String>,
}

impl Layout {
    pub fn of(dir: &Path) -> Result<Self> {
        let all = folders(dir)?;
        let called = |wanted: &str| all.iter().find(|path| name(path).to_lowercase() == wanted);
        // A folder `train` without subfolders is a class: images of trains.
        let train = TRAIN_FOLDERS.iter().find_map(|name| called(name)).filter(|path| has_folders(path));
        let classes: Vec<String> = match train {
            Some(train) => folders(train)?.iter().map(|path| name(path)).collect(),
            None => Vec::new(),
        };
        let labeled = |path: &&PathBuf| {
            let own = folders(path).unwrap_or_default();
            own.len() > 1 || own.iter().any(|path| classes.contains(&name(path)))
        };
        let mut labeled = TEST_FOLDERS.iter().filter_map(|name| called(name)).filter(labeled);
        let test = labeled.next();
        let validation = labeled.next().filter(|_| train.is_some());
        if train.is_none() && test.is_none() {
            return Ok(Self { train: dir.to_owned(), test: None, validation: None, unread: Vec::new() });
        }
        let read = |path: &&PathBuf| [train, test, validation].contains(&Some(*path));
        let unread = all.iter().filter(|path| !read(path)).map(|path| name(path)).collect();
        let (test, validation) = (test.cloned(), validation.cloned());
        Ok(Self { train: train.map_or(dir, PathBuf::as_path).to_owned(), test, validation, unread })
    }

    /// A note on which folders are used and which are not, where that is not obvious.
    pub fn note(&self, dir: &Path) -> Option<String> {
        let unread = self.unread.join(", ");
        let read = match &self.test {
            _ if self.unread.is_empty() => return None,
            Some(test) => format!("test images come from {}", name(test)),
            None => "test images are held out of the training images".to_owned(),
        };
        Some(format!("{}: {read}; ignored {unread}", dir.display()))
    }
}

fn has_folders(path: &Path) -> bool {
    folders(path).is_ok_and(|folders| !folders.is_empty())
}
