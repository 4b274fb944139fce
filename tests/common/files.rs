//! Data files, good and damaged.

#![allow(dead_code, reason = "no test program uses everything")]

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use striate::rng::SplitMix64;

/// EXIF data, big-endian, with one entry: orientation (0x112, one short) 6, rotate by 90 degrees clockwise.
pub const EXIF_ROTATED: &[u8] = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

/// An IDX file: magic number, sizes, elements.
pub fn idx(magic: u32, sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let numbers = std::iter::once(&magic).chain(sizes).flat_map(|number| number.to_be_bytes());
    numbers.chain(elements.iter().copied()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Changes, removes, inserts or truncates bytes at random.
pub fn damaged(bytes: &[u8], rng: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len().max(1) as u32) as usize;
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.next_u64() as u8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] = [0, 255, 127, 128][rng.below(4) as usize],
            // An absurd length or offset.
            4 => {
                let number =
                    [u64::MAX, u64::MAX >> 1, 1 << 32, 0xffff_ffff][rng.below(4) as usize].to_le_bytes();
                let end = bytes.len().min(at + [2, 4, 8][rng.below(3) as usize]);
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
    bytes
}
