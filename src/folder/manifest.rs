//! What was written to a folder, as a file in it.

use super::{parent_of, valid};
use crate::file::read_up_to;
use crate::{Error, Result, write_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

pub const NAME: &str = ".striate.json";
/// A longer one is none of ours.
const MAX_BYTES: u64 = 64 << 20;

/// Names of files, and of folders with a `/` at their end, each with who wrote it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// For people who look.
    #[serde(default)]
    about: String,
    pub files: BTreeMap<String, String>,
    pub folders: BTreeMap<String, String>,
}

impl Manifest {
    /// The list of a folder, empty where there is none.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        if path.symlink_metadata().is_err() {
            return Ok(Self::default());
        }
        let unusable = || {
            let problem =
                "does not list what striate wrote to this folder; move it away, or give another folder";
            Error::data(&path, problem)
        };
        let bytes = read_up_to(&path, MAX_BYTES)?.ok_or_else(unusable)?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|_| unusable())?;
        let names = manifest.files.keys().chain(manifest.folders.keys());
        names.map(|name| valid(name)).find_map(Result::err).map_or(Ok(()), |_| Err(unusable()))?;
        Ok(manifest)
    }

    /// Writes it, or removes it where nothing is in it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        if self.files.is_empty() && self.folders.is_empty() {
            return std::fs::remove_file(&path).map_err(Error::io(&path, "remove"));
        }
        let about = "what striate wrote here; only this is ever replaced".to_owned();
        let text = serde_json::to_string_pretty(&Self { about, ..self.clone() }).expect("text is JSON");
        write_file(&path, format!("{text}\n").as_bytes())
    }

    /// Adds a file, and the folder that it lies in if this was not made by us.
    pub fn add(&mut self, name: &str, owner: &str) {
        self.files.insert(name.to_owned(), owner.to_owned());
        let parent = parent_of(name);
        if !parent.is_empty() {
            self.folders.entry(format!("{parent}/")).or_insert_with(|| owner.to_owned());
        }
    }
}
