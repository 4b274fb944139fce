//! Twins of `elementwise.wgsl` and `channel_copy.wgsl`.

use super::{BLOCK, Io};
use crate::kernel::{ChannelCopy, Elementwise};
use rayon::prelude::*;

/// y = a, copied bit for bit.
pub fn copy(p: &Elementwise, io: Io<'_>) {
    let ([a], [y]) = io.words();
    let len = p.len as usize;
    y[..len].par_chunks_mut(BLOCK).zip(a[..len].par_chunks(BLOCK)).for_each(|(y, a)| y.copy_from_slice(a));
}

/// y = a + b.
pub fn add(p: &Elementwise, io: Io<'_>) {
    zip(p, io, |a, b| a + b);
}

/// y = max(a + b, 0), propagating NaN.
pub fn add_relu(p: &Elementwise, io: Io<'_>) {
    zip(p, io, |a, b| rectified(a + b));
}

/// y = alpha * y + beta * a, in place.
pub fn blend(p: &Elementwise, io: Io<'_>) {
    let (alpha, beta) = (f64::from(p.alpha), f64::from(p.beta));
    map(p, io, |y, a| (alpha * f64::from(y) + beta * f64::from(a)) as f32);
}

/// As [`blend`], if `guard` is finite; otherwise y stays.
pub fn guarded_blend(p: &Elementwise, io: Io<'_>) {
    let Io { reads, writes } = io;
    if super::is_finite(reads[1][0]) {
        blend(p, Io { reads: vec![reads[0]], writes });
    }
}

/// y = a * b\[0\].
pub fn scale(p: &Elementwise, io: Io<'_>) {
    let Io { reads, writes } = io;
    let factor = bytemuck::cast_slice::<u32, f32>(reads[1])[0];
    map(p, Io { reads: vec![reads[0]], writes }, |_, a| a * factor);
}

/// y = a * b.
pub fn mul(p: &Elementwise, io: Io<'_>) {
    zip(p, io, |a, b| a * b);
}

/// y = a / (b + alpha with the sign of b).
pub fn stabilized_div(p: &Elementwise, io: Io<'_>) {
    zip(p, io, |a, b| a / (b + p.alpha.copysign(b)));
}

/// y = max(a, 0), propagating NaN.
pub fn relu(p: &Elementwise, io: Io<'_>) {
    map(p, io, |_, a| rectified(a));
}

/// max(x, 0), propagating NaN.
fn rectified(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// y = 0 where a <= 0, else b: `a` is the ReLU's output, `b` the upstream gradient, which passes where `a` is NaN.
pub fn relu_grad(p: &Elementwise, io: Io<'_>) {
    zip(p, io, |a, b| if a <= 0.0 { 0.0 } else { b });
}

/// y = 0 where a <= 0, else b + c.
pub fn add_relu_grad(p: &Elementwise, io: Io<'_>) {
    let ([a, b, c], [y]) = io.words();
    add(p, Io { reads: vec![b, c], writes: vec![&mut *y] });
    map(p, Io { reads: vec![a], writes: vec![y] }, |sum, a| if a <= 0.0 { 0.0 } else { sum });
}

/// Copies a block of channels between tensors of different channel counts, bit for bit.
pub fn channel_copy(p: &ChannelCopy, io: Io<'_>) {
    let ([src], [dst]) = io.words();
    let width = p.width as usize;
    if p.len == 0 {
        return;
    }
    let outer = p.len as usize / width;
    let stride = (p.dst_stride as usize).max(width);
    let rows = dst[p.dst_offset as usize..].par_chunks_mut(stride).take(outer);
    rows.enumerate().for_each(|(o, row)| {
        let start = o * p.src_stride as usize + p.src_offset as usize;
        row[..width].copy_from_slice(&src[start..][..width]);
    });
}

/// Copies a block of channels into a zeroed tensor with more channels.
pub fn channel_pad(p: &ChannelCopy, io: Io<'_>) {
    let ([src], [dst]) = io.words();
    let width = p.width as usize;
    let rows = dst[..p.len as usize].par_chunks_mut(p.dst_stride as usize);
    rows.enumerate().for_each(|(o, row)| {
        row.fill(0);
        let start = o * p.src_stride as usize + p.src_offset as usize;
        row[p.dst_offset as usize..][..width].copy_from_slice(&src[start..][..width]);
    });
}

/// y = f(y, a) for each element.
fn map(p: &Elementwise, io: Io<'_>, f: impl Fn(f32, f32) -> f32 + Sync) {
    let ([a], [y]) = io.f32();
    let len = p.len as usize;
    y[..len].par_chunks_mut(BLOCK).zip(a[..len].par_chunks(BLOCK)).for_each(|(y, a)| {
        for (y, &a) in y.iter_mut().zip(a) {
            *y = f(*y, a);
        }
    });
}

/// y = f(a, b) for each element.
fn zip(p: &Elementwise, io: Io<'_>, f: impl Fn(f32, f32) -> f32 + Sync) {
    let ([a, b], [y]) = io.f32();
    let len = p.len as usize;
    let blocks = y[..len].par_chunks_mut(BLOCK).zip(a[..len].par_chunks(BLOCK));
    blocks.zip(b[..len].par_chunks(BLOCK)).for_each(|((y, a), b)| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::run;

    #[test]
    fn relu_propagates_nan_and_writes_only_its_elements() {
        let mut y = [9.0; 4];
        run(relu, &Elementwise { len: 3, ..Default::default() }, &[&[-1.0, f32::NAN, 2.0]], &mut y);
        assert!(y[1].is_nan());
        assert_eq!([y[0], y[2], y[3]], [0.0, 2.0, 9.0]);
    }

    #[test]
    fn channel_copy_writes_one_block_of_each_row() {
        let p = ChannelCopy { len: 4, width: 2, src_stride: 3, src_offset: 1, dst_stride: 4, dst_offset: 2 };
        let mut dst = [0.0; 8];
        run(channel_copy, &p, &[&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]], &mut dst);
        assert_eq!(dst, [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 4.0, 5.0]);
    }
}
