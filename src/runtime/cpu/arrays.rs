//! Twins of `non_finite.wgsl` and `sum_squares.wgsl`.

use super::reduce::sum;
use super::{Io, is_finite};
use crate::kernel::{self, Arrays, Ranges};
use pulp::Arch;
use rayon::prelude::*;

/// Elements that a workgroup reads at a time.
const BLOCK: usize = 4 * kernel::NON_FINITE.threads as usize;

/// out\[g\] = infinity if an element of workgroup g's blocks is not finite, else 0, or with `keep` what it was.
pub fn non_finite(p: &Arrays, io: Io<'_>) {
    let (arrays, [out]) = io.words();
    let blocks = |g| blocks_of_arrays(p, &arrays, g);
    write_non_finite(p.keep, &mut out[..p.groups as usize], blocks);
}

/// The same for ranges of an array.
pub fn non_finite_ranges(p: &Ranges, io: Io<'_>) {
    let ([x], [out]) = io.words();
    write_non_finite(p.keep, &mut out[..p.groups as usize], |g| blocks_of_ranges(p, x, g));
}

/// out\[g\] = the sum of the squares of workgroup g's blocks, added to out\[g\] if `keep`.
pub fn sum_squares(p: &Arrays, io: Io<'_>) {
    let (arrays, [out]) = io.f32();
    let blocks = |g| blocks_of_arrays(p, &arrays, g);
    write_sum_squares(p.keep, &mut out[..p.groups as usize], blocks);
}

/// The same for ranges of an array.
pub fn sum_squares_ranges(p: &Ranges, io: Io<'_>) {
    let ([x], [out]) = io.f32();
    write_sum_squares(p.keep, &mut out[..p.groups as usize], |g| blocks_of_ranges(p, x, g));
}

fn write_non_finite<'a, B: Iterator<Item = &'a [u32]>>(
    keep: u32,
    out: &mut [u32],
    blocks: impl Fn(usize) -> B + Sync,
) {
    let arch = Arch::new();
    out.par_iter_mut().enumerate().for_each(|(g, out)| {
        // Without an early exit, so that it vectorizes.
        let found = |block: &[u32]| block.iter().fold(false, |found, &word| found | !is_finite(word));
        let found = blocks(g).any(|block| arch.dispatch(|| found(block)));
        let before = if keep == 1 { *out } else { 0 };
        *out = if found { f32::INFINITY.to_bits() } else { before };
    });
}

fn write_sum_squares<'a, B: Iterator<Item = &'a [f32]>>(
    keep: u32,
    out: &mut [f32],
    blocks: impl Fn(usize) -> B + Sync,
) {
    out.par_iter_mut().enumerate().for_each(|(g, out)| {
        let total: f64 = blocks(g).map(|block| sum(block, |v| v * v)).sum();
        let before = if keep == 1 { f64::from(*out) } else { 0.0 };
        *out = (before + total) as f32;
    });
}

/// The blocks of workgroup `g`: every `groups`-th of each array.
fn blocks_of_arrays<'a, T>(p: &Arrays, arrays: &[&'a [T]; 7], g: usize) -> impl Iterator<Item = &'a [T]> {
    let groups = p.groups as usize;
    let whole = arrays.iter().zip(p.lens()).map(|(x, len)| &x[..len as usize]).collect::<Vec<_>>();
    whole.into_iter().flat_map(move |x| x.chunks(BLOCK).skip(g).step_by(groups))
}

/// The blocks of workgroup `g`: every `groups`-th of all ranges.
fn blocks_of_ranges<'a, T>(p: &Ranges, x: &'a [T], g: usize) -> impl Iterator<Item = &'a [T]> {
    let ranges: Vec<[u32; 2]> = p.ranges.iter().flat_map(|&[a, b, c, d]| [[a, b], [c, d]]).collect();
    let ranges = ranges.into_iter().take(p.count as usize);
    let blocks = ranges.flat_map(move |[start, len]| x[4 * start as usize..][..len as usize].chunks(BLOCK));
    blocks.skip(g).step_by(p.groups as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::run;

    #[test]
    fn sums_ignore_what_follows_the_data() {
        let x: Vec<f32> = (1..=12).map(|v| v as f32).chain([f32::NAN; 4]).collect();
        let mut out = [36.0, 42.0, 0.0];
        let p = Arrays { groups: 1, keep: 1, len0: 3, len6: 2, ..Default::default() };
        run(sum_squares, &p, &[&x[..]; 7], &mut out);
        assert_eq!(out, [36.0 + 14.0 + 5.0, 42.0, 0.0]);
        let mut ranges = [[0; 4]; 32];
        ranges[0] = [0, 3, 2, 4];
        let p = Ranges { ranges, count: 2, groups: 2, keep: 0 };
        run(sum_squares_ranges, &p, &[&x], &mut out);
        assert_eq!(out, [14.0, (9 * 9 + 10 * 10 + 11 * 11 + 12 * 12) as f32, 0.0]);
    }
}
