//! Twins of `loss.wgsl`: logits `[rows, classes]` against labels `[rows]`.

use super::softmax::log_sum_exp;
use crate::kernel::{Io, Loss};

/// out\[r\] = -sum of target * log_softmax(logits).
pub fn cross_entropy(p: &Loss, io: Io<'_>) {
    let ([logits, labels], [out]) = io.words();
    for (row, label, out) in rows(p, logits, labels, out, 1) {
        let (most, log_sum) = log_sum_exp(row.iter().map(|&v| f64::from(v)));
        let terms =
            row.iter().enumerate().map(|(c, &v)| (target(p, c, label), log_sum + (most - f64::from(v))));
        // A class of no weight does not count, even at an infinite distance.
        out[0] = terms.filter(|&(t, _)| t != 0.0).map(|(t, distance)| t * distance).sum::<f64>() as f32;
    }
}

/// dx = (softmax(logits) - target) * scale * upstream\[0\].
pub fn cross_entropy_grad(p: &Loss, io: Io<'_>) {
    let ([logits, labels, upstream], [dx]) = io.words();
    let scale = f64::from(p.scale) * f64::from(f32::from_bits(upstream[0]));
    for (row, label, dx) in rows(p, logits, labels, dx, p.classes as usize) {
        let (most, log_sum) = log_sum_exp(row.iter().map(|&v| f64::from(v)));
        for (c, (dx, &v)) in dx.iter_mut().zip(row).enumerate() {
            *dx = (((f64::from(v) - most - log_sum).exp() - target(p, c, label)) * scale) as f32;
        }
    }
}

/// out\[r\] = 1 if fewer than `top` classes rank before the label's, else 0.
pub fn top_k(p: &Loss, io: Io<'_>) {
    let ([logits, labels], [out]) = io.words();
    for (row, label, out) in rows(p, logits, labels, out, 1) {
        let own = row.get(label).copied().unwrap_or(f32::NAN);
        let ranks_before =
            |(c, v): (usize, f32)| c != label && (v.is_nan() || v > own || (v == own && c < label));
        let before = row.iter().copied().enumerate().filter(|&other| ranks_before(other)).count();
        out[0] = if before < p.top as usize && !own.is_nan() { 1.0 } else { 0.0 };
    }
}

fn target(p: &Loss, c: usize, label: usize) -> f64 {
    let smoothing = f64::from(p.label_smoothing);
    let hit = if c == label { 1.0 - smoothing } else { 0.0 };
    hit + smoothing / f64::from(p.classes)
}

/// Each row's logits, its label and its `width` results.
fn rows<'a>(
    p: &Loss,
    logits: &'a [u32],
    labels: &'a [u32],
    out: &'a mut [u32],
    width: usize,
) -> impl Iterator<Item = (&'a [f32], usize, &'a mut [f32])> {
    let rows = p.rows as usize;
    let logits = bytemuck::cast_slice(logits).chunks_exact(p.classes as usize);
    let out = bytemuck::cast_slice_mut(&mut out[..rows * width]).chunks_exact_mut(width);
    let labels = labels[..rows].iter().map(|&label| label as usize);
    logits.zip(labels).zip(out).map(|((row, label), out)| (row, label, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(twin: fn(&Loss, Io<'_>), p: &Loss, logits: &[f32], labels: &[u32]) -> Vec<f32> {
        let mut out = vec![0; p.rows as usize];
        twin(p, Io { reads: vec![bytemuck::cast_slice(logits), labels], writes: vec![&mut out] });
        bytemuck::cast_vec(out)
    }

    #[test]
    fn uniform_logits_cost_the_log_of_the_classes_at_any_smoothing() {
        for label_smoothing in [0.0, 0.1] {
            let p = Loss { rows: 1, classes: 4, label_smoothing, ..Default::default() };
            let loss = run(cross_entropy, &p, &[500.0; 4], &[2])[0];
            assert!((loss - 4f32.ln()).abs() < 1e-6, "{loss}");
        }
    }

    #[test]
    fn top_k_breaks_ties_by_class_and_fears_nan() {
        let p = Loss { rows: 4, classes: 3, top: 1, ..Default::default() };
        let logits = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, f32::NAN, 1.0, 0.0, f32::NAN, 1.0, 0.0];
        assert_eq!(run(top_k, &p, &logits, &[0, 1, 1, 0]), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(run(top_k, &Loss { top: 2, ..p }, &logits, &[0, 1, 1, 0]), [1.0, 1.0, 1.0, 0.0]);
    }
}
