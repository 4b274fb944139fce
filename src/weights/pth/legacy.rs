//! PyTorch's format from before 1.6: five pickles, the magic number, the protocol's version, facts of the machine,
//! the state dict and the keys of its storages, and then, in the order of the keys, how many numbers each storage has
//! and the numbers.

use super::pickle::{Pickle, Value};
use super::{SAVE, describe, tensors};
use crate::weights::Tensors;
use std::borrow::Cow;
use std::collections::HashMap;

/// 0x1950a86a20f9469cfc6c, as a pickle has it.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const VERSION: Value = Value::Int(1001);

const AGAIN: &str = "fetch or write it again";

/// The tensors of the state dict, or what is wrong with the file.
pub fn read(bytes: &[u8]) -> Result<Tensors, String> {
    let mut rest = bytes;
    let magic = next_pickle(&mut rest)?;
    if !matches!(magic.top, Value::Long(number) if number.of(magic.bytes) == MAGIC) {
        return Err(format!("is a pickle, but not one of torch.save; {SAVE}"));
    }
    if next_pickle(&mut rest)?.top != VERSION {
        return Err(format!("has a version of PyTorch's format from before 1.6 that is not known; {SAVE}"));
    }
    let machine = next_pickle(&mut rest)?;
    let facts = machine.dict(machine.top).unwrap_or_default();
    if facts.iter().any(|(key, value)| machine.is(*key, "little_endian") && *value == Value::Bool(false)) {
        return Err("was written on a machine with the big end first; write it on another".to_owned());
    }
    let state = next_pickle(&mut rest)?;
    let keys = next_pickle(&mut rest)?;
    let storages = storages(&state, &keys, rest)?;
    tensors(&state, bytes.len(), |key| match storages.get(key) {
        Some(numbers) => Ok(Cow::Borrowed(*numbers)),
        None => Err(format!("is in the storage {key:?}, which is missing; {AGAIN}")),
    })
}

/// The pickle that `rest` begins with, and which is taken off it.
fn next_pickle<'a>(rest: &mut &'a [u8]) -> Result<Pickle<'a>, String> {
    let (pickle, len) = describe(rest)?;
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
    let keys_in_order = keys.list(keys.top).ok_or_else(|| format!("has no list of its storages; {AGAIN}"))?;
    let mut storages = HashMap::new();
    for key in keys_in_order {
        let size = keys.text(key).and_then(|key| Some((key, (*sizes.get(key)?)?)));
        let (key, size) = size.ok_or_else(|| {
            format!("has numbers of a kind that is not known, in the storage {}; {SAVE}", keys.kind(key))
        })?;
        let cut = || format!("ends in its storage {key:?}; {AGAIN}");
        let (count, numbers) = rest.split_first_chunk().ok_or_else(cut)?;
        let len = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(size));
        let (numbers, after) = len.and_then(|len| numbers.split_at_checked(len)).ok_or_else(cut)?;
        storages.insert(key, numbers);
        rest = after;
    }
    match rest.is_empty() {
        true => Ok(storages),
        false => Err(format!("has {} bytes after its last storage; {AGAIN}", rest.len())),
    }
}
