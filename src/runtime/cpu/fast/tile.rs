//! The two inner loops of convolutions: tiles of results kept in vector registers.

use pulp::{Simd, WithSimd};

/// Elements that a panel needs past its data, because tiles read whole vectors.
pub const SLACK: usize = 128;

/// Maximum number of planes of results in a tile of [`product`], limited by the number of registers.
pub struct Rows;

impl WithSimd for Rows {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
    }
}

/// The sums over k of `weights`\[k\]\[m\] * `panel`\[offsets\[k\] + p\], for `M` results m and `N` vectors of pixels p, from
/// `start`\[m\] on.
#[inline(always)]
pub fn product<S: Simd, const M: usize, const N: usize>(
    simd: S,
    weights: &[f32],
    offsets: &[usize],
    panel: &[f32],
    start: [f32; M],
) -> [[S::f32s; N]; M] {
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    for m in 0..M {
        sums[m] = [simd.splat_f32s(start[m]); N];
    }
    for (weights, &offset) in weights.as_chunks::<M>().0.iter().zip(offsets) {
        let pixels: &[S::f32s] = bytemuck::cast_slice(&panel[offset..][..N * S::F32_LANES]);
        for m in 0..M {
            let weight = simd.splat_f32s(weights[m]);
            for n in 0..N {
                sums[m][n] = simd.mul_add_e_f32s(weight, pixels[n], sums[m][n]);
            }
        }
    }
    sums
}

/// The sums over p of `panel`\[offsets\[k\] + p\] * `columns`\[p\]\[first + m\], for `K` results k and `N` vectors of
/// results m. Each p has `width` columns.
#[inline(always)]
pub fn outer_product<S: Simd, const K: usize, const N: usize>(
    simd: S,
    panel: &[f32],
    offsets: [usize; K],
    columns: &[f32],
    width: usize,
    first: usize,
) -> [[S::f32s; N]; K] {
    let mut sums = [[simd.splat_f32s(0.0); N]; K];
    let len = columns.len() / width;
    let mut rows = [panel; K];
    for k in 0..K {
        rows[k] = &panel[offsets[k]..][..len];
    }
    // Slicing to `len` columns removes the bounds checks of p from the loop.
    for (p, columns) in columns.chunks_exact(width).enumerate().take(len) {
        let columns: &[S::f32s] = bytemuck::cast_slice(&columns[first..][..N * S::F32_LANES]);
        for k in 0..K {
            let pixel = simd.splat_f32s(rows[k][p]);
            for n in 0..N {
                sums[k][n] = simd.mul_add_e_f32s(pixel, columns[n], sums[k][n]);
            }
        }
    }
    sums
}
