//! Checkpoints: the complete state of training in a file.

use super::{Position, Trainer};
use crate::file::write_with;
use crate::weights::{self, Weights};
use crate::{Error, Result, Tensor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Version of the format. Files of other versions are rejected.
const FORMAT: &str = "1";

// Keys of the file's metadata.
const VERSION: &str = "checkpoint";
const POSITION: &str = "position";
const ABOUT: &str = "about";
const CHECKSUM: &str = "checksum";

/// The state of training: position, weights, running statistics, weight averages and optimizer state. Everything else,
/// such as the order of images, augmentation and dropout masks, follows from the position and the seed.
///
/// On disk it is a safetensors file with a checksum in its metadata.
///
/// ```
/// use std::ops::ControlFlow;
/// use striate::models::LeNet;
/// use striate::train::{Checkpoint, TrainConfig, Trainer};
/// use striate::{Device, data};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("checkpoint.safetensors");
/// let split = data::open("fashion-mnist", None, None)?;
/// let start = || {
///     let (model, config) = (LeNet { in_channels: 1, classes: 10 }, TrainConfig::default());
///     Trainer::new(&Device::select("cpu")?, &model, split.clone(), config)
/// };
/// let mut trainer = start()?;
/// trainer.epoch(&mut |_| ControlFlow::Break(()))?; // pauses after a few steps
/// let about = serde_json::Map::from_iter([("model".to_owned(), "lenet".into())]);
/// Checkpoint::of(&mut trainer, &about)?.write(&path)?;
///
/// let checkpoint = Checkpoint::read(&path)?;
/// checkpoint.check(&path, &about)?;
/// let mut resumed = start()?;
/// checkpoint.restore(&path, &mut resumed)?;
/// assert!(resumed.position().step > 0);
/// assert_eq!(resumed.weights()?, trainer.weights()?);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Position in the schedule.
    pub position: Position,
    /// Settings that must be the same to resume: model, data, hyperparameters.
    pub about: Map<String, Value>,
    /// Every persistent value on the device, by name.
    pub tensors: Vec<(String, Tensor)>,
}

impl Checkpoint {
    /// Captures the state of a trainer, after waiting for all submitted steps.
    pub fn of(trainer: &mut Trainer, about: &Map<String, Value>) -> Result<Self> {
        let mut tensors = trainer.session().read_all(|_| true)?;
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { position: trainer.position(), about: about.clone(), tensors })
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_with(path, &|out| self.write_to(out))
    }

    /// Writes the file's bytes to any writer.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = |value: serde_json::Result<String>| value.expect("numbers and strings serialize");
        let (position, about) =
            (text(serde_json::to_string(&self.position)), text(serde_json::to_string(&self.about)));
        let checksum = checksum(&position, &about, self.tensors.iter().map(|(name, t)| (name.as_str(), t)));
        let metadata =
            [(VERSION, FORMAT.to_owned()), (POSITION, position), (ABOUT, about), (CHECKSUM, checksum)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        weights::write_to(out, &self.tensors, &metadata)
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read; [`Error::Data`] if it is not a checkpoint, has another format version, or is
    /// damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let file = Weights::read(path)?;
        let get = |key: &str| {
            file.metadata(key).ok_or_else(|| {
                let problem = format!(
                    "is not a checkpoint: its metadata lacks {key:?}; choose one written by training"
                );
                Error::data(path, problem)
            })
        };
        let version = get(VERSION)?;
        if version != FORMAT {
            let problem = format!(
                "has checkpoint format {version}, but this program reads format {FORMAT}; resume with the version that wrote it"
            );
            return Err(Error::data(path, problem));
        }
        let damaged =
            |what: &str| Error::data(path, format!("is damaged: {what}; use an earlier checkpoint"));
        let tensors: BTreeMap<&str, &Tensor> =
            file.names().filter_map(|name| Some((name, file.get(name)?))).collect();
        let (position, about) = (get(POSITION)?, get(ABOUT)?);
        let found = checksum(position, about, tensors.iter().map(|(name, tensor)| (*name, *tensor)));
        if get(CHECKSUM)? != found {
            return Err(damaged("the checksum does not match its content"));
        }
        Ok(Self {
            position: serde_json::from_str(position).map_err(|e| damaged(&format!("position: {e}")))?,
            about: serde_json::from_str(about).map_err(|e| damaged(&format!("settings: {e}")))?,
            tensors: tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect(),
        })
    }

    /// Checks that the settings equal this checkpoint's.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for `path` with the first difference.
    pub fn check(&self, path: &Path, about: &Map<String, Value>) -> Result<()> {
        let keys = self.about.keys().chain(about.keys().filter(|key| !self.about.contains_key(*key)));
        for key in keys {
            // Settings are f32, and 0.3f32 may have been written as 0.30000001192092896.
            let show = |about: &Map<String, Value>| match about.get(key) {
                None | Some(Value::Null) => "not set".to_owned(),
                Some(Value::Number(n)) if n.is_f64() => {
                    n.as_f64().map_or(n.to_string(), |n| (n as f32).to_string())
                }
                Some(value) => value.to_string(),
            };
            let [theirs, ours] = [&self.about, about].map(show);
            if theirs != ours {
                let problem = format!(
                    "belongs to a different run: {key} was {theirs}, now {ours}; use the same setting, or start a new run"
                );
                return Err(Error::data(path, problem));
            }
        }
        Ok(())
    }

    /// Restores a trainer to this state.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for `path` if the trainer's persistent values have other names or shapes, or the position is
    /// impossible. The trainer is unchanged in that case.
    pub fn restore(&self, path: &Path, trainer: &mut Trainer) -> Result<()> {
        let session = trainer.session();
        for value in session.persistent().iter().map(|p| &p.value) {
            let found = self.tensors.iter().find(|(name, _)| *name == value.name);
            if found.is_none_or(|(_, tensor)| *tensor.ty() != value.ty) {
                let name = &value.name;
                let problem =
                    format!("belongs to a different run: it lacks {name} of shape {:?}", value.ty.shape);
                return Err(Error::data(path, problem));
            }
        }
        if let Some((name, _)) =
            self.tensors.iter().find(|(n, _)| session.persistent().iter().all(|p| p.value.name != *n))
        {
            return Err(Error::data(
                path,
                format!("belongs to a different run: it has {name}, which this run lacks"),
            ));
        }
        trainer.resume(self.position, &self.tensors).map_err(|error| match error {
            Error::Argument { problem, .. } => {
                Error::data(path, format!("is damaged: {problem}; use an earlier checkpoint"))
            }
            other => other,
        })
    }
}

/// CRC-32 of the content, in hexadecimal.
fn checksum<'a>(position: &str, about: &str, tensors: impl Iterator<Item = (&'a str, &'a Tensor)>) -> String {
    let mut sum = crc32fast::Hasher::new();
    let mut add = |bytes: &[u8]| {
        sum.update(&(bytes.len() as u64).to_le_bytes());
        sum.update(bytes);
    };
    add(position.as_bytes());
    add(about.as_bytes());
    for (name, tensor) in tensors {
        add(name.as_bytes());
        add(tensor.as_bytes());
    }
    format!("{:08x}", sum.finalize())
}
