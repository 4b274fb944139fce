//! Random small changes of the view, which an image has to withstand.

use super::Distortion;
use crate::rng::SplitMix64;

/// Bilinear resampling of an image that repeats beyond its borders: rotated, scaled and shifted.
pub(super) struct Warp {
    /// For each pixel of the result, the pixels it is interpolated from and their weights.
    taps: Vec<[(usize, f32); 4]>,
}

impl Warp {
    /// Draws a change of the view of an image of this height and width.
    pub fn random(rng: &mut SplitMix64, distortion: &Distortion, size: [usize; 2]) -> Self {
        let mut uniform = |range: f32| range * (2.0 * rng.unit() as f32 - 1.0);
        let angle = uniform(distortion.rotation.to_radians());
        let scale = uniform(distortion.zoom.ln()).exp();
        let side = size[0].min(size[1]) as f32;
        let shift = [uniform(distortion.shift * side), uniform(distortion.shift * side)];
        Self::new(angle, scale, shift, size)
    }

    fn new(angle: f32, scale: f32, shift: [f32; 2], [height, width]: [usize; 2]) -> Self {
        let (sin, cos) = (scale * angle.sin(), scale * angle.cos());
        let center = [height, width].map(|side| (side - 1) as f32 / 2.0);
        let taps = |index: usize| {
            let (y, x) = ((index / width) as f32 - center[0], (index % width) as f32 - center[1]);
            let y_from = cos * y - sin * x + center[0] + shift[0];
            let x_from = sin * y + cos * x + center[1] + shift[1];
            let [(top, down), (left, right)] = [y_from, x_from].map(|at| (at.floor(), at - at.floor()));
            let at = |row: f32, column: f32| {
                let wrap = |value: f32, side: usize| (value as isize).rem_euclid(side as isize) as usize;
                wrap(row, height) * width + wrap(column, width)
            };
            [
                (at(top, left), (1.0 - down) * (1.0 - right)),
                (at(top, left + 1.0), (1.0 - down) * right),
                (at(top + 1.0, left), down * (1.0 - right)),
                (at(top + 1.0, left + 1.0), down * right),
            ]
        };
        Self { taps: (0..height * width).map(taps).collect() }
    }

    /// The changed view of each plane.
    pub fn apply(&self, planes: &[f32]) -> Vec<f32> {
        let of_plane = |plane: &[f32]| -> Vec<f32> {
            self.taps
                .iter()
                .map(|taps| taps.iter().map(|(from, weight)| plane[*from] * weight).sum())
                .collect()
        };
        planes.chunks_exact(self.taps.len()).flat_map(of_plane).collect()
    }

    /// The gradient with respect to the planes, from that with respect to their changed views.
    pub fn adjoint(&self, upstream: &[f32]) -> Vec<f32> {
        let mut gradient = vec![0.0; upstream.len()];
        for (plane, upstream) in
            gradient.chunks_exact_mut(self.taps.len()).zip(upstream.chunks_exact(self.taps.len()))
        {
            for (taps, upstream) in self.taps.iter().zip(upstream) {
                taps.iter().for_each(|(to, weight)| plane[*to] += weight * upstream);
            }
        }
        gradient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<f32> {
        let mut rng = SplitMix64::new(seed);
        (0..len).map(|_| rng.normal() as f32).collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
    }

    #[test]
    fn the_adjoint_is_exact() {
        let distortion = Distortion { shift: 0.2, rotation: 30.0, zoom: 1.5 };
        for seed in 0..20 {
            let warp = Warp::random(&mut SplitMix64::new(seed), &distortion, [7, 10]);
            let (image, upstream) = (noise(140, seed + 100), noise(140, seed + 200));
            let (found, expected) =
                (dot(&image, &warp.adjoint(&upstream)), dot(&warp.apply(&image), &upstream));
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn shifts_wrap_around_and_quarter_turns_turn() {
        let image: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let shifted = Warp::new(0.0, 1.0, [1.0, -1.0], [3, 3]).apply(&image);
        assert_eq!(shifted, [5.0, 3.0, 4.0, 8.0, 6.0, 7.0, 2.0, 0.0, 1.0]);
        let turned = Warp::new(std::f32::consts::FRAC_PI_2, 1.0, [0.0; 2], [3, 3]).apply(&image);
        for (found, expected) in turned.iter().zip([2.0, 5.0, 8.0, 1.0, 4.0, 7.0, 0.0, 3.0, 6.0]) {
            assert!((found - expected).abs() < 1e-4, "{turned:?}");
        }
    }
}
