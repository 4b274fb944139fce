//! Twins of `matmul_pack.wgsl` and `matmul_packed.wgsl`.

use super::Io;
use crate::kernel::{MATMUL_PACKED, MatmulPack, MatmulPacked};
use rayon::prelude::*;

/// Packs an operand into panels, in the order that the shader documents.
pub fn matmul_pack(p: &MatmulPack, io: Io<'_>) {
    let ([x], [packed]) = io.f32();
    let len = p.batches * p.panels * p.depth * p.width;
    for (index, value) in (0..len).zip(packed) {
        let (i, k) = (index % p.width, index / p.width % p.depth);
        let (panel, batch) = (index / (p.width * p.depth) % p.panels, index / (p.width * p.depth * p.panels));
        let (i, o) = (panel * p.width + i, batch / p.inner);
        let (r, t) = (k / p.size, k % p.size);
        let there = i < p.count && r < p.reduce.min(p.reduce_total - o * p.reduce);
        let at = p.offset + o * p.outer + batch % p.inner * p.inner_step + r * p.reduce_step;
        *value = if there { x[(at + i * p.step + t * p.k_step) as usize] } else { 0.0 };
    }
}

/// c = a b + bias from packed panels.
pub fn matmul_packed(p: &MatmulPacked, io: Io<'_>) {
    let ([a, b, bias], [c]) = io.f32();
    let rows = MATMUL_PACKED.constant("rows");
    let number = |x: &[f32], count: u32, width: u32, [batch, i, k]: [u32; 3]| {
        let line = (batch * count.div_ceil(width) + i / width) * p.depth + k;
        f64::from(x[(line * width + i % width) as usize])
    };
    for batch in 0..p.batches {
        let base = p.c_offset + batch / p.inner * p.c_outer + batch % p.inner * p.c_inner;
        let results: Vec<f32> = (0..p.m * p.n)
            .into_par_iter()
            .map(|at| {
                let (i, j) = (at / p.n, at % p.n);
                let shift = match p.bias {
                    1 => bias[j as usize],
                    2 => bias[(batch % p.inner * p.m + i) as usize],
                    _ => 0.0,
                };
                let products = (0..p.depth)
                    .map(|k| number(a, p.m, rows, [batch, i, k]) * number(b, p.n, p.width, [batch, j, k]));
                (products.sum::<f64>() + f64::from(shift)) as f32
            })
            .collect();
        for (at, value) in (0..).zip(results) {
            c[(base + at / p.n * p.c_row + at % p.n) as usize] = value;
        }
    }
}
