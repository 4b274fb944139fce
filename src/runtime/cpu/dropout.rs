//! Twin of `dropout.wgsl`.

use super::{BLOCK, Io};
use crate::kernel::Dropout;
use rayon::prelude::*;

/// PCG's output permutation RXS-M-XS as a hash, the same bits as the shader's.
pub fn pcg(v: u32) -> u32 {
    let state = v.wrapping_mul(747796405).wrapping_add(2891336453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277803737);
    (word >> 22) ^ word
}

/// y = 0 with probability p, else x / (1 - p), drawn from (seed, step, stream, index).
pub fn dropout(p: &Dropout, io: Io<'_>) {
    let ([x, counter], [y]) = io.words();
    let (x, y) = (bytemuck::cast_slice::<u32, f32>(x), bytemuck::cast_slice_mut::<u32, f32>(y));
    let key = pcg(p.stream ^ pcg(counter[0] ^ pcg(counter[1])));
    let len = p.len as usize;
    let blocks = y[..len].par_chunks_mut(BLOCK).zip(x[..len].par_chunks(BLOCK));
    blocks.enumerate().for_each(|(block, (y, x))| {
        for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
            let hash = pcg((block * BLOCK + i) as u32 ^ key);
            let u = (hash >> 8) as f32 / 16777216.0;
            *y = if u < p.p { 0.0 } else { x * p.scale };
        }
    });
}
