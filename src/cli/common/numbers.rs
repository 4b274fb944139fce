//! Statistics of measurements.

/// The smallest and largest value.
pub fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// The range of an axis for these values: their bounds, unless a few values far from the rest, beyond Tukey's outer fences,
/// would more than double it. Then it is the bounds of the rest.
pub fn axis_bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let all = bounds(values.iter().copied());
    if values.is_empty() {
        return all;
    }
    let [low, high] = [1, 3].map(|quarters| values[(values.len() - 1) * quarters / 4]);
    let far = 3.0 * (high - low);
    let near = bounds(values.into_iter().filter(|value| (low - far..=high + far).contains(value)));
    if near.1 > near.0 && all.1 - all.0 > 2.0 * (near.1 - near.0) { near } else { all }
}

/// The middle value, or the mean of the middle two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

#[cfg(test)]
mod tests {
    use super::{axis_bounds, median};

    #[test]
    fn an_early_outlier_does_not_flatten_an_axis() {
        let curve = (0..40).map(|n| 1.0 - f64::from(n) / 80.0);
        assert_eq!(axis_bounds(curve.clone().chain([50.0])), (0.5125, 1.0));
        assert_eq!(axis_bounds(curve.clone().chain([1.4])), (0.5125, 1.4), "it does not flatten much");
        assert_eq!(axis_bounds([2.0, 2.0, 2.0, 9.0].into_iter()), (2.0, 9.0), "the rest has no range");
        assert_eq!(axis_bounds([3.0].into_iter()), (3.0, 3.0));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 9.0, 2.0]), 3.0);
    }
}
