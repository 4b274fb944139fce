//! Twins of `optimizer.wgsl` and `clip.wgsl`. Each element is computed in `f64` and rounded when stored.

use super::{BLOCK, Io};
use crate::kernel::{Adam, Clip, Sgd};
use pulp::Arch;
use rayon::prelude::*;

/// One step of SGD with momentum, in place, if `guard` is finite. Without momentum the velocity is not touched.
pub fn sgd(p: &Sgd, io: Io<'_>) {
    let ([grad, schedule, guard], [w, velocity]) = io.f32();
    if !guard[0].is_finite() {
        return;
    }
    let len = p.len as usize;
    let [momentum, decay] = [p.momentum, p.weight_decay].map(f64::from);
    let lr = f64::from(schedule[0]) * f64::from(p.lr_scale);
    let blocks = w[..len].par_chunks_mut(BLOCK).zip(grad[..len].par_chunks(BLOCK));
    // Compiled for the widest vectors.
    let arch = Arch::new();
    blocks.zip(velocity[..len].par_chunks_mut(BLOCK)).for_each(|((w, grad), velocity)| {
        arch.dispatch(|| {
            for ((w, &grad), velocity) in w.iter_mut().zip(grad).zip(velocity) {
                let g = f64::from(grad) + decay * f64::from(*w);
                let mut step = g;
                if momentum != 0.0 {
                    let v = momentum * f64::from(*velocity) + g;
                    step = if p.nesterov == 1 { g + momentum * v } else { v };
                    *velocity = v as f32;
                }
                *w = (f64::from(*w) - lr * step) as f32;
            }
        });
    });
}

/// One step of Adam or AdamW, in place, if `guard` is finite.
pub fn adam(p: &Adam, io: Io<'_>) {
    let ([grad, schedule, guard], [w, first, second]) = io.f32();
    if !guard[0].is_finite() {
        return;
    }
    let len = p.len as usize;
    let [beta1, beta2, eps, decay] = [p.beta1, p.beta2, p.eps, p.weight_decay].map(f64::from);
    let [lr, correction1, correction2] = [schedule[0], schedule[1], schedule[2]].map(f64::from);
    let lr = lr * f64::from(p.lr_scale);
    let blocks = w[..len].par_chunks_mut(BLOCK).zip(grad[..len].par_chunks(BLOCK));
    let moments = first[..len].par_chunks_mut(BLOCK).zip(second[..len].par_chunks_mut(BLOCK));
    let arch = Arch::new();
    blocks.zip(moments).for_each(|((w, grad), (first, second))| {
        arch.dispatch(|| {
            for ((w, &grad), (first, second)) in w.iter_mut().zip(grad).zip(first.iter_mut().zip(second)) {
                let (mut weight, mut g) = (f64::from(*w), f64::from(grad));
                if p.decoupled == 1 {
                    weight *= 1.0 - lr * decay;
                } else {
                    g += decay * weight;
                }
                let m = beta1 * f64::from(*first) + (1.0 - beta1) * g;
                let s = beta2 * f64::from(*second) + (1.0 - beta2) * g * g;
                let step = lr / correction1 * m / ((s / correction2).sqrt() + eps);
                (*first, *second, *w) = (m as f32, s as f32, (weight - step) as f32);
            }
        })
    });
}

/// norm\[0\] = sqrt(sum of squares), out\[0\] = min(1, max_norm / (norm + 1e-6)). If the sum is not finite, out\[0\] is NaN or 0.
pub fn clip_coefficient(p: &Clip, io: Io<'_>) {
    let ([squares], [out, norm]) = io.f32();
    let sum: f64 = squares[..p.groups as usize].iter().map(|&v| f64::from(v)).sum();
    let root = f64::from(sum as f32).sqrt();
    norm[0] = root as f32;
    let factor = f64::from(p.max_norm) / (root + 1e-6);
    out[0] = if factor > 1.0 { 1.0 } else { factor as f32 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sgd_matches_its_formula() {
        let p = Sgd { len: 1, lr_scale: 1.0, momentum: 0.5, weight_decay: 0.0, nesterov: 1 };
        let (grad, lr) = ([2f32.to_bits()], [0.25f32.to_bits()]);
        let (mut w, mut v) = ([10f32.to_bits()], [4f32.to_bits()]);
        sgd(&p, Io { reads: vec![&grad, &lr, &lr], writes: vec![&mut w, &mut v] });
        // v = 0.5 * 4 + 2 = 4; the step is 0.25 * (2 + 0.5 * 4) = 1.
        assert_eq!([w[0], v[0]].map(f32::from_bits), [9.0, 4.0]);
    }

    #[test]
    fn the_first_step_of_adam_has_the_size_of_the_learning_rate() {
        let p = Adam { len: 1, lr_scale: 1.0, beta1: 0.9, beta2: 0.999, eps: 0.0, ..Default::default() };
        let (grad, schedule) = ([(-3f32).to_bits()], [0.1, 1.0 - p.beta1, 1.0 - p.beta2].map(f32::to_bits));
        let (mut w, mut m, mut s) = ([1f32.to_bits()], [0], [0]);
        adam(&p, Io { reads: vec![&grad, &schedule, &schedule], writes: vec![&mut w, &mut m, &mut s] });
        assert!((f32::from_bits(w[0]) - 1.1).abs() < 1e-6);
    }
}
