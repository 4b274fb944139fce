//! Twins of `loss.wgsl`: logits `[rows, classes]` against labels `[rows]`.

use super::Io;
use super::softmax::log_sum_exp;
use crate::kernel::Loss;

/// out\[r\] = -sum of target * log_softmax(logits), divided by the total if `normalized`.
pub fn cross_entropy(p: &Loss, io: Io<'_>) {
    let ([logits, labels, weights, total], [out]) = io.words();
    let targets = Targets { p, weights: bytemuck::cast_slice(weights) };
    let total = targets.total(total);
    for (row, label, out) in rows(p, logits, labels, out, 1) {
        out[0] = match targets.kind(label) {
            Kind::Ignored => 0.0,
            Kind::Invalid => f32::NAN,
            Kind::Class => {
                let (most, log_sum) = log_sum_exp(row.iter().map(|&v| f64::from(v)));
                let distances = row.iter().map(|&v| log_sum + (most - f64::from(v)));
                let terms = distances.enumerate().map(|(c, distance)| (targets.of(c, label), distance));
                // A class with weight 0 adds nothing, even if its log-probability is infinite.
                let loss: f64 = terms.filter(|&(t, _)| t != 0.0).map(|(t, distance)| t * distance).sum();
                (loss / total) as f32
            }
        };
    }
}

/// dx = (softmax(logits) * sum of target - target) * scale * upstream, divided by the total if `normalized`.
pub fn cross_entropy_grad(p: &Loss, io: Io<'_>) {
    let ([logits, labels, weights, total, upstream], [dx]) = io.words();
    let targets = Targets { p, weights: bytemuck::cast_slice(weights) };
    let (total, upstream): (f64, &[f32]) = (targets.total(total), bytemuck::cast_slice(upstream));
    let classes = p.classes as usize;
    for (r, (row, label, dx)) in rows(p, logits, labels, dx, classes).enumerate() {
        match targets.kind(label) {
            Kind::Ignored => dx.fill(0.0),
            Kind::Invalid => dx.fill(f32::NAN),
            Kind::Class => {
                let upstream = upstream[if p.by_row == 1 { r } else { 0 }];
                let scale = f64::from(p.scale) * f64::from(upstream) / total;
                let sum: f64 = (0..classes).map(|c| targets.of(c, label)).sum();
                let (most, log_sum) = log_sum_exp(row.iter().map(|&v| f64::from(v)));
                for (c, (dx, &v)) in dx.iter_mut().zip(row).enumerate() {
                    let probability = (f64::from(v) - most - log_sum).exp();
                    *dx = ((probability * sum - targets.of(c, label)) * scale) as f32;
                }
            }
        }
    }
}

/// out\[0\] = the total weight of the labels.
pub fn label_total(p: &Loss, io: Io<'_>) {
    let ([labels, weights], [out]) = io.words();
    let targets = Targets { p, weights: bytemuck::cast_slice(weights) };
    let weigh = |label: &u32| match targets.kind(*label as usize) {
        Kind::Ignored => 0.0,
        Kind::Invalid => f64::NAN,
        Kind::Class => targets.weight(*label as usize),
    };
    out[0] = (labels[..p.rows as usize].iter().map(weigh).sum::<f64>() as f32).to_bits();
}

/// out\[r\] = 1 if fewer than `top` classes rank before the label's, else 0.
pub fn top_k(p: &Loss, io: Io<'_>) {
    let ([logits, labels], [out]) = io.words();
    let targets = Targets { p, weights: &[] };
    for (row, label, out) in rows(p, logits, labels, out, 1) {
        let own = if let Kind::Class = targets.kind(label) { row[label] } else { f32::NAN };
        let ranks_before =
            |(c, v): (usize, f32)| c != label && (v.is_nan() || v > own || (v == own && c < label));
        let before = row.iter().copied().enumerate().filter(|&other| ranks_before(other)).count();
        out[0] = if before < p.top as usize && !own.is_nan() { 1.0 } else { 0.0 };
    }
}

/// The targets of rows, by label.
struct Targets<'a> {
    p: &'a Loss,
    weights: &'a [f32],
}

enum Kind {
    Class,
    Ignored,
    /// Neither a class nor ignored: the result is NaN.
    Invalid,
}

impl Targets<'_> {
    fn kind(&self, label: usize) -> Kind {
        match label {
            _ if self.p.ignores == 1 && label == self.p.ignored as usize => Kind::Ignored,
            _ if label >= self.p.classes as usize => Kind::Invalid,
            _ => Kind::Class,
        }
    }

    fn weight(&self, c: usize) -> f64 {
        if self.p.weighted == 1 { f64::from(self.weights[c]) } else { 1.0 }
    }

    /// The target of class `c` in a row with this label.
    fn of(&self, c: usize, label: usize) -> f64 {
        let smoothing = f64::from(self.p.label_smoothing);
        let hit = if c == label { 1.0 - smoothing } else { 0.0 };
        (hit + smoothing / f64::from(self.p.classes)) * self.weight(c)
    }

    /// The divisor of the results.
    fn total(&self, total: &[u32]) -> f64 {
        if self.p.normalized == 1 { f64::from(f32::from_bits(total[0])) } else { 1.0 }
    }
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

    fn run(twin: fn(&Loss, Io<'_>), p: &Loss, reads: Vec<&[u32]>) -> Vec<f32> {
        let mut out = vec![0; p.rows as usize];
        twin(p, Io { reads, writes: vec![&mut out] });
        bytemuck::cast_vec(out)
    }

    #[test]
    fn the_loss_of_uniform_logits_is_the_log_of_the_number_of_classes() {
        for label_smoothing in [0.0, 0.1] {
            let p = Loss { rows: 1, classes: 4, label_smoothing, ..Default::default() };
            let logits = [500f32.to_bits(); 4];
            let loss = run(cross_entropy, &p, vec![&logits, &[2], &logits, &logits])[0];
            assert!((loss - 4f32.ln()).abs() < 1e-6, "{loss}");
        }
    }

    #[test]
    fn invalid_labels_give_nan_unless_ignored() {
        let logits = [0.0f32; 2];
        for (ignores, ignored, want) in
            [(0, 0, f32::NAN), (0, u32::MAX, f32::NAN), (1, u32::MAX, 0.0), (1, 7, f32::NAN)]
        {
            let p = Loss { rows: 1, classes: 2, scale: 1.0, ignores, ignored, ..Default::default() };
            let logits = bytemuck::cast_slice(&logits);
            let one = [1f32.to_bits()];
            let is_wanted = |x: f32| x == want || x.is_nan() && want.is_nan();
            for (name, twin, reads) in [
                (
                    "cross_entropy",
                    cross_entropy as fn(&Loss, Io<'_>),
                    vec![logits, &[u32::MAX], logits, &one],
                ),
                ("label_total", label_total, vec![&[u32::MAX], logits]),
            ] {
                let found = run(twin, &p, reads)[0];
                assert!(is_wanted(found), "{name}, {ignores} {ignored}: {found}");
            }
            let mut grad = [0; 2];
            let reads = vec![logits, &[u32::MAX], logits, &one, &one];
            cross_entropy_grad(&p, Io { reads, writes: vec![&mut grad] });
            assert!(grad.iter().all(|g| is_wanted(f32::from_bits(*g))), "{ignores} {ignored}: {grad:x?}");
        }
    }

    #[test]
    fn top_k_breaks_ties_by_class_and_ranks_nan_first() {
        let p = Loss { rows: 4, classes: 3, top: 1, ..Default::default() };
        let logits = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, f32::NAN, 1.0, 0.0, f32::NAN, 1.0, 0.0];
        let reads: Vec<&[u32]> = vec![bytemuck::cast_slice(&logits), &[0, 1, 1, 0]];
        assert_eq!(run(top_k, &p, reads.clone()), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(run(top_k, &Loss { top: 2, ..p }, reads.clone()), [1.0, 1.0, 1.0, 0.0]);
        assert_eq!(run(top_k, &Loss { top: 2, ignores: 1, ..p }, reads), [0.0, 1.0, 1.0, 0.0]);
    }
}
