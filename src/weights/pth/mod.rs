//! PyTorch's `.pth` archives: a zip of one pickle, `data.pkl`, that describes tensors, and one file for the
//! numbers of each storage, `data/KEY`.
//!
//! Nothing is executed: [`pickle`] knows a closed list of instructions, and of calls only those that make up a
//! state dict. `torch.save` does not compress, so a compressed entry is refused and what is read stays within
//! the size of the file; each entry's checksum is tested.
//!
//! Layout: <https://pytorch.org/docs/stable/notes/serialization.html>.

mod pickle;

use super::Stored;
use super::element::Float;
use crate::Tensor;
use pickle::{Element, Pickle, TensorRef, Value};
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// What writes a file that can be read here, for messages.
const SAVE: &str = "save a state dict alone, torch.save(model.state_dict(), FILE)";

/// The most that the description of the tensors may take; hundreds of them take a tenth of a megabyte.
const MAX_PICKLE_BYTES: usize = 8 << 20;

/// The names under which people put a state dict into a checkpoint, in the order tried.
const NESTED: [&str; 5] = ["state_dict", "model_state_dict", "model", "model_ema", "net"];

/// Which of PyTorch's formats a file has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A zip archive, written since PyTorch 1.6.
    Zip,
    /// Pickles one after another, or a tar archive of them, as written before.
    Legacy,
}

impl Kind {
    /// By the first bytes; `None` for what is not PyTorch's.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // A safetensors file begins with a length of eight bytes, the last of which is always 0.
        let safetensors = bytes.get(7).is_none_or(|byte| *byte == 0);
        let legacy = bytes.starts_with(&[0x80]) || bytes.get(257..262) == Some(b"ustar".as_slice());
        match bytes {
            _ if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") => Some(Kind::Zip),
            _ if legacy && !safetensors => Some(Kind::Legacy),
            _ => None,
        }
    }
}

/// The tensors of a state dict, or what is wrong with the file.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    if kind == Kind::Legacy {
        return Err("has PyTorch's format from before 1.6; write it anew in Python: \
            torch.save(torch.load(FILE, map_location='cpu', weights_only=True), NEW)"
            .to_owned());
    }
    let mut archive = Archive::open(bytes)?;
    let text = archive.entry("data.pkl")?;
    if text.len() > MAX_PICKLE_BYTES {
        return Err(format!("has a data.pkl of {} bytes, more than any network needs; {SAVE}", text.len()));
    }
    let pickle = Pickle::read(&text).map_err(|e| format!("cannot be read as a state dict: {e}; {SAVE}"))?;
    let tensors = state_dict(&pickle)?;
    let mut read = BTreeMap::new();
    for (name, tensor) in tensors {
        let stored = archive.tensor(tensor).map_err(|problem| format!("{name} {problem}"))?;
        read.insert(name.to_owned(), stored);
    }
    Ok(read)
}

/// The tensors by name: of the pickled dictionary, or of the one in it that has a usual name.
fn state_dict<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Vec<(&'a str, &'p TensorRef<'a>)>, String> {
    let Some(top) = pickle.dict(pickle.top) else {
        return Err(format!("holds {} where a state dict is expected; {SAVE}", pickle.kind(pickle.top)));
    };
    let entry = |key: &str| top.iter().find(|(k, _)| *k == Value::Text(key)).map(|(_, value)| *value);
    let nested = NESTED.iter().find_map(|key| pickle.dict(entry(key)?));
    let entries = nested.unwrap_or(top);
    let mut tensors = Vec::new();
    for (key, value) in entries {
        match (key, pickle.tensor(*value)) {
            (Value::Text(name), Some(tensor)) => tensors.push((*name, tensor)),
            _ => {
                return Err(format!(
                    "is not a state dict: {} has {}, not a tensor; give an archive of one, alone or under {}",
                    pickle.kind(*key),
                    pickle.kind(*value),
                    NESTED.join(", ")
                ));
            }
        }
    }
    match tensors.is_empty() {
        true => Err("holds an empty state dict; give one with tensors".to_owned()),
        false => Ok(tensors),
    }
}

/// A zip file, and how much of it may still be read and made into tensors.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that all entries are in, with its slash.
    folder: String,
    storages: HashMap<String, Vec<u8>>,
    /// Bytes of entries still to be read: entries do not share bytes, so the file's size bounds them all.
    bytes_left: u64,
    /// Numbers of tensors still to be made: each takes at least a byte of the file.
    numbers_left: usize,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        let pickles = zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
        let folder =
            pickles.filter_map(|name| name.strip_suffix("data.pkl")).min_by_key(|folder| folder.len());
        let folder = folder
            .ok_or_else(|| format!("is a zip file, but not one of torch.save: it has no data.pkl; {SAVE}"))?
            .to_owned();
        if zip.index_for_name(&format!("{folder}constants.pkl")).is_some() {
            return Err(format!("is a TorchScript program, which striate does not run; {SAVE}"));
        }
        let storages = HashMap::new();
        let mut archive =
            Self { zip, folder, storages, bytes_left: bytes.len() as u64, numbers_left: bytes.len() };
        let order = format!("{}byteorder", archive.folder);
        if archive.zip.index_for_name(&order).is_some() && archive.entry("byteorder")? != b"little" {
            return Err("was written on a machine with the big end first; write it on another".to_owned());
        }
        Ok(archive)
    }

    /// The bytes of an entry.
    fn entry(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let mut file = self.zip.by_name(&format!("{}{name}", self.folder)).map_err(|error| match error {
            ZipError::FileNotFound => format!("is damaged: its {name} is missing; fetch or write it again"),
            other => damaged(other),
        })?;
        if file.compression() != CompressionMethod::Stored {
            return Err(format!("is compressed, which torch.save never does; {SAVE}"));
        }
        if file.size() > self.bytes_left {
            return Err(format!("promises more in its {name} than the file holds; fetch or write it again"));
        }
        let mut bytes = Vec::new();
        let read = (&mut file).take(self.bytes_left + 1).read_to_end(&mut bytes);
        read.map_err(|e| format!("is damaged in its {name} ({e}); fetch or write it again"))?;
        self.bytes_left = self.bytes_left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            format!("has entries that share bytes, {name} for one; fetch or write it again")
        })?;
        Ok(bytes)
    }

    /// A tensor with its numbers, gathered in row-major order.
    fn tensor(&mut self, tensor: &TensorRef) -> Result<Stored, String> {
        let float = match tensor.storage.element {
            Element::Float(float) => float,
            Element::Other(name) => return Ok(Stored::Other(name.to_owned())),
        };
        let len = tensor.len().filter(|len| *len <= self.numbers_left);
        let len = len.ok_or_else(|| format!("is {:?} numbers, more than the file holds", tensor.shape))?;
        self.numbers_left -= len;
        let key = tensor.storage.key;
        if !self.storages.contains_key(key) {
            let bytes = self.entry(&format!("data/{key}"))?;
            self.storages.insert(key.to_owned(), bytes);
        }
        gather(tensor, len, float, &self.storages[key])
    }
}

fn gather(tensor: &TensorRef, len: usize, float: Float, bytes: &[u8]) -> Result<Stored, String> {
    let size = float.size();
    let end = tensor.end().filter(|end| *end <= bytes.len() / size);
    if end.is_none() {
        return Err(format!(
            "reaches past its storage, which has {} numbers; fetch or write the file again",
            bytes.len() / size
        ));
    }
    if tensor.is_dense() {
        let stored = float.tensor(&tensor.shape, &bytes[tensor.offset * size..][..len * size]);
        return stored.map_err(|e| e.to_string());
    }
    let mut index = vec![0; tensor.shape.len()];
    let mut numbers = Vec::with_capacity(len);
    for _ in 0..len {
        let place: usize =
            tensor.offset + index.iter().zip(&tensor.stride).map(|(i, s)| i * s).sum::<usize>();
        numbers.push(float.number(&bytes[place * size..][..size]));
        for (i, length) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < *length {
                break;
            }
            *i = 0;
        }
    }
    Tensor::f32(tensor.shape.clone(), numbers).map(Stored::Numbers).map_err(|e| e.to_string())
}

fn damaged(error: ZipError) -> String {
    format!("is a damaged zip file, or not one that torch.save writes ({error}); fetch or write it again")
}
