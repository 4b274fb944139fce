//! Twin of `non_finite.wgsl`.

use super::{Io, is_finite};
use crate::kernel::{self, Arrays};

/// Elements that a workgroup reads at a time.
pub(super) const BLOCK: usize = 4 * kernel::NON_FINITE.threads as usize;

/// out\[g\] = infinity if an element of workgroup g's blocks is not finite, else 0, or with `keep` what it was.
pub fn non_finite(p: &Arrays, io: Io<'_>) {
    let (arrays, [out]) = io.words::<7, 1>();
    let out = &mut out[..p.groups as usize];
    if p.keep == 0 {
        out.fill(0);
    }
    for (x, len) in arrays.iter().zip(lens(p)) {
        for (block, words) in x[..len as usize].chunks(BLOCK).enumerate() {
            if !words.iter().all(|&word| is_finite(word)) {
                out[block % p.groups as usize] = f32::INFINITY.to_bits();
            }
        }
    }
}

/// Lengths of the arrays.
pub(super) fn lens(p: &Arrays) -> [u32; 7] {
    [p.len0, p.len1, p.len2, p.len3, p.len4, p.len5, p.len6]
}
