//! The two inner loops of convolutions: tiles of results kept in vector registers.

use pulp::{Arch, Simd, WithSimd};

/// Elements that a panel needs past its data, because tiles read whole vectors.
pub const SLACK: usize = 128;

/// The size of a tile of [`product`], limited by the number of registers.
#[derive(Clone, Copy)]
pub struct Size {
    /// Maximum number of planes of results.
    pub rows: usize,
    /// Vectors of pixels.
    pub vectors: usize,
    /// Pixels per vector.
    pub lanes: usize,
}

impl Size {
    /// The size on this machine.
    pub fn new(arch: Arch) -> Self {
        arch.dispatch(OnMachine)
    }

    /// The size with these vectors.
    #[inline(always)]
    pub const fn of<S: Simd>() -> Self {
        let [rows, vectors] = if S::REGISTER_COUNT >= 32 { [8, 2] } else { [4, 3] };
        Self { rows, vectors, lanes: S::F32_LANES }
    }
}

struct OnMachine;

impl WithSimd for OnMachine {
    type Output = Size;

    fn with_simd<S: Simd>(self, _: S) -> Size {
        Size::of::<S>()
    }
}

/// The sums over k of `weights`\[k\]\[m\] * `panels`\[n\]\[offsets\[k\] + p\], for `M` results m and one vector of pixels p in each of
/// `N` panels, from `start`\[m\] on.
#[inline(always)]
pub fn product<S: Simd, const M: usize, const N: usize>(
    simd: S,
    weights: &[f32],
    offsets: &[usize],
    panels: [&[f32]; N],
    start: [f32; M],
) -> [[S::f32s; N]; M] {
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    for m in 0..M {
        sums[m] = [simd.splat_f32s(start[m]); N];
    }
    for (weights, &offset) in weights.as_chunks::<M>().0.iter().zip(offsets) {
        let mut pixels = [simd.splat_f32s(0.0); N];
        for n in 0..N {
            pixels[n] = bytemuck::cast_slice(&panels[n][offset..][..S::F32_LANES])[0];
        }
        for m in 0..M {
            let weight = simd.splat_f32s(weights[m]);
            for n in 0..N {
                sums[m][n] = simd.mul_add_e_f32s(weight, pixels[n], sums[m][n]);
            }
        }
    }
    sums
}

/// Pixels of some images, and upstream gradients there.
pub struct Images<'a> {
    /// The panels of all images, `panel` elements apart, from the first pixel on.
    pub panels: &'a [f32],
    pub panel: usize,
    /// `[images, pixels, width]`.
    pub columns: &'a [f32],
    pub pixels: usize,
    pub width: usize,
}

/// The sums over images i and pixels p of `panels`\[i\]\[offsets\[k\] + p\] * `columns`\[i\]\[p\]\[first + m\], for `K` results k and
/// `N` vectors of results m.
#[inline(always)]
pub fn outer_product<S: Simd, const K: usize, const N: usize>(
    simd: S,
    images: &Images,
    offsets: [usize; K],
    first: usize,
) -> [[S::f32s; N]; K] {
    let mut sums = [[simd.splat_f32s(0.0); N]; K];
    let (pixels, width) = (images.pixels, images.width);
    for (i, columns) in images.columns.chunks_exact(pixels * width).enumerate() {
        let mut rows = [images.panels; K];
        for k in 0..K {
            rows[k] = &images.panels[i * images.panel + offsets[k]..][..pixels];
        }
        // Slicing to `pixels` removes the bounds checks of p from the loop.
        for (p, columns) in columns.chunks_exact(width).enumerate().take(pixels) {
            let columns: &[S::f32s] = bytemuck::cast_slice(&columns[first..][..N * S::F32_LANES]);
            for k in 0..K {
                let pixel = simd.splat_f32s(rows[k][p]);
                for n in 0..N {
                    sums[k][n] = simd.mul_add_e_f32s(pixel, columns[n], sums[k][n]);
                }
            }
        }
    }
    sums
}
