//! Mixup and CutMix.

use striate::data::{Batch, DrawKey, Mix};

/// Images of 2 x 4 x 6, of which image i has the value i everywhere.
fn batch(count: usize) -> Batch {
    Batch {
        images: (0..count).flat_map(|i| vec![i as f32; 48]).collect(),
        labels: (0..count as u32).collect(),
        size: count,
        ..Default::default()
    }
}

#[test]
fn mixup_interpolates_by_the_mix_weight() {
    let mut weights = Vec::new();
    for index in 0..20 {
        let mut mixed = batch(5);
        Mix { mixup: 0.5, cutmix: 0.0 }.apply(&mut mixed, [2, 4, 6], DrawKey { seed: 1, epoch: 2, index });
        assert_eq!(mixed.partners, [4, 3, 2, 1, 0]);
        for (i, image) in mixed.images.chunks(48).enumerate() {
            let want = mixed.mix_weight * i as f32 + (1.0 - mixed.mix_weight) * (4 - i) as f32;
            assert!(image.iter().all(|v| (v - want).abs() < 1e-5), "image {i} of batch {index}");
        }
        weights.push(mixed.mix_weight);
    }
    assert!(weights.iter().any(|w| *w < 0.3) && weights.iter().any(|w| *w > 0.7), "{weights:?}");
}

#[test]
fn cutmix_weights_labels_by_area() {
    let mut cut = 0;
    for index in 0..50 {
        let mut mixed = batch(4);
        Mix { mixup: 0.0, cutmix: 1.0 }.apply(&mut mixed, [2, 4, 6], DrawKey { seed: 3, epoch: 0, index });
        for (i, image) in mixed.images.chunks(48).enumerate() {
            let own = image.iter().filter(|v| **v == i as f32).count();
            let other = image.iter().filter(|v| **v == (3 - i) as f32).count();
            assert_eq!(own + other, 48, "image {i} of batch {index} has pixels of a third image");
            assert!((own as f32 / 48.0 - mixed.mix_weight).abs() < 1e-6, "image {i} of batch {index}");
            // Every channel has the same rectangle.
            assert_eq!(image[..24], image[24..]);
        }
        cut += (mixed.mix_weight < 1.0) as usize;
    }
    assert!(cut > 30, "only {cut} of 50 batches have a rectangle");
}

#[test]
fn mixing_depends_on_seed_epoch_and_batch() {
    let mixed = |[seed, epoch, index]: [u64; 3]| {
        let key = DrawKey { seed, epoch, index };
        let mut batch = batch(6);
        Mix { mixup: 0.3, cutmix: 0.3 }.apply(&mut batch, [2, 4, 6], key);
        batch
    };
    assert_eq!(mixed([1, 2, 3]), mixed([1, 2, 3]));
    for other in [[2, 2, 3], [1, 3, 3], [1, 2, 4]] {
        assert_ne!(mixed([1, 2, 3]), mixed(other));
    }
}
