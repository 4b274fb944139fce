//! Comparison of results with expected ones.

use crate::{DType, Result, Tensor, TensorType};

/// Tolerance of an f32 result against one summed in f64, relative to the largest magnitude of the expected tensor.
///
/// Each rounding adds up to 6e-8 of the running sum. Roundings behave like random errors, so a sum of n terms is off by about
/// 6e-8 * sqrt(n) of its typical size. The constant covers a few roundings and the division, roots and exponentials of GPUs,
/// which are accurate to several ulp. Both have a safety factor of about five; a wrong index or a missing term exceeds that.
pub fn tolerance(terms: usize) -> f64 {
    3e-6 + 3e-7 * (terms as f64).sqrt()
}

/// Describes how a tensor differs from the expected one; `None` if it does not. Floats may differ by `tolerance` times the larger
/// of `floor` and the expected tensor's largest magnitude; integers, infinities and NaN positions must match.
pub fn difference(got: &Tensor, want: &Tensor, tolerance: f64, floor: f64) -> Option<String> {
    if got.ty() != want.ty() {
        return Some(format!("expected {:?}, found {:?}", want.ty(), got.ty()));
    }
    let index = |at: usize| {
        let mut indices = vec![0; want.shape().len()];
        let mut rest = at;
        for (i, size) in indices.iter_mut().zip(want.shape()).rev() {
            (*i, rest) = (rest % size, rest / size);
        }
        indices
    };
    if want.ty().dtype == DType::U32 {
        let (got, expected) = (got.as_u32(), want.as_u32());
        let wrong: Vec<usize> = (0..want.len()).filter(|i| got[*i] != expected[*i]).collect();
        let at = *wrong.first()?;
        return Some(format!(
            "{} of {} differ; first at {:?}: {}, expected {}",
            wrong.len(),
            want.len(),
            index(at),
            got[at],
            expected[at]
        ));
    }
    let (got, expected) = (got.as_f32(), want.as_f32());
    let finite = expected.iter().filter(|w| w.is_finite());
    let scale = finite.fold(floor, |scale, w| scale.max(f64::from(w.abs())));
    let error = |g: f32, w: f32| match w.is_finite() {
        _ if g == w || (g.is_nan() && w.is_nan()) => 0.0,
        true if g.is_finite() => (f64::from(g) - f64::from(w)).abs(),
        _ => f64::INFINITY,
    };
    let errors = || got.iter().zip(expected).map(|(g, w)| error(*g, *w));
    let (at, largest) = errors().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
    (largest > tolerance * scale).then(|| {
        format!(
            "{} of {} are off; most at {:?}: {}, expected {}: an error of {largest:.2e}, {:.2e} of {scale:.2e}, where {tolerance:.2e} is allowed",
            errors().filter(|e| *e > tolerance * scale).count(),
            want.len(),
            index(at),
            got[at],
            expected[at],
            largest / scale,
        )
    })
}

/// What storages contain before anything writes them: a NaN, so that a kernel that writes nothing is noticed. Where the expected
/// words still have it, a kernel may write anything.
pub(super) const UNWRITTEN: u32 = 0x7fda_da55;

/// Like [`difference`], for the words of a storage, which has no element type. Words that would all be subnormal as floats, and not
/// all zero, are integers.
pub(super) fn words_difference(
    mut got: Vec<u32>,
    want: Vec<u32>,
    tolerance: f64,
    floor: f64,
) -> Result<Option<String>> {
    got.iter_mut().zip(&want).filter(|(_, want)| **want == UNWRITTEN).for_each(|(got, want)| *got = *want);
    let small = |word: &u32| *word < 1 << 23 || *word == UNWRITTEN;
    let integers = want.iter().all(small) && want.iter().any(|word| *word != 0);
    let ty = if integers { TensorType::u32([want.len()]) } else { TensorType::f32([want.len()]) };
    Ok(difference(&Tensor::new(ty.clone(), got)?, &Tensor::new(ty, want)?, tolerance, floor))
}

/// Shapes of tensors, for messages.
pub fn shapes(tensors: &[Tensor]) -> String {
    let shapes: Vec<String> = tensors.iter().map(|t| format!("{:?}", t.shape())).collect();
    shapes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_are_told_apart() {
        let differ =
            |got: &[u32], want: &[u32]| words_difference(got.into(), want.into(), 1e-6, 1.0).unwrap();
        let floats = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(differ(&[0, 5, 7], &[0, 5, 7]), None);
        assert!(differ(&[0, 5, 8], &[0, 5, 7]).unwrap().contains("at [2]: 8, expected 7"));
        assert_eq!(differ(&floats(&[1.0, 1e-9]), &floats(&[1.0, 0.0])), None);
        assert!(differ(&floats(&[1.1]), &floats(&[1.0])).is_some());
        assert!(differ(&floats(&[f32::NAN]), &floats(&[0.0])).is_some());
        assert!(differ(&floats(&[1.0]), &floats(&[f32::INFINITY])).is_some());
        assert_eq!(differ(&floats(&[1.0, 7.0]), &[1f32.to_bits(), UNWRITTEN]), None);
        assert!(differ(&[UNWRITTEN], &floats(&[1.0])).is_some());
    }
}
