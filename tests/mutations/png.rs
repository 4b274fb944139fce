//! PNG files with rearranged chunks and correct checksums.

use crate::files::damaged;
use striate::rng::SplitMix64;

const SIGNATURE: usize = 8;

/// Kind and data of each chunk.
fn chunks(file: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rest = &file[SIGNATURE..];
    let mut found = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (kind, after) = after.split_at(4);
        let (data, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        found.push((kind.to_vec(), data.to_vec()));
        rest = &after[4..];
    }
    found
}

/// Damages the content or order of chunks.
pub fn rearranged(file: &[u8], rng: &mut SplitMix64) -> Vec<u8> {
    let mut chunks = chunks(file);
    for _ in 0..=rng.below(2) {
        let mut index = || rng.below(chunks.len() as u32) as usize;
        let (at, other) = (index(), index());
        match rng.below(6) {
            0 => chunks.swap(at, other),
            1 => chunks.insert(at, chunks[other].clone()),
            2 if chunks.len() > 1 => drop(chunks.remove(at)),
            // The header: size, bit depth, color type, interlacing.
            3 => {
                let header = &mut chunks[0].1;
                let byte = rng.below(header.len().max(1) as u32) as usize;
                if let Some(byte) = header.get_mut(byte) {
                    *byte = [0, 1, 2, 3, 4, 6, 8, 16, 64, 255][rng.below(10) as usize];
                }
            }
            _ => chunks[at].1 = damaged(&chunks[at].1, rng),
        }
    }
    let mut file = file[..SIGNATURE].to_vec();
    for (kind, data) in chunks {
        let checked = [kind, data].concat();
        file.extend((checked.len() as u32 - 4).to_be_bytes());
        file.extend(&checked);
        file.extend(crc32fast::hash(&checked).to_be_bytes());
    }
    file
}
