//! The folder `checkpoints` of a run: the last few, and going on from them.

use serde_json::{Map, Value};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use striate::train::{Checkpoint, Trainer};
use striate::{Error, OutputFolder, Result};

/// Name of the folder in that of the run.
pub const FOLDER: &str = "checkpoints/";

/// A run's checkpoints, named after the step: `step-00001200.safetensors`.
pub struct Checkpoints {
    run: Rc<OutputFolder>,
    /// How many are kept.
    keep: usize,
    about: Map<String, Value>,
}

/// What looks like checkpoints in the folder of a run, oldest first; none where it holds no folder of them.
pub fn named(run: &Path) -> Result<Vec<String>> {
    let folder = run.join(FOLDER);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let entries = entries.map_err(Error::io(&folder, "read"))?;
    let names = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.map(|name| format!("{FOLDER}{name}")).collect();
    names.retain(|name| step(name).is_some());
    names.sort_by_key(|name| step(name));
    Ok(names)
}

/// The step that a checkpoint's name tells.
fn step(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(FOLDER)?.strip_prefix("step-")?.strip_suffix(".safetensors")?;
    if digits.len() < 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        None
    } else {
        digits.parse().ok()
    }
}

impl Checkpoints {
    /// Those of the run in a folder. `about` is what has to be the same to go on.
    pub fn new(run: Rc<OutputFolder>, keep: usize, about: Map<String, Value>) -> Self {
        Self { run, keep, about }
    }

    /// Writes where the trainer stands, then removes what is too old. Where it cannot be written, training goes on with a
    /// warning, and what was there stays.
    pub fn save(&self, trainer: &mut Trainer) -> Result<()> {
        let checkpoint = Checkpoint::of(trainer, &self.about)?;
        let name = format!("{FOLDER}step-{:08}.safetensors", checkpoint.position.step);
        match self.run.write_with(&name, &|out| checkpoint.write_to(out)) {
            Ok(()) => self.prune(),
            Err(error) if self.are_there() => {
                log::warn!("{error}; training goes on, and earlier checkpoints stay");
            }
            Err(error) => log::warn!("{error}; training goes on, but cannot be resumed yet"),
        }
        Ok(())
    }

    /// Whether there is one to go on from.
    pub fn are_there(&self) -> bool {
        named(self.run.path()).is_ok_and(|names| !names.is_empty())
    }

    /// What has to be the same to go on.
    pub fn about(&self) -> &Map<String, Value> {
        &self.about
    }

    /// The newest that can be read; `None` where none was written. A damaged one is passed over with a warning.
    pub fn newest(&self) -> Result<Option<(PathBuf, Checkpoint)>> {
        let mut damaged = None;
        for name in named(self.run.path())?.iter().rev() {
            let path = self.run.path().join(name);
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

    /// Removes those that this run wrote, but for the last few.
    fn prune(&self) {
        let mut ours = self.run.files();
        ours.retain(|name| step(name).is_some());
        ours.sort_by_key(|name| step(name));
        ours.truncate(ours.len().saturating_sub(self.keep));
        if let Err(error) = self.run.remove(&ours) {
            log::warn!("{error}; it stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::named;
    use std::fs;

    #[test]
    fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
        let run = tempfile::tempdir().unwrap();
        assert!(named(run.path()).unwrap().is_empty());
        let folder = run.path().join("checkpoints");
        fs::write(&folder, b"a file").unwrap();
        let error = named(run.path()).unwrap_err().to_string();
        assert!(error.contains("checkpoints") && error.contains("cannot read"), "{error}");
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        for name in ["step-100000000.safetensors", "step-00000200.safetensors", "step-1.safetensors", "notes"]
        {
            fs::write(folder.join(name), b"").unwrap();
        }
        assert_eq!(
            named(run.path()).unwrap(),
            ["checkpoints/step-00000200.safetensors", "checkpoints/step-100000000.safetensors"]
        );
    }
}
