//! The `checkpoints` folder of a run.

use serde_json::{Map, Value};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use striate::train::{Checkpoint, Trainer};
use striate::{Error, OutputFolder, Result};

/// Its name within the run folder.
pub const FOLDER: &str = "checkpoints/";

/// The latest checkpoints of a run, named after the step: `step-00001200.safetensors`.
pub struct Checkpoints {
    /// `None` where another rank writes the files.
    run: Option<Rc<OutputFolder>>,
    /// Number of checkpoints to keep.
    keep: usize,
    /// What must not change for the run to resume.
    pub about: Map<String, Value>,
}

/// Names of the checkpoints in a run folder, oldest first.
pub fn list(run: &Path) -> Result<Vec<String>> {
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

/// The step in a checkpoint's name; `None` for other files.
fn step(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(FOLDER)?.strip_prefix("step-")?.strip_suffix(".safetensors")?;
    let is_step = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_step.then(|| digits.parse().ok()).flatten()
}

impl Checkpoints {
    pub fn new(run: Option<Rc<OutputFolder>>, keep: usize, about: Map<String, Value>) -> Self {
        Self { run, keep, about }
    }

    /// Writes a checkpoint and removes old ones. If it cannot be written, only warns and returns false: training continues, and
    /// old checkpoints stay.
    pub fn save(&self, trainer: &mut Trainer) -> Result<bool> {
        let Some(run) = &self.run else { return Ok(true) };
        let checkpoint = Checkpoint::of(trainer, &self.about)?;
        let name = format!("{FOLDER}step-{:08}.safetensors", checkpoint.position.step);
        let written = run.write_with(&name, &|out| checkpoint.write_to(out));
        let saved = written.is_ok();
        match written {
            Ok(()) => self.prune(run),
            Err(error) if self.exist() => {
                log::warn!("{error}; training continues, and earlier checkpoints stay");
            }
            Err(error) => log::warn!("{error}; training continues, but cannot be resumed yet"),
        }
        Ok(saved)
    }

    /// Whether the run has any checkpoints.
    pub fn exist(&self) -> bool {
        self.run.as_ref().is_some_and(|run| list(run.path()).is_ok_and(|names| !names.is_empty()))
    }

    /// The newest readable checkpoint; `None` if none was written. Damaged ones are skipped with a warning.
    pub fn newest(&self) -> Result<Option<(PathBuf, Checkpoint)>> {
        let (Some(run), mut damaged) = (&self.run, None) else { return Ok(None) };
        for name in list(run.path())?.iter().rev() {
            let path = run.path().join(name);
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

    /// Removes this run's checkpoints except for the latest.
    fn prune(&self, run: &OutputFolder) {
        let mut ours = run.files();
        ours.retain(|name| step(name).is_some());
        ours.sort_by_key(|name| step(name));
        ours.truncate(ours.len().saturating_sub(self.keep));
        if let Err(error) = run.remove(&ours) {
            log::warn!("{error}; the old checkpoint stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::list;
    use std::fs;

    #[test]
    fn checkpoints_are_listed_by_step_and_unreadable_folders_are_errors() {
        let run = tempfile::tempdir().unwrap();
        assert!(list(run.path()).unwrap().is_empty());
        let folder = run.path().join("checkpoints");
        fs::write(&folder, b"a file").unwrap();
        let error = list(run.path()).unwrap_err().to_string();
        assert!(error.contains("checkpoints") && error.contains("cannot read"), "{error}");
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        for name in ["step-100000000.safetensors", "step-00000200.safetensors", "step-1.safetensors", "notes"]
        {
            fs::write(folder.join(name), b"").unwrap();
        }
        assert_eq!(
            list(run.path()).unwrap(),
            ["checkpoints/step-00000200.safetensors", "checkpoints/step-100000000.safetensors"]
        );
    }
}
