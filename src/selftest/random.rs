//! Tensors of given and of random elements.

use crate::Tensor;
use crate::rng::SplitMix64;

/// A tensor of these elements. Panics unless there is one for each position.
pub fn floats(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Tensor {
    Tensor::f32(shape, values).expect("there is a value for each position")
}

/// Like [`floats`], of integers.
pub fn integers(shape: impl Into<Vec<usize>>, values: Vec<u32>) -> Tensor {
    Tensor::u32(shape, values).expect("there is a value for each position")
}

/// A seed derived from a name.
pub fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// Generates random tensors.
pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// Standard normal values.
    pub fn normal(&mut self, shape: &[usize]) -> Tensor {
        self.map(shape, |rng| rng.normal() as f32)
    }

    /// Uniform values from `low` to `high`.
    pub fn uniform(&mut self, shape: &[usize], low: f32, high: f32) -> Tensor {
        self.map(shape, |rng| low + (high - low) * rng.unit() as f32)
    }

    /// Distinct values, at least `gap` apart and at least half of that from 0.
    pub fn spaced(&mut self, shape: &[usize], gap: f32) -> Tensor {
        let len: usize = shape.iter().product();
        let mut values: Vec<f32> = (0..len).map(|i| (i as f32 - (len / 2) as f32 + 0.5) * gap).collect();
        for last in (1..len).rev() {
            values.swap(last, self.below(last + 1));
        }
        floats(shape, values)
    }

    /// -1 or 1.
    pub fn signs(&mut self, shape: &[usize]) -> Tensor {
        self.map(shape, |rng| if rng.below(2) == 0 { -1.0 } else { 1.0 })
    }

    /// Integers below `bound`.
    pub fn labels(&mut self, rows: usize, bound: usize) -> Tensor {
        integers([rows], (0..rows).map(|_| self.0.below(bound as u32)).collect())
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u32) as usize
    }

    fn map(&mut self, shape: &[usize], mut draw: impl FnMut(&mut SplitMix64) -> f32) -> Tensor {
        let len = shape.iter().product();
        floats(shape, (0..len).map(|_| draw(&mut self.0)).collect())
    }
}
