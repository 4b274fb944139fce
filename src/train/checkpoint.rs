//! Training on disk: everything that decides how it goes on.

use super::{Position, Trainer};
use crate::file::write_with;
use crate::weights::{self, Weights};
use crate::{Error, Result, Tensor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Version of the format. A file of another one is refused.
const FORMAT: &str = "1";

// Keys of the file's metadata.
const VERSION: &str = "checkpoint";
const POSITION: &str = "position";
const ABOUT: &str = "about";
const CHECKSUM: &str = "checksum";

/// Where training stood, with weights, running statistics, averages and the optimiser's state. All else that training
/// depends on follows from position and seed: the order of images, what is changed in them, dropout's masks.
///
/// As a file it is a safetensors file, with a checksum.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where training stood.
    pub position: Position,
    /// What was trained, on what, and how: anything that has to be the same to go on from here.
    pub about: Map<String, Value>,
    /// Every value that the trainer kept on its device, by name.
    pub tensors: Vec<(String, Tensor)>,
}

impl Checkpoint {
    /// Where a trainer stands; waits for what it has submitted.
    pub fn of(trainer: &mut Trainer, about: &Map<String, Value>) -> Result<Self> {
        let session = trainer.session();
        let names: Vec<String> = session.persistent().iter().map(|p| p.port.name.clone()).collect();
        let mut tensors = names
            .into_iter()
            .map(|name| Ok((name.clone(), session.read(&name)?)))
            .collect::<Result<Vec<_>>>()?;
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { position: trainer.position(), about: about.clone(), tensors })
    }

    /// Writes a file that appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_with(path, &|out| self.write_to(out))
    }

    /// Writes the same as bytes, to anything that takes them.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = |value: serde_json::Result<String>| value.expect("numbers and text are JSON");
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
    /// [`Error::Io`] if it cannot be read; [`Error::Data`] if it is no checkpoint, has another format, or is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let file = Weights::read(path)?;
        let get = |key: &str| {
            file.metadata(key).ok_or_else(|| {
                Error::data(
                    path,
                    format!("is no checkpoint: it says nothing of {key:?}; give one that training wrote"),
                )
            })
        };
        let version = get(VERSION)?;
        if version != FORMAT {
            let problem = format!(
                "is a checkpoint of format {version}, but this program reads format {FORMAT}; go on with the program that wrote it"
            );
            return Err(Error::data(path, problem));
        }
        let damaged =
            |what: &str| Error::data(path, format!("is damaged: {what}; take an earlier checkpoint"));
        let tensors: BTreeMap<&str, &Tensor> =
            file.names().filter_map(|name| Some((name, file.get(name)?))).collect();
        let (position, about) = (get(POSITION)?, get(ABOUT)?);
        let found = checksum(position, about, tensors.iter().map(|(name, tensor)| (*name, *tensor)));
        if get(CHECKSUM)? != found {
            return Err(damaged("its checksum is not that of its content"));
        }
        Ok(Self {
            position: serde_json::from_str(position).map_err(|e| damaged(&format!("its position: {e}")))?,
            about: serde_json::from_str(about).map_err(|e| damaged(&format!("what it is about: {e}")))?,
            tensors: tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect(),
        })
    }

    /// Fails, naming the first difference, unless this is of the same training.
    pub fn check(&self, path: &Path, about: &Map<String, Value>) -> Result<()> {
        let keys = self.about.keys().chain(about.keys().filter(|key| !self.about.contains_key(*key)));
        for key in keys {
            let [theirs, ours] = [self.about.get(key), about.get(key)];
            // Settings are f32: 0.3 may be told as 0.30000001192092896.
            let short = |value: Option<&Value>| match value {
                Some(Value::Number(n)) if n.is_f64() => n.as_f64().map(|n| Value::from(n as f32)),
                other => other.cloned(),
            };
            if short(theirs) != short(ours) {
                let show = |value: Option<&Value>| match value {
                    None | Some(Value::Null) => "not given".to_owned(),
                    Some(Value::Number(n)) if n.is_f64() => {
                        n.as_f64().map_or(n.to_string(), |n| (n as f32).to_string())
                    }
                    Some(value) => value.to_string(),
                };
                let problem = format!(
                    "is of another training: {key} was {}, and is {}; give what it was, or begin anew",
                    show(theirs),
                    show(ours)
                );
                return Err(Error::data(path, problem));
            }
        }
        Ok(())
    }

    /// Lets a trainer go on from here. Fails, and changes nothing, if it keeps other values.
    pub fn restore(&self, path: &Path, trainer: &mut Trainer) -> Result<()> {
        let session = trainer.session();
        for port in session.persistent().iter().map(|p| &p.port) {
            let found = self.tensors.iter().find(|(name, _)| *name == port.name);
            if found.is_none_or(|(_, tensor)| *tensor.ty() != port.ty) {
                let name = &port.name;
                let problem =
                    format!("is of another training: it has no {name} of shape {:?}", port.ty.shape);
                return Err(Error::data(path, problem));
            }
        }
        if let Some((name, _)) =
            self.tensors.iter().find(|(n, _)| session.persistent().iter().all(|p| p.port.name != *n))
        {
            return Err(Error::data(
                path,
                format!("is of another training: it has {name}, which this has not"),
            ));
        }
        trainer.resume(self.position, &self.tensors).map_err(|error| match error {
            Error::Argument { problem, .. } => {
                Error::data(path, format!("is damaged: {problem}; take an earlier checkpoint"))
            }
            other => other,
        })
    }
}

/// CRC-32 of everything, in hexadecimal.
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
