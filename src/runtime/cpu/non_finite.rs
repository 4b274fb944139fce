//! Twin of `non_finite.wgsl`.

use super::{Io, is_finite};
use crate::kernel::NonFinite;

/// out\[g\] = infinity if an element of workgroup g's share is not finite, else 0; with `keep`, also if it was infinity before.
/// Here the whole is the share of workgroup 0.
pub fn non_finite(p: &NonFinite, io: Io<'_>) {
    let (arrays, [out]) = io.words::<7, 1>();
    let lens = [p.len0, p.len1, p.len2, p.len3, p.len4, p.len5, p.len6];
    let found = arrays.iter().zip(lens).any(|(x, len)| !x[..len as usize].iter().all(|&v| is_finite(v)));
    if p.keep == 0 {
        out[..p.groups as usize].fill(0);
    }
    if found {
        out[0] = f32::INFINITY.to_bits();
    }
}
