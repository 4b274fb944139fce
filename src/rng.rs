//! Reproducible random numbers.
//!
//! A generator is keyed by a seed and by the purpose of its numbers, such as an epoch and an image. The numbers therefore
//! do not depend on which thread draws them or in what order.
//!
//! The generator is SplitMix64 of Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
//! Generators*, OOPSLA 2014 (doi 10.1145/2660193.2660195), with the constants of Vigna's version,
//! <https://prng.di.unimi.it/splitmix64.c>.

/// The odd number nearest to 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

// The first key of a generator is its purpose, so that generators for different purposes are independent.
pub(crate) const SHUFFLE: u64 = 1;
pub(crate) const AUGMENT: u64 = 2;
pub(crate) const HOLD_OUT: u64 = 3;
pub(crate) const MIX: u64 = 4;
pub(crate) const TSNE: u64 = 5;
pub(crate) const VALIDATION: u64 = 6;

/// A SplitMix64 generator.
///
/// ```
/// use striate::rng::SplitMix64;
/// let draw = || SplitMix64::keyed(7, &[1, 2]).next_u64();
/// assert_eq!(draw(), draw());
/// assert_ne!(draw(), SplitMix64::keyed(7, &[2, 1]).next_u64());
/// ```
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator with `seed` as its initial state, as in the reference implementation.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator derived from a seed and keys, whose order matters.
    pub fn keyed(seed: u64, keys: &[u64]) -> Self {
        let state = keys
            .iter()
            .fold(mix(seed.wrapping_add(GOLDEN)), |state, key| mix((state ^ key).wrapping_add(GOLDEN)));
        Self { state }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A uniform number in [0, 1), a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number, by the Box-Muller transform (1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A sample of the Beta(`alpha`, `alpha`) distribution, by Jöhnk's method (1964).
    ///
    /// ```
    /// use striate::rng::SplitMix64;
    /// let mut rng = SplitMix64::new(1);
    /// let mean = (0..1000).map(|_| rng.beta(0.4)).sum::<f64>() / 1000.0;
    /// assert!((mean - 0.5).abs() < 0.05);
    /// ```
    ///
    /// # Panics
    ///
    /// If `alpha` is not in (0, 4]; above that, the method rejects too many samples.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        assert!(alpha > 0.0 && alpha <= 4.0, "{alpha} is not in (0, 4]");
        loop {
            let [x, y] = [0; 2].map(|_| self.unit().powf(1.0 / alpha));
            // Both may underflow to 0 for a small alpha.
            if x + y <= 1.0 && x + y > 0.0 {
                return x / (x + y);
            }
        }
    }

    /// A uniform integer below `bound`.
    ///
    /// Lemire's method: *Fast Random Integer Generation in an Interval*, arXiv 1805.10941.
    ///
    /// # Panics
    ///
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "the bound must be positive");
        // Without this rejection, `2^32 mod bound` of the results would be slightly more likely.
        let surplus = bound.wrapping_neg() % bound;
        loop {
            let product = (self.next_u64() >> 32) * u64::from(bound);
            if product as u32 >= surplus {
                return (product >> 32) as u32;
            }
        }
    }

    /// A uniformly random permutation of the integers below `count`, by the Fisher-Yates shuffle.
    ///
    /// ```
    /// use striate::rng::SplitMix64;
    /// let mut order = SplitMix64::new(1).permutation(100);
    /// assert_ne!(order, SplitMix64::new(2).permutation(100));
    /// order.sort();
    /// assert!(order.into_iter().eq(0..100));
    /// ```
    pub fn permutation(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last as usize, self.below(last + 1) as usize);
        }
        order
    }
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
