//! Twins of `softmax.wgsl`: along the middle axis of `[outer, classes, inner]`.

use super::Io;
use crate::kernel::Softmax;
use rayon::prelude::*;

/// y = exp(x - max) / sum of exp(x - max).
pub fn softmax(p: &Softmax, io: Io<'_>) {
    let ([x], [y]) = io.f32();
    lines(p, x, x, y, |x, _| {
        let (most, log_sum) = log_sum_exp(x.iter().copied());
        x.iter().map(|x| (x - most - log_sum).exp()).collect()
    });
}

/// y = x - max - log(sum of exp(x - max)).
pub fn log_softmax(p: &Softmax, io: Io<'_>) {
    let ([x], [y]) = io.f32();
    lines(p, x, x, y, |x, _| {
        let (most, log_sum) = log_sum_exp(x.iter().copied());
        x.iter().map(|x| x - most - log_sum).collect()
    });
}

/// dx = y * (dy - sum of dy * y).
pub fn softmax_grad(p: &Softmax, io: Io<'_>) {
    let ([y, dy], [dx]) = io.f32();
    lines(p, y, dy, dx, |y, dy| {
        let dot: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
        y.iter().zip(dy).map(|(y, dy)| y * (dy - dot)).collect()
    });
}

/// dx = dy - exp(y) * sum of dy.
pub fn log_softmax_grad(p: &Softmax, io: Io<'_>) {
    let ([y, dy], [dx]) = io.f32();
    lines(p, y, dy, dx, |y, dy| {
        let sum: f64 = dy.iter().sum();
        y.iter().zip(dy).map(|(y, dy)| dy - y.exp() * sum).collect()
    });
}

/// The maximum, and log(sum of exp(x - max)). They are not added, because a huge maximum would absorb the logarithm.
pub(super) fn log_sum_exp(x: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let most = x.clone().fold(f64::NEG_INFINITY, f64::max);
    (most, x.map(|x| (x - most).exp()).sum::<f64>().ln())
}

/// out = f(a, b) for each line of classes.
fn lines(p: &Softmax, a: &[f32], b: &[f32], out: &mut [f32], f: impl Fn(&[f64], &[f64]) -> Vec<f64> + Sync) {
    let (classes, inner) = (p.classes as usize, p.inner as usize);
    let len = p.outer as usize * classes * inner;
    let blocks = out[..len].par_chunks_mut((classes * inner).max(1));
    blocks.enumerate().for_each(|(o, out)| {
        for i in 0..inner {
            let line = |x: &[f32]| -> Vec<f64> {
                (0..classes).map(|c| f64::from(x[(o * classes + c) * inner + i])).collect()
            };
            for (c, y) in f(&line(a), &line(b)).into_iter().enumerate() {
                out[c * inner + i] = y as f32;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cpu::{assert_close, run};

    #[test]
    fn softmax_handles_strided_lines_and_huge_logits() {
        let p = Softmax { outer: 1, classes: 2, inner: 2 };
        let x = [1000.0, 0.0, 1000.0, 3f32.ln()];
        let mut y = [0.0; 4];
        run(softmax, &p, &[&x], &mut y);
        assert_close(&y, &[0.5, 0.25, 0.5, 0.75], 1e-6, "softmax");
        run(log_softmax, &p, &[&x], &mut y);
        assert_close(&y, &[0.5f32.ln(), 0.25f32.ln(), 0.5f32.ln(), 0.75f32.ln()], 1e-6, "log_softmax");
    }
}
