//! Random crops and flips, and the random numbers behind them.

use std::collections::{HashMap, HashSet};

use striate::data::{Augment, DrawKey, Normalization, Placement};
use striate::rng::SplitMix64;

/// A table that leaves every byte as it is.
fn plain() -> [f32; 256] {
    std::array::from_fn(|byte| byte as f32)
}

fn placed(placement: Placement, image: &[u8], shape: [usize; 3]) -> Vec<f32> {
    let mut output = vec![f32::NAN; image.len()];
    placement.write(image, shape, &vec![plain(); shape[0]], &mut output);
    output
}

#[test]
fn a_flip_mirrors_exactly() {
    let image = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let mirrored = placed(Placement { flip: true, ..Placement::IDENTITY }, &image, [2, 2, 3]);
    assert_eq!(mirrored, [3., 2., 1., 6., 5., 4., 9., 8., 7., 12., 11., 10.]);
}

#[test]
fn a_crop_shifts_the_image_and_pads_with_zeros() {
    let image = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    let crop = |down, right, flip| placed(Placement { down, right, flip }, &image, [1, 3, 3]);
    assert_eq!(crop(1, 1, false), [0., 0., 0., 0., 1., 2., 0., 4., 5.]);
    assert_eq!(crop(-1, 2, false), [0., 0., 4., 0., 0., 7., 0., 0., 0.]);
    assert_eq!(crop(0, -1, false), [2., 3., 0., 5., 6., 0., 8., 9., 0.]);
    assert_eq!(crop(1, 1, true), [0., 0., 0., 2., 1., 0., 5., 4., 0.]);
    assert_eq!(crop(3, 0, false), [0.; 9]);
    assert_eq!(crop(0, -7, false), [0.; 9]);
    assert_eq!(crop(0, 0, false), image.map(f32::from));
}

#[test]
fn normalized_pixels_follow_the_formula() {
    let normalization = Normalization { mean: vec![0.5, 0.25], std: vec![0.25, 2.0] };
    let tables = normalization.tables();
    assert_eq!((tables[0][0], tables[0][255]), (-2.0, 2.0));
    assert_eq!((tables[1][0], tables[1][255]), (-0.125, 0.375));
}

#[test]
fn placements_are_uniform() {
    let key = |index| DrawKey { seed: 3, epoch: 4, index };
    let augment = Augment { crop_padding: 1, flip: true };
    let mut counts = HashMap::new();
    for index in 0..18_000 {
        let Placement { down, right, flip } = augment.place(key(index));
        *counts.entry((down, right, flip)).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 18);
    // 1,000 expected of each, with a deviation of 31.
    assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    assert_eq!(augment.place(key(5)), augment.place(key(5)));
    let none = Augment::default();
    assert!((0..100).all(|index| none.place(key(index)) == Placement::IDENTITY));
}

#[test]
fn the_generator_is_splitmix64() {
    // The first outputs of the reference, https://prng.di.unimi.it/splitmix64.c, from 1234567.
    let mut rng = SplitMix64::new(1234567);
    let reference = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
    assert_eq!([0; 4].map(|_| rng.next_u64()), reference);
    assert!((0..1000).all(|_| rng.below(1) == 0));
    let bound = 3 << 30;
    let upper = (0..4000).filter(|_| rng.below(bound) >= bound / 3).count();
    assert!((2500..2830).contains(&upper), "two thirds of 4,000 are 2,667, found {upper}");
}

#[test]
fn permutations_are_uniform() {
    let mut counts = HashMap::new();
    for epoch in 0..24_000 {
        *counts.entry(SplitMix64::keyed(9, &[epoch]).permutation(4)).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    let orders: HashSet<_> = (0..100).map(|seed| SplitMix64::new(seed).permutation(1000)).collect();
    assert_eq!(orders.len(), 100);
    assert!(SplitMix64::new(0).permutation(0).is_empty());
}
