//! Random damage to files.

use striate::rng::SplitMix64;

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
