//! Fast twins of `elementwise.wgsl`.

use super::super::{BLOCK, Io};
use crate::kernel::Elementwise;
use pulp::Arch;
use rayon::prelude::*;

/// y = max(a, 0), propagating NaN. A plain loop branches on signs, which are hard to predict.
pub fn relu(p: &Elementwise, io: Io<'_>) {
    let ([a], [y]) = io.f32();
    let (arch, len) = (Arch::new(), p.len as usize);
    y[..len].par_chunks_mut(BLOCK).zip(a[..len].par_chunks(BLOCK)).for_each(|(y, a)| {
        arch.dispatch(|| y.iter_mut().zip(a).for_each(|(y, &a)| *y = if a <= 0.0 { 0.0 } else { a }));
    });
}
