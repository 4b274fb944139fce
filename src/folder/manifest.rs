//! The manifest of an output folder.

use super::{parent_of, valid};
use crate::file::read_up_to;
use crate::{Error, Result, write_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

pub const NAME: &str = ".striate.json";
/// Largest manifest accepted.
const MAX_BYTES: u64 = 64 << 20;

/// Names of files, and of folders with a trailing `/`, each with its owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// An explanation for people who open the file.
    #[serde(default)]
    about: String,
    pub files: BTreeMap<String, String>,
    pub folders: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the manifest of a folder; a missing one is empty.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        if path.symlink_metadata().is_err() {
            return Ok(Self::default());
        }
        let invalid =
            || Error::data(&path, "is not a valid manifest; move it away, or choose another folder");
        let bytes = read_up_to(&path, MAX_BYTES)?.ok_or_else(invalid)?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let mut names = manifest.files.keys().chain(manifest.folders.keys());
        if names.all(|name| valid(name).is_ok()) { Ok(manifest) } else { Err(invalid()) }
    }

    /// Writes the manifest, or removes it if it is empty.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        if self.files.is_empty() && self.folders.is_empty() {
            return std::fs::remove_file(&path).map_err(Error::io(&path, "remove"));
        }
        let about = "what striate wrote here; only this is ever replaced".to_owned();
        let text = serde_json::to_string_pretty(&Self { about, ..self.clone() }).expect("strings serialize");
        write_file(&path, format!("{text}\n").as_bytes())
    }

    /// Adds a file, and its folder unless that has an owner already.
    pub fn add(&mut self, name: &str, owner: &str) {
        self.files.insert(name.to_owned(), owner.to_owned());
        let parent = parent_of(name);
        if !parent.is_empty() {
            self.folders.entry(format!("{parent}/")).or_insert_with(|| owner.to_owned());
        }
    }
}
