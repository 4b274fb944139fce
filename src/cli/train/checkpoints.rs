//! The folder `checkpoints` of a run: the last few, and going on from them.

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use striate::train::{Checkpoint, Trainer};
use striate::{Error, Result};

/// Name of the folder in that of the run.
const FOLDER: &str = "checkpoints";

/// A run's checkpoints, named after the step: `step-00001200.safetensors`.
pub struct Checkpoints {
    folder: PathBuf,
    /// How many are kept.
    keep: usize,
    about: Map<String, Value>,
}

impl Checkpoints {
    /// Those of the run in `run`. `about` is what has to be the same to go on.
    pub fn new(run: &Path, keep: usize, about: Map<String, Value>) -> Self {
        Self { folder: run.join(FOLDER), keep, about }
    }

    /// Writes where the trainer stands, then removes what is too old. Where it cannot be written, training goes on with a
    /// warning, and what was there stays.
    pub fn save(&self, trainer: &mut Trainer) -> Result<()> {
        let checkpoint = Checkpoint::of(trainer, &self.about)?;
        let path = self.folder.join(format!("step-{:08}.safetensors", checkpoint.position.step));
        let written = std::fs::create_dir_all(&self.folder)
            .map_err(Error::io(&self.folder, "create"))
            .and_then(|()| checkpoint.write(&path));
        match written {
            Ok(()) => self.prune(self.keep),
            Err(error) => log::warn!("{error}; training goes on, and earlier checkpoints stay"),
        }
        Ok(())
    }

    /// Removes all of an earlier run.
    pub fn clear(&self) {
        self.prune(0);
    }

    /// What has to be the same to go on.
    pub fn about(&self) -> &Map<String, Value> {
        &self.about
    }

    /// The newest that can be read; `None` where none was written. A damaged one is passed over with a warning.
    pub fn newest(&self) -> Result<Option<(PathBuf, Checkpoint)>> {
        let mut damaged = None;
        for path in self.newest_first() {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Ok(Some((path, checkpoint))),
                Err(error) => {
                    log::warn!("{error}");
                    damaged.get_or_insert(error);
                }
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    fn newest_first(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("step-") && name.ends_with(".safetensors"))
        };
        let mut files: Vec<PathBuf> = files.filter(ours).collect();
        files.sort();
        files.reverse();
        files
    }

    fn prune(&self, keep: usize) {
        for old in self.newest_first().into_iter().skip(keep) {
            if let Err(error) = std::fs::remove_file(&old) {
                log::warn!("{}: cannot be removed: {error}", old.display());
            }
        }
    }
}
