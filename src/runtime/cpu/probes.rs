//! Twins of `probes.wgsl` and `probe_subgroups.wgsl`.

use super::Io;
use crate::kernel::{Probe, ProbeSubgroups};

/// Cases of `N` results each, of two operands each.
fn cases<T: Copy, const N: usize>(len: u32, x: &[T], y: &mut [T], f: impl Fn(T, T) -> [T; N]) {
    for (y, x) in y.chunks_exact_mut(N).zip(x.chunks_exact(2)).take(len as usize) {
        y.copy_from_slice(&f(x[0], x[1]));
    }
}

/// Integer division and its relatives.
pub fn integers(p: &Probe, io: Io<'_>) {
    let ([x], [y]) = io.words();
    cases(p.len, x, y, |a, b| {
        let signed = [(a as i32) / (b as i32), (a as i32) % (b as i32)].map(|v| v as u32);
        [a / b, a % b, a / 9, a % 9, a.wrapping_mul(b), a >> (b % 32), signed[0], signed[1]]
    });
}

/// a, a + b, a b.
pub fn floats(p: &Probe, io: Io<'_>) {
    let ([v], [r]) = io.f32();
    cases(p.len, v, r, |a, b| [a, a + b, a * b]);
}

/// a + b, and comparisons of a and b.
pub fn ieee(p: &Probe, io: Io<'_>) {
    let ([v], [y]) = io.words();
    cases(p.len, v, y, |a, b| {
        let [a, b] = [a, b].map(f32::from_bits);
        [(a + b).to_bits(), u32::from(a == b), u32::from(a < b), u32::from(a != b)]
    });
}

/// Exchanges between the 64 invocations of each workgroup.
pub fn barriers(p: &Probe, io: Io<'_>) {
    let ([x], [y]) = io.words();
    for (x, y) in x[..p.len as usize].chunks_exact(64).zip(y.chunks_exact_mut(64)) {
        let mut numbers: Vec<u32> = x.to_vec();
        for round in 0..32 {
            for (factor, distance) in [(1_664_525u32, round + 1), (22_695_477, 2 * round + 1)] {
                let of = |lane: usize| {
                    factor.wrapping_mul(numbers[lane]).wrapping_add(numbers[(lane + distance) % 64])
                };
                numbers = (0..64).map(of).collect();
            }
        }
        y.copy_from_slice(&numbers);
    }
}

/// Subgroup size, lane, and the numbers of other lanes.
pub fn subgroups(p: &ProbeSubgroups, io: Io<'_>) {
    let ([], [y]) = io.words();
    let number = |i: u32| i.wrapping_mul(2_654_435_761);
    for (i, y) in (0..p.len).zip(y.chunks_exact_mut(5)) {
        let (first, lane) = (i - i % p.lanes, i % p.lanes);
        let others = [3, (lane + 1) % p.lanes, lane ^ 2].map(|lane| number(first + lane));
        y.copy_from_slice(&[p.lanes, lane, others[0], others[1], others[2]]);
    }
}
