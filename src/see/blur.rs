//! Pictures made smooth.

/// Every plane of `planes`, `[..., height, width]`, smoothed by a Gaussian of `sigma` pixels; at the borders the weights of what is
/// there count as all. A sigma of 0 changes nothing.
pub(super) fn blur(planes: &mut [f32], [height, width]: [usize; 2], sigma: f32) {
    if sigma <= 0.0 {
        return;
    }
    // Beyond three deviations there is nothing to see.
    let reach = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    for plane in planes.chunks_exact_mut(height * width) {
        for row in 0..height {
            smooth(plane, row * width, 1, width, &weights);
        }
        for column in 0..width {
            smooth(plane, column, width, height, &weights);
        }
    }
}

/// Smooths `len` numbers from `start` on, `step` apart.
fn smooth(plane: &mut [f32], start: usize, step: usize, len: usize, weights: &[f32]) {
    let line: Vec<f32> = (0..len).map(|i| plane[start + i * step]).collect();
    for i in 0..len {
        let near = i.saturating_sub(weights.len() - 1)..(i + weights.len()).min(len);
        let (sum, total) = near.fold((0.0, 0.0), |(sum, total), j| {
            let weight = weights[i.abs_diff(j)];
            (sum + weight * line[j], total + weight)
        });
        plane[start + i * step] = sum / total;
    }
}

#[cfg(test)]
mod tests {
    use super::blur;

    #[test]
    fn what_is_even_stays_and_a_point_spreads_evenly() {
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
