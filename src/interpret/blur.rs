//! Gaussian blur.

/// Blurs every plane of `planes`, `[..., height, width]`, with a Gaussian of `sigma` pixels. At the borders the weights that
/// fall inside are renormalized. A sigma of 0 changes nothing.
pub(super) fn blur(planes: &mut [f32], [height, width]: [usize; 2], sigma: f32) {
    if sigma <= 0.0 {
        return;
    }
    // Beyond three standard deviations the weights are negligible.
    let radius = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f32> = (0..=radius).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    let down = totals(height, &weights);
    let along = totals(width, &weights);
    for plane in planes.chunks_exact_mut(height * width) {
        plane.chunks_exact_mut(width).for_each(|row| smooth(row, 1, &weights, &along));
        smooth(plane, width, &weights, &down);
    }
}

/// For each of `len` positions, the sum of the weights that fall inside.
fn totals(len: usize, weights: &[f32]) -> Vec<f32> {
    let radius = weights.len() - 1;
    let total = |i: usize| {
        (i.saturating_sub(radius)..(i + radius + 1).min(len)).map(|j| weights[i.abs_diff(j)]).sum()
    };
    (0..len).map(total).collect()
}

/// Smooths along the axis of stride `step`, one weight at a time so that the inner loops run over contiguous memory.
fn smooth(values: &mut [f32], step: usize, weights: &[f32], totals: &[f32]) {
    let before = values.to_vec();
    values.iter_mut().for_each(|value| *value *= weights[0]);
    for (distance, weight) in weights.iter().enumerate().skip(1).take_while(|(d, _)| d * step < before.len())
    {
        let shift = distance * step;
        let add = |(sum, value): (&mut f32, &f32)| *sum += weight * value;
        values[shift..].iter_mut().zip(&before).for_each(add);
        values.iter_mut().zip(&before[shift..]).for_each(add);
    }
    for (line, total) in values.chunks_exact_mut(step).zip(totals) {
        line.iter_mut().for_each(|value| *value /= total);
    }
}

#[cfg(test)]
mod tests {
    use super::blur;

    #[test]
    fn constants_stay_and_a_point_spreads_symmetrically() {
        let mut even = [3.0; 20];
        blur(&mut even, [4, 5], 1.5);
        assert!(even.iter().all(|n| (n - 3.0).abs() < 1e-5));
        let mut point = [0.0; 49];
        point[24] = 1.0;
        blur(&mut point, [7, 7], 0.8);
        assert!((point[23] - point[25]).abs() < 1e-6 && (point[17] - point[31]).abs() < 1e-6);
        assert!(point[24] > point[23] && point[23] > point[22]);
    }
}
