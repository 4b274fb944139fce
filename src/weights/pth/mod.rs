//! PyTorch's `.pth` files. A pickle describes the tensors; their storages are separate entries of a zip archive
//! ([`archive`]) or, before PyTorch 1.6, follow the pickle ([`legacy`]).
//!
//! No code is executed: [`vm`] supports a fixed set of opcodes, and only the calls that build a state dict.
//!
//! Layout: <https://pytorch.org/docs/stable/notes/serialization.html>.

mod archive;
mod legacy;
mod pickle;
mod vm;

use super::dtype::Float;
use super::{Stored, Tensors};
use crate::Tensor;
use pickle::{Pickle, TensorRef, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// Remedies for messages.
const SAVE: &str = "save only the state dict: torch.save(model.state_dict(), FILE)";
const AGAIN: &str = "download or save it again";
const BIG_ENDIAN: &str = "is big-endian; save it again on a little-endian machine";
const TAR: &str = "is a tar archive, PyTorch's format of 2016; if you trust it, convert it in Python: \
    torch.save(torch.load(FILE, map_location='cpu', weights_only=False), NEW)";

/// Largest pickle accepted. One that describes hundreds of tensors takes about 100 kB.
const MAX_PICKLE_BYTES: usize = 4 << 20;

/// Keys under which checkpoints hold a state dict, in the order tried.
pub const NESTED: [&str; 5] = ["state_dict", "model_state_dict", "model", "model_ema", "net"];

/// Which of PyTorch's formats a file has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A zip archive, written since PyTorch 1.6.
    Zip,
    /// Concatenated pickles, written before PyTorch 1.6.
    Legacy,
    /// A tar archive, written before PyTorch 0.1.10.
    Tar,
}

impl Kind {
    /// Detects the format; `None` if it is not one of PyTorch's.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // A safetensors file begins with a 64-bit length, whose last byte is always 0.
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

/// Reads the tensors of a state dict. The error says what is wrong with the file.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Tensors, String> {
    match kind {
        Kind::Zip => {
            let mut archive = archive::Archive::open(bytes)?;
            let text = archive.entry("data.pkl")?;
            let (pickle, _) = read_pickle(&text)?;
            tensors(&pickle, bytes.len(), |key| archive.entry(&format!("data/{key}")).map(Cow::Owned))
        }
        Kind::Legacy => legacy::read(bytes),
        Kind::Tar => Err(TAR.to_owned()),
    }
}

/// Reads the pickle at the start of `bytes`; also returns its length in bytes.
fn read_pickle(bytes: &[u8]) -> Result<(Pickle<'_>, usize), String> {
    let front = &bytes[..bytes.len().min(MAX_PICKLE_BYTES + 1)];
    match vm::run(front) {
        Ok((pickle, len)) if len <= MAX_PICKLE_BYTES => Ok((pickle, len)),
        Err(problem) if front.len() == bytes.len() => {
            Err(format!("cannot be read as a state dict: {problem}; {SAVE}"))
        }
        _ => Err(format!(
            "has a pickle of more than {} MiB, too large for a state dict; {SAVE}",
            MAX_PICKLE_BYTES >> 20
        )),
    }
}

/// Builds the tensors of a pickle; `storage` returns the bytes of a storage by key.
fn tensors<'a>(
    pickle: &Pickle,
    file_len: usize,
    mut storage: impl FnMut(&str) -> Result<Cow<'a, [u8]>, String>,
) -> Result<Tensors, String> {
    // Bounds memory by the file's size. Views may overlap, and names may share their text, but a valid state dict
    // needs at least a byte per value and holds each name once.
    let (mut values_left, mut names_left) = (file_len, file_len);
    let mut storages: HashMap<&str, Cow<[u8]>> = HashMap::new();
    let mut read = Tensors::new();
    for (name, value) in state_dict(pickle)? {
        names_left = names_left.checked_sub(name.len()).ok_or("repeats long names")?;
        let mut stored = || {
            let tensor = pickle.tensor(value)?;
            let Some(float) = tensor.storage.element().and_then(|element| element.float) else {
                return Ok(Stored::Other(tensor.storage.class.to_owned()));
            };
            let len = tensor.len();
            let too_large = || format!("has shape {:?}, larger than the file", tensor.shape);
            values_left = values_left.checked_sub(len).ok_or_else(too_large)?;
            let key = tensor.storage.key;
            if !storages.contains_key(key) {
                storages.insert(key, storage(key)?);
            }
            read_view(&tensor, len, float, &storages[key])
        };
        let stored = stored().map_err(|problem: String| format!("{name} {problem}"))?;
        read.insert(name.to_owned(), stored);
    }
    Ok(read)
}

/// The named tensors of the top-level dictionary, or of the state dict nested in it.
fn state_dict<'a>(pickle: &Pickle<'a>) -> Result<Vec<(&'a str, Value)>, String> {
    let Some(top) = pickle.dict(pickle.top) else {
        return Err(format!("holds {}, expected a state dict; {SAVE}", pickle.kind(pickle.top)));
    };
    let entry = |name: &str| top.iter().find(|(key, _)| pickle.is(*key, name)).map(|(_, value)| *value);
    let nested = NESTED.iter().find_map(|name| pickle.dict(entry(name)?));
    let entries = nested.as_ref().unwrap_or(&top);
    let named = entries.iter().map(|(key, value)| match pickle.text(*key) {
        Some(name) if pickle.is_tensor(*value) => Ok((name, *value)),
        _ => Err(format!(
            "is not a state dict: {} is {}, expected a tensor; save the state dict alone or under one of {}",
            pickle.kind(*key),
            pickle.kind(*value),
            NESTED.join(", ")
        )),
    });
    let tensors = named.collect::<Result<Vec<_>, _>>()?;
    match tensors.is_empty() {
        true => Err("holds an empty state dict; save one with tensors".to_owned()),
        false => Ok(tensors),
    }
}

/// Copies a strided view of a storage into a row-major tensor.
fn read_view(tensor: &TensorRef, len: usize, float: Float, bytes: &[u8]) -> Result<Stored, String> {
    let size = float.size();
    let end = tensor.end().filter(|end| *end <= bytes.len() / size);
    if end.is_none() {
        return Err(format!("extends past its storage of {} elements; {AGAIN}", bytes.len() / size));
    }
    if tensor.is_dense() {
        let stored = float.tensor(&tensor.shape, &bytes[tensor.offset * size..][..len * size]);
        return stored.map_err(|e| e.to_string());
    }
    let mut index = vec![0; tensor.shape.len()];
    let mut values = Vec::with_capacity(len);
    for _ in 0..len {
        let at = tensor.offset + index.iter().zip(&tensor.stride).map(|(i, s)| i * s).sum::<usize>();
        values.push(float.decode(&bytes[at * size..][..size]));
        for (i, length) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < *length {
                break;
            }
            *i = 0;
        }
    }
    Tensor::f32(tensor.shape.clone(), values).map(Stored::Float).map_err(|e| e.to_string())
}
