//! The format used before PyTorch 1.6: five pickles (magic number, protocol version, system info, state dict, storage
//! keys), then each storage in the order of the keys, as its element count and its elements.

use super::pickle::{Pickle, Value};
use super::{AGAIN, BIG_ENDIAN, SAVE, read_pickle, tensors};
use crate::weights::Tensors;
use std::borrow::Cow;
use std::collections::HashMap;

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const VERSION: Value = Value::Int(1001);

/// Reads the tensors of the state dict. The error says what is wrong with the file.
pub fn read(bytes: &[u8]) -> Result<Tensors, String> {
    let mut rest = bytes;
    let magic = next_pickle(&mut rest)?;
    if !matches!(magic.top, Value::Long(number) if number.of(magic.bytes) == MAGIC) {
        return Err(format!("is a pickle, but not one from torch.save; {SAVE}"));
    }
    if next_pickle(&mut rest)?.top != VERSION {
        return Err(format!("has an unknown version of the format used before PyTorch 1.6; {SAVE}"));
    }
    let system = next_pickle(&mut rest)?;
    let info = system.dict(system.top).unwrap_or_default();
    if info.iter().any(|(key, value)| system.is(*key, "little_endian") && *value == Value::Bool(false)) {
        return Err(BIG_ENDIAN.to_owned());
    }
    let state = next_pickle(&mut rest)?;
    let keys = next_pickle(&mut rest)?;
    let storages = storages(&state, &keys, rest)?;
    tensors(&state, bytes.len(), |key| match storages.get(key) {
        Some(bytes) => Ok(Cow::Borrowed(*bytes)),
        None => Err(format!("refers to storage {key:?}, which is missing; {AGAIN}")),
    })
}

/// Splits the first pickle off `rest`.
fn next_pickle<'a>(rest: &mut &'a [u8]) -> Result<Pickle<'a>, String> {
    let (pickle, len) = read_pickle(rest)?;
    *rest = &rest[len..];
    Ok(pickle)
}

/// The bytes of each storage by its key.
fn storages<'a>(
    state: &Pickle<'a>,
    keys: &Pickle<'a>,
    mut rest: &'a [u8],
) -> Result<HashMap<&'a str, &'a [u8]>, String> {
    let mut sizes = HashMap::new();
    for storage in state.storages() {
        let storage = storage.map_err(|problem| format!("has a tensor that {problem}"))?;
        sizes.insert(storage.key, storage.element().map(|element| element.size));
    }
    let keys_in_order = keys.list(keys.top).ok_or_else(|| format!("lacks the list of storages; {AGAIN}"))?;
    let mut storages = HashMap::new();
    for key in keys_in_order {
        let size = keys.text(key).and_then(|key| Some((key, (*sizes.get(key)?)?)));
        let (key, size) =
            size.ok_or_else(|| format!("has a storage of unknown type, {}; {SAVE}", keys.kind(key)))?;
        let truncated = || format!("ends inside storage {key:?}; {AGAIN}");
        let (count, bytes) = rest.split_first_chunk().ok_or_else(truncated)?;
        let len = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(size));
        let (bytes, after) = len.and_then(|len| bytes.split_at_checked(len)).ok_or_else(truncated)?;
        storages.insert(key, bytes);
        rest = after;
    }
    match rest.is_empty() {
        true => Ok(storages),
        false => Err(format!("has {} bytes after its last storage; {AGAIN}", rest.len())),
    }
}
