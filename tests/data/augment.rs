//! Random augmentation: its names and ranges, and the random numbers behind it.

use std::collections::{HashMap, HashSet};

use striate::data::{
    Augment, ColorJitter, DrawKey, Drawn, Erasing, ImageOp, Normalization, Placement, Region, ResizedCrop,
};
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
    let augment = Augment { crop_padding: 1, flip: true, ..Default::default() };
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

fn drawn(augment: Augment, size: [usize; 2]) -> impl Iterator<Item = Drawn> {
    let [height, width] = size;
    let key = |index| DrawKey { seed: 2, epoch: 1, index };
    (0..4000).map(move |index| augment.draw(key(index), [3, height, width], size))
}

/// Asserts that numbers lie within a range, and reach close to its ends.
fn assert_spread(what: &str, numbers: impl Iterator<Item = f64>, [low, high]: [f64; 2]) {
    let numbers: Vec<f64> = numbers.collect();
    let (least, most) = (
        numbers.iter().copied().fold(f64::INFINITY, f64::min),
        numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    let slack = 0.03 * (high - low);
    assert!(
        least >= low && least < low + slack && most <= high && most > high - slack,
        "{what}: {least}..{most}"
    );
}

#[test]
fn resized_crops_cover_their_ranges() {
    let augment = Augment::named("resized-crop", [100, 120]).unwrap();
    let crops: Vec<Region> = drawn(augment, [400, 480]).map(|drawn| drawn.crop.unwrap()).collect();
    assert!(crops.iter().all(|crop| crop.top + crop.height <= 400 && crop.left + crop.width <= 480));
    let area = |crop: &Region| (crop.height * crop.width) as f64 / (400.0 * 480.0);
    let ratio = |crop: &Region| (crop.width as f64 / crop.height as f64).ln();
    // Sides are rounded to whole pixels.
    assert_spread("area", crops.iter().map(area), [0.079, 1.001]);
    assert_spread("log ratio", crops.iter().map(ratio), [-0.30, 0.30]);
    let mean = crops.iter().map(area).sum::<f64>() / 4000.0;
    // torchvision's mean of 20,000: large ones often do not fit and are drawn again.
    assert!((mean - 0.4616).abs() < 0.012, "{mean}");
    let corners = crops.iter().filter(|crop| crop.top == 0 && crop.left == 0).count();
    assert!(corners < 20, "{corners}");
}

#[test]
fn resized_crops_that_never_fit_are_centered() {
    let whole = Augment {
        resized_crop: Some(ResizedCrop { scale: [1.0, 1.0], ..Default::default() }),
        ..Default::default()
    };
    let crop = |size| drawn(whole, size).next().unwrap().crop.unwrap();
    assert_eq!(crop([10, 100]), Region { top: 0, left: 43, height: 10, width: 13 });
    assert_eq!(crop([100, 12]), Region { top: 42, left: 0, height: 16, width: 12 });
    assert_eq!(crop([1, 1]), Region { top: 0, left: 0, height: 1, width: 1 });
}

#[test]
fn erased_regions_cover_their_ranges() {
    let all = Augment::named("erasing=1", [200, 300]).unwrap();
    let regions: Vec<Region> = drawn(all, [200, 300]).filter_map(|drawn| drawn.erased).collect();
    assert!(regions.len() > 3950, "few do not fit: {}", regions.len());
    assert!(regions.iter().all(|part| part.top + part.height <= 200 && part.left + part.width <= 300));
    let area = |part: &Region| (part.height * part.width) as f64 / 60_000.0;
    assert_spread("area", regions.iter().map(area), [0.019, 0.332]);
    assert_spread(
        "log ratio",
        regions.iter().map(|p| (p.height as f64 / p.width as f64).ln()),
        [-1.23, 1.22],
    );
    let half = drawn(Augment::named("erasing", [200, 300]).unwrap(), [200, 300]);
    let erased = half.filter(|drawn| drawn.erased.is_some()).count();
    assert!((1870..2130).contains(&erased), "{erased}");
    assert!(
        drawn(all, [1, 1]).all(|drawn| drawn.erased.is_none_or(|part| part.height * part.width == 0)),
        "a pixel has no smaller part"
    );
}

#[test]
fn rotations_and_color_factors_cover_their_ranges() {
    let augment = Augment::named("rotation=20,color-jitter=0.4:1.5:0.3:0.2", [8, 8]).unwrap();
    let operations: Vec<Vec<ImageOp>> = drawn(augment, [8, 8]).map(|drawn| drawn.operations).collect();
    type Pick = fn(&ImageOp) -> Option<f64>;
    let each = |pick: Pick| operations.iter().flatten().filter_map(pick);
    let ranges: [(&str, Pick, [f64; 2]); 5] = [
        ("rotation", |op| if let ImageOp::Rotate(by) = op { Some(*by) } else { None }, [-20.0, 20.0]),
        ("brightness", |op| if let ImageOp::Brightness(by) = op { Some(*by) } else { None }, [0.6, 1.4]),
        ("contrast", |op| if let ImageOp::Contrast(by) = op { Some(*by) } else { None }, [0.0, 2.5]),
        ("saturation", |op| if let ImageOp::Saturation(by) = op { Some(*by) } else { None }, [0.7, 1.3]),
        ("hue", |op| if let ImageOp::Hue(by) = op { Some(*by) } else { None }, [-0.2, 0.2]),
    ];
    for (name, pick, range) in ranges {
        assert_eq!(each(pick).count(), 4000);
        assert_spread(name, each(pick), range);
    }
    assert!(operations.iter().all(|operations| matches!(operations[0], ImageOp::Rotate(_))));
    let order = |operations: &Vec<ImageOp>| {
        operations.iter().map(|operation| format!("{operation:?}")[..2].to_owned()).collect::<String>()
    };
    assert_eq!(operations.iter().map(order).collect::<HashSet<_>>().len(), 24, "all orders of four");
}

#[test]
fn what_is_drawn_depends_only_on_the_key_and_the_own_settings() {
    let all =
        Augment::named("resized-crop,rotation,color-jitter,trivial-augment,crop,flip,erasing=1", [32, 32])
            .unwrap();
    let key = DrawKey { seed: 1, epoch: 2, index: 3 };
    let draw = |augment: Augment, key| augment.draw(key, [3, 32, 32], [50, 40]);
    assert_eq!(draw(all, key), draw(all, key));
    for other in [DrawKey { seed: 2, ..key }, DrawKey { epoch: 3, ..key }, DrawKey { index: 4, ..key }] {
        assert_ne!(draw(all, key), draw(all, other));
    }
    let few = Augment { rotation: 0.0, color_jitter: None, erasing: None, ..all };
    let (all, few) = (draw(all, key), draw(few, key));
    assert_eq!(
        (all.crop, all.placement, all.operations.last()),
        (few.crop, few.placement, few.operations.last())
    );
    // Runs of earlier versions resume with the same crops and flips.
    let crop_flip = Augment::named("crop-flip", [32, 32]).unwrap();
    let places = (0..4).map(|index| crop_flip.place(DrawKey { index, ..key }));
    let expected = [(-4, 0, false), (-1, -2, true), (-3, 0, false), (4, 0, false)];
    assert!(places.map(|place| (place.down, place.right, place.flip)).eq(expected));
}

#[test]
fn names_have_torchvisions_defaults() {
    let none = Augment::default();
    let cases = [
        ("none", none),
        ("flip", Augment { flip: true, ..none }),
        ("crop", Augment { crop_padding: 4, ..none }),
        ("crop=2", Augment { crop_padding: 2, ..none }),
        ("crop-flip", Augment { crop_padding: 4, flip: true, ..none }),
        ("flip,crop", Augment { crop_padding: 4, flip: true, ..none }),
        ("rotation", Augment { rotation: 15.0, ..none }),
        ("rotation=7.5", Augment { rotation: 7.5, ..none }),
        ("trivial-augment", Augment { trivial_augment: true, ..none }),
    ];
    for (names, augment) in cases {
        assert_eq!(Augment::named(names, [32, 40]).unwrap(), augment, "{names}");
    }
    let crop = |names| Augment::named(names, [8, 8]).unwrap().resized_crop.unwrap();
    assert_eq!(crop("resized-crop"), ResizedCrop { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] });
    assert_eq!(crop("resized-crop=0.5..0.9").scale, [0.5, 0.9]);
    let erasing = |names| Augment::named(names, [8, 8]).unwrap().erasing.unwrap();
    assert_eq!(erasing("erasing"), Erasing { probability: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3] });
    assert_eq!(erasing("erasing=0.25").probability, 0.25);
    let jitter = |names| Augment::named(names, [8, 8]).unwrap().color_jitter.unwrap();
    let same = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    assert_eq!((jitter("color-jitter"), jitter("color-jitter=0.4:0.4:0.4:0.1")), (same, same));
    assert_eq!(jitter("color-jitter=0.8").hue, 0.2);
}

#[test]
fn invalid_names_and_values_are_refused() {
    for (names, words) in [
        ("mirror", &["\"mirror\" is not one of none, flip, crop[=PIXELS]", "erasing[=PROBABILITY]"][..]),
        ("", &["\"\" is not one of"]),
        ("flip,", &["\"\" is not one of"]),
        ("flip, crop", &["\" crop\" is not one of"]),
        ("flip,flip", &["flip is given twice"]),
        ("crop=8,crop-flip", &["crop is given twice"]),
        ("none,flip", &["none excludes all others"]),
        ("flip=1", &["flip=1: expected no value"]),
        ("crop=-1", &["crop=-1: expected a number of pixels"]),
        ("crop=", &["crop=: expected a number of pixels"]),
        ("resized-crop=0.5", &["expected two fractions of the area, such as 0.5..1"]),
        ("resized-crop=0..1", &["resized-crop must rise from above 0 to at most 1, got 0..1"]),
        ("resized-crop=0.9..0.5", &["resized-crop must rise", "got 0.9..0.5"]),
        ("rotation=NaN", &["expected a number of degrees"]),
        ("rotation=200", &["rotation must be between 0 and 180, got 200"]),
        ("color-jitter=1:2", &["expected one strength, or four"]),
        ("color-jitter=1:1:1:0.6", &["hue of color-jitter must be between 0 and 0.5"]),
        ("color-jitter=-1", &["brightness of color-jitter must be between 0 and 100"]),
        ("erasing=1.5", &["probability of erasing must be between 0 and 1"]),
        ("trivial-augment=3", &["expected no value"]),
    ] {
        crate::assert_fails(names, Augment::named(names, [32, 32]), &[&["augment: "], words].concat());
    }
    let colors = Augment::named("color-jitter", [8, 8]).unwrap();
    crate::assert_fails(
        "two",
        colors.check([2, 8, 8]),
        &["color-jitter needs images of 1 channel (grayscale) or 3"],
    );
    assert!(
        colors.check([1, 8, 8]).is_ok()
            && Augment::named("erasing", [8, 8]).unwrap().check([2, 8, 8]).is_ok()
    );
}
