//! The loader: order, batches, augmentation and settings.

use std::sync::Arc;

use striate::data::{Augment, Batch, Dataset, Loader, LoaderConfig, Normalization};

use crate::{assert_fails, sample};

fn normalization() -> Normalization {
    Normalization { mean: vec![0.1, 0.2, 0.3], std: vec![0.5, 0.6, 0.7] }
}

fn augmented() -> LoaderConfig {
    let augment = Some(Augment { crop_padding: 2, flip: true, ..Default::default() });
    LoaderConfig { batch_size: 8, shuffle: true, augment, seed: 5, epoch: 2, ..Default::default() }
}

fn batches(count: usize, config: LoaderConfig) -> Vec<Batch> {
    Loader::new(Arc::new(sample(count)), &normalization(), config).unwrap().collect()
}

fn indices(batches: &[Batch]) -> Vec<u32> {
    batches.iter().flat_map(|batch| batch.indices.clone()).collect()
}

#[test]
fn threads_and_prefetch_do_not_affect_batches() {
    let reference = batches(100, LoaderConfig { threads: 1, prefetch: 1, ..augmented() });
    assert_eq!(reference.len(), 13);
    for threads in [1, 2, 7] {
        for prefetch in [1, 4] {
            let config = LoaderConfig { threads, prefetch, ..augmented() };
            assert_eq!(batches(100, config), reference, "{threads} threads, {prefetch} ahead");
            let mut loader = Loader::new(Arc::new(sample(100)), &normalization(), config).unwrap();
            for expected in &reference {
                let batch = loader.next().unwrap();
                assert_eq!(batch, *expected, "{threads} threads, {prefetch} ahead, recycled");
                loader.recycle(batch);
            }
        }
    }
    let other_seed = batches(100, LoaderConfig { seed: 6, ..augmented() });
    let other_epoch = batches(100, LoaderConfig { epoch: 3, ..augmented() });
    assert!(indices(&other_seed) != indices(&reference) && indices(&other_epoch) != indices(&reference));
}

#[test]
fn every_augmentation_is_independent_of_threads() {
    let all = "resized-crop,rotation,color-jitter,trivial-augment,crop=1,flip,erasing";
    // RGB, grayscale, non-square, and single pixels with what fits them; also in batches of one.
    for (shape, names) in [
        ([3, 4, 5], all),
        ([1, 9, 3], all),
        ([1, 1, 1], "resized-crop,rotation,color-jitter,trivial-augment,flip,erasing"),
        ([3, 1, 7], "resized-crop,rotation,color-jitter,trivial-augment,flip,erasing"),
    ] {
        let [channels, height, width] = shape;
        let bytes = (0..40 * channels * height * width).map(|i| (i * 7 % 251) as u8).collect();
        let data = Arc::new(Dataset::new("odd", shape, bytes, vec![0; 40], vec!["one".to_owned()]).unwrap());
        let normalization = Normalization { mean: vec![0.5; channels], std: vec![0.25; channels] };
        let augment = Some(Augment::named(names, [height, width]).unwrap());
        let batches = |batch_size, threads| {
            let config = LoaderConfig { batch_size, threads, augment, ..augmented() };
            Loader::new(data.clone(), &normalization, config).unwrap().collect::<Vec<Batch>>()
        };
        for batch_size in [1, 7] {
            let reference = batches(batch_size, 1);
            assert!(reference.iter().flat_map(|batch| &batch.images).all(|value| value.is_finite()));
            assert_eq!(batches(batch_size, 3), reference, "{shape:?}, batches of {batch_size}");
        }
    }
}

#[test]
fn an_epoch_has_every_image_once_with_its_label() {
    let dataset = sample(30);
    let batches = batches(30, LoaderConfig { augment: None, ..augmented() });
    assert_eq!(batches.iter().map(|batch| batch.size).collect::<Vec<_>>(), [8, 8, 8, 6]);
    let tables = normalization().tables();
    for batch in &batches {
        assert_eq!(
            (batch.labels.len(), batch.indices.len(), batch.images.len()),
            (batch.size, batch.size, batch.size * 60)
        );
        for (i, &index) in batch.indices.iter().enumerate() {
            assert_eq!(batch.labels[i], dataset.labels()[index as usize]);
            let bytes = dataset.image(index as usize);
            let expected = bytes.iter().enumerate().map(|(at, &byte)| tables[at / 20][usize::from(byte)]);
            assert!(batch.images[i * 60..][..60].iter().copied().eq(expected));
        }
    }
    let mut seen = indices(&batches);
    assert!(!seen.is_sorted());
    seen.sort();
    assert!(seen.into_iter().eq(0..30));
}

#[test]
fn a_balanced_epoch_has_equally_many_images_of_each_class() {
    // 2 images of class 0, 10 of class 1, none of class 2, and 19 of class 3.
    let labels: Vec<u32> =
        [(0, 2), (1, 10), (3, 19)].iter().flat_map(|&(class, count)| vec![class; count]).collect();
    let classes = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let images = (0..31).flat_map(|i| [i; 16]).collect();
    let dataset = Arc::new(Dataset::new("skewed", [1, 4, 4], images, labels, classes).unwrap());
    let normalization = Normalization { mean: vec![0.5], std: vec![0.25] };
    let batches = |epoch, threads| -> Vec<Batch> {
        let augment = Some(Augment { crop_padding: 3, flip: true, ..Default::default() });
        let config =
            LoaderConfig { batch_size: 8, balanced: true, augment, epoch, threads, ..Default::default() };
        Loader::new(dataset.clone(), &normalization, config).unwrap().collect()
    };
    let epoch = batches(0, 1);
    assert_eq!(epoch, batches(0, 3));
    let drawn = indices(&epoch);
    let of_class = |drawn: &[u32], class: u32| {
        let mut own: Vec<u32> =
            drawn.iter().copied().filter(|&index| dataset.labels()[index as usize] == class).collect();
        own.sort();
        own
    };
    assert_eq!([0, 1, 3].map(|class| of_class(&drawn, class).len()), [10, 10, 11]);
    assert_eq!(of_class(&drawn, 0), [[0; 5], [1; 5]].concat());
    assert!(of_class(&drawn, 1).into_iter().eq(2..12));
    // No image of a large class twice, and others in the next epoch.
    assert!(of_class(&drawn, 3).is_sorted_by(|a, b| a < b));
    assert_ne!(of_class(&drawn, 3), of_class(&indices(&batches(1, 1)), 3));
    assert!(!drawn.is_sorted_by_key(|&index| dataset.labels()[index as usize]), "the classes are not mixed");
    // The same image comes with different augmentation.
    let first: Vec<&[f32]> = epoch
        .iter()
        .flat_map(|batch| batch.indices.iter().zip(batch.images.chunks(16)))
        .filter(|(index, _)| **index == 0)
        .map(|(_, image)| image)
        .collect();
    assert!(first.iter().any(|image| *image != first[0]));
}

#[test]
fn the_last_batch_is_smaller_or_dropped() {
    let config = LoaderConfig { batch_size: 8, ..Default::default() };
    for (count, drop_last, sizes) in [
        (20, false, vec![8, 8, 4]),
        (20, true, vec![8, 8]),
        (16, false, vec![8, 8]),
        (16, true, vec![8, 8]),
        (8, true, vec![8]),
    ] {
        let config = LoaderConfig { drop_last, ..config };
        let batches = batches(count, config);
        assert_eq!(batches.iter().map(|batch| batch.size).collect::<Vec<_>>(), sizes);
        assert!(
            indices(&batches).into_iter().eq(0..sizes.iter().sum::<usize>() as u32),
            "images should be in order"
        );
        assert_eq!(config.batches(count), sizes.len());
    }
}

#[test]
fn an_epoch_can_start_at_any_batch() {
    let whole = batches(50, augmented());
    for start_batch in 0..=whole.len() {
        let config = LoaderConfig { start_batch, ..augmented() };
        let loader = Loader::new(Arc::new(sample(50)), &normalization(), config).unwrap();
        assert_eq!(loader.len(), whole.len() - start_batch);
        assert_eq!(loader.collect::<Vec<_>>(), whole[start_batch..]);
    }
}

#[test]
fn dropping_a_loader_ends_its_threads() {
    let dataset = Arc::new(sample(1000));
    let config = LoaderConfig { threads: 3, ..augmented() };
    let mut loader = Loader::new(dataset.clone(), &normalization(), config).unwrap();
    loader.next().unwrap();
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1);
}

#[test]
fn invalid_settings_are_rejected() {
    let good = augmented();
    let wide = Some(Augment { crop_padding: 4, flip: false, ..Default::default() });
    let cases = [
        (LoaderConfig { batch_size: 0, ..good }, "batch_size: must be at least 1, got 0"),
        (
            LoaderConfig { batch_size: 11, ..good },
            "batch_size: 11 is more than the 10 images of sample; use at most 10",
        ),
        (LoaderConfig { start_batch: 3, ..good }, "start_batch: 3 is beyond the 2 batches"),
        (LoaderConfig { threads: 0, ..good }, "threads: must be at least 1"),
        (LoaderConfig { prefetch: 0, ..good }, "prefetch: must be at least 1"),
        (
            LoaderConfig { augment: wide, ..good },
            "augment: a crop padding of 4 could shift an image of 4 x 5",
        ),
    ];
    let dataset = Arc::new(sample(10));
    for (config, problem) in cases {
        assert_fails(problem, Loader::new(dataset.clone(), &normalization(), config), &[problem]);
    }
    for (mean, std, problem) in [
        (vec![0.0], vec![1.0], "1 means and 1 standard deviations do not match"),
        (vec![0.0; 3], vec![1.0, 0.0, 1.0], "standard deviations positive"),
        (vec![0.0, f32::NAN, 0.0], vec![1.0; 3], "finite"),
        (vec![0.0; 3], vec![1.0, 1e-40, 1.0], "normalized values must be finite"),
    ] {
        let normalization = Normalization { mean, std };
        assert_fails(
            problem,
            Loader::new(dataset.clone(), &normalization, good),
            &["normalization", problem],
        );
    }
}

#[test]
fn inconsistent_data_sets_are_rejected() {
    let new =
        |bytes, labels: Vec<u32>| Dataset::new("odd", [1, 2, 2], vec![0; bytes], labels, vec!["one".into()]);
    assert_fails("none", new(0, vec![]), &["data set odd", "no images"]);
    assert_fails("bytes", new(7, vec![0, 0]), &["expected 2 images", "1 x 2 x 2", "found 7 bytes"]);
    assert_fails("label", new(8, vec![0, 1]), &["image 1 has label 1", "only 1 classes"]);
    let huge = Dataset::new("huge", [usize::MAX, 2, 2], vec![0; 4], vec![0], vec!["one".into()]);
    assert_fails("overflow", huge, &["data set huge", "found 4 bytes"]);
    assert_fails(
        "flat",
        Dataset::new("flat", [1, 0, 2], vec![], vec![0], vec!["one".into()]),
        &["1 x 0 x 2"],
    );
}
