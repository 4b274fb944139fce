//! PyTorch's `.pth` files, in both of its formats: one pickle that describes tensors, and the numbers of each storage
//! apart from it, in a zip archive ([`archive`]) or, before PyTorch 1.6, behind it ([`legacy`]).
//!
//! Nothing is executed: [`machine`] knows a closed list of instructions, and of calls only those that make up a
//! state dict.
//!
//! Layout: <https://pytorch.org/docs/stable/notes/serialization.html>.

mod archive;
mod legacy;
mod machine;
mod pickle;

use super::element::Float;
use super::{Stored, Tensors};
use crate::Tensor;
use pickle::{Pickle, TensorRef, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// What writes a file that can be read here, for messages.
const SAVE: &str = "save a state dict alone, torch.save(model.state_dict(), FILE)";

/// The most that the description of the tensors may take; hundreds of them take a tenth of a megabyte.
const MAX_PICKLE_BYTES: usize = 4 << 20;

/// The names under which people put a state dict into a checkpoint, in the order tried.
pub const NESTED: [&str; 5] = ["state_dict", "model_state_dict", "model", "model_ema", "net"];

/// Which of PyTorch's formats a file has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A zip archive, written since PyTorch 1.6.
    Zip,
    /// Pickles one after another, as written before.
    Legacy,
    /// A tar archive, as written before PyTorch 0.1.10.
    Tar,
}

impl Kind {
    /// By the first bytes; `None` for what is not PyTorch's.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // A safetensors file begins with a length of eight bytes, the last of which is always 0.
        let safetensors = bytes.get(7).is_none_or(|byte| *byte == 0);
        match bytes {
            _ if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") => Some(Kind::Zip),
            _ if safetensors => None,
            _ if bytes.starts_with(&[0x80]) => Some(Kind::Legacy),
            _ if bytes.get(257..262) == Some(b"ustar".as_slice()) => Some(Kind::Tar),
            _ => None,
        }
    }
}

/// The tensors of a state dict, or what is wrong with the file.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Tensors, String> {
    match kind {
        Kind::Zip => {
            let mut archive = archive::Archive::open(bytes)?;
            let text = archive.entry("data.pkl")?;
            let (pickle, _) = describe(&text)?;
            tensors(&pickle, bytes.len(), |key| archive.entry(&format!("data/{key}")).map(Cow::Owned))
        }
        Kind::Legacy => legacy::read(bytes),
        Kind::Tar => Err("is a tar archive, PyTorch's format of 2016; write it anew in Python: \
            torch.save(torch.load(FILE, map_location='cpu', weights_only=False), NEW), if you trust it"
            .to_owned()),
    }
}

/// The pickle at the front of `bytes`, and how many of them it takes.
fn describe(bytes: &[u8]) -> Result<(Pickle<'_>, usize), String> {
    let front = &bytes[..bytes.len().min(MAX_PICKLE_BYTES + 1)];
    match Pickle::read(front) {
        Ok((pickle, len)) if len <= MAX_PICKLE_BYTES => Ok((pickle, len)),
        Err(problem) if front.len() == bytes.len() => {
            Err(format!("cannot be read as a state dict: {problem}; {SAVE}"))
        }
        _ => Err(format!(
            "describes its tensors in more than {} MiB, more than any network needs; {SAVE}",
            MAX_PICKLE_BYTES >> 20
        )),
    }
}

/// The tensors of a pickle, whose numbers `storage` gives by key.
fn tensors<'a>(
    pickle: &Pickle,
    file_len: usize,
    mut storage: impl FnMut(&str) -> Result<Cow<'a, [u8]>, String>,
) -> Result<Tensors, String> {
    // Each number takes at least a byte of the file, and each name stands in the pickle.
    let (mut numbers_left, mut names_left) = (file_len, file_len);
    let mut storages: HashMap<&str, Cow<[u8]>> = HashMap::new();
    let mut read = Tensors::new();
    for (name, value) in state_dict(pickle)? {
        names_left = names_left.checked_sub(name.len()).ok_or("has names that share their text")?;
        let stored = || {
            let tensor = pickle.tensor(value)?;
            let Some(float) = tensor.storage.element().and_then(|element| element.float) else {
                return Ok(Stored::Other(tensor.storage.class.to_owned()));
            };
            let len = tensor.len().filter(|len| *len <= numbers_left);
            let len =
                len.ok_or_else(|| format!("is {:?} numbers, more than the file holds", tensor.shape))?;
            numbers_left -= len;
            let key = tensor.storage.key;
            if !storages.contains_key(key) {
                storages.insert(key, storage(key)?);
            }
            gather(&tensor, len, float, &storages[key])
        };
        let mut stored = stored;
        let stored = stored().map_err(|problem: String| format!("{name} {problem}"))?;
        read.insert(name.to_owned(), stored);
    }
    Ok(read)
}

/// The tensors by name: of the pickled dictionary, or of the one in it that has a usual name.
fn state_dict<'a>(pickle: &Pickle<'a>) -> Result<Vec<(&'a str, Value)>, String> {
    let Some(top) = pickle.dict(pickle.top) else {
        return Err(format!("holds {} where a state dict is expected; {SAVE}", pickle.kind(pickle.top)));
    };
    let entry = |name: &str| top.iter().find(|(key, _)| pickle.is(*key, name)).map(|(_, value)| *value);
    let nested = NESTED.iter().find_map(|name| pickle.dict(entry(name)?));
    let entries = nested.as_ref().unwrap_or(&top);
    let named = entries.iter().map(|(key, value)| match pickle.text(*key) {
        Some(name) if pickle.is_tensor(*value) => Ok((name, *value)),
        _ => Err(format!(
            "is not a state dict: {} has {}, not a tensor; give a file of one, alone or under {}",
            pickle.kind(*key),
            pickle.kind(*value),
            NESTED.join(", ")
        )),
    });
    let tensors = named.collect::<Result<Vec<_>, _>>()?;
    match tensors.is_empty() {
        true => Err("holds an empty state dict; give one with tensors".to_owned()),
        false => Ok(tensors),
    }
}

/// A tensor with its numbers in row-major order, from the bytes of its storage.
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
