use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use striate::data::{FolderOptions, Split, image_folder, read_picture};
use tempfile::{TempDir, tempdir};

use crate::{assert_fails, write};

const SIZE: [usize; 2] = [4, 4];

fn load(dir: &Path) -> striate::Result<Split> {
    image_folder(dir, &FolderOptions { size: SIZE, ..Default::default() })
}

/// A picture of one colour.
fn put(path: impl AsRef<Path>, color: [u8; 3]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    RgbImage::from_pixel(6, 5, Rgb(color)).save(path).unwrap();
}

/// Two classes with `train` and `val`; the red value says which picture it is.
fn pets() -> TempDir {
    let dir = tempdir().unwrap();
    for (name, red) in [
        ("train/dog/b.png", 3),
        ("train/dog/a.PNG", 2),
        ("train/cat/z.bmp", 1),
        ("val/cat/c.png", 4),
        ("val/dog/d.png", 5),
    ] {
        put(dir.path().join(name), [red, 20, 30]);
    }
    dir
}

/// The first red value of every picture.
fn reds(dataset: &striate::data::Dataset) -> Vec<u8> {
    (0..dataset.len()).map(|i| dataset.image(i)[0]).collect()
}

#[test]
fn folders_are_classes_and_names_give_the_order() {
    let dir = pets();
    write(dir.path().join("train/dog/.hidden.png"), b"not a picture");
    write(dir.path().join("train/dog/notes.txt"), b"not a picture");
    write(dir.path().join("train/.cache/x.png"), b"not a picture");
    let split = load(dir.path()).unwrap();
    assert_eq!(split.train.classes(), ["cat", "dog"]);
    assert_eq!((reds(&split.train), split.train.labels()), (vec![1, 2, 3], [0, 1, 1].as_slice()));
    assert_eq!((reds(&split.test), split.test.labels()), (vec![4, 5], [0, 1].as_slice()));
    assert_eq!(split.train.shape(), [3, 4, 4]);
    assert_eq!(split.train.image(0)[16..], [[20; 16], [30; 16]].concat());
    let mean = &split.normalization.mean;
    assert!((mean[0] - 2.0 / 255.0).abs() < 1e-6 && (mean[1] - 20.0 / 255.0).abs() < 1e-6, "{mean:?}");
    assert_eq!(split.normalization.std[1..], [1.0, 1.0]);

    std::fs::rename(dir.path().join("val"), dir.path().join("test")).unwrap();
    assert_eq!(reds(&load(dir.path()).unwrap().test), [4, 5]);
}

#[test]
fn without_test_pictures_some_of_every_class_are_held_out() {
    let dir = tempdir().unwrap();
    for i in 0..20 {
        put(dir.path().join(format!("boat/{i:02}.png")), [i, 0, 0]);
        put(dir.path().join(format!("train/{i:02}.png")), [100 + i, 0, 0]);
    }
    let split = load(dir.path()).unwrap();
    assert_eq!(split.train.classes(), ["boat", "train"]);
    assert_eq!((split.train.len(), split.test.labels()), (36, [0, 0, 1, 1].as_slice()));
    let (train, test) = (reds(&split.train), reds(&split.test));
    assert!(train.is_sorted() && test.is_sorted());
    let mut all = [train, test.clone()].concat();
    all.sort();
    assert!(all.into_iter().eq((0..20).chain(100..120)));
    assert_eq!(reds(&load(dir.path()).unwrap().test), test);

    let other = |seed| {
        image_folder(dir.path(), &FolderOptions { size: SIZE, seed, test_fraction: 0.5 }).unwrap().test
    };
    assert_eq!(other(1).len(), 20);
    assert_ne!(reds(&other(1)), reds(&other(2)));
    let bad = FolderOptions { test_fraction: 1.0, ..Default::default() };
    assert_fails("fraction", image_folder(dir.path(), &bad), &["test_fraction", "less than 1"]);
}

#[test]
fn bad_folders_are_refused() {
    let dir = pets();
    put(dir.path().join("val/fox/a.png"), [0; 3]);
    assert_fails("more in val", load(dir.path()), &["train", "found no folder fox"]);
    put(dir.path().join("train/fox/a.png"), [0; 3]);
    put(dir.path().join("train/emu/a.png"), [0; 3]);
    assert_fails("more in train", load(dir.path()), &["val", "found no folder emu"]);

    let dir = pets();
    std::fs::remove_file(dir.path().join("val/cat/c.png")).unwrap();
    assert_fails("no pictures", load(dir.path()), &["val", "cat: expected pictures (png, jpg"]);

    let dir = tempdir().unwrap();
    assert_fails(
        "no classes",
        load(dir.path()),
        &[dir.path().to_str().unwrap(), "one folder of pictures for every class"],
    );
    assert_fails("no folder", load(Path::new("no/such")), &["no/such: cannot read"]);
    put(dir.path().join("cat/only.png"), [0; 3]);
    assert_fails("one picture", load(dir.path()), &["cat", "at least two pictures"]);
    for size in [[0, 4], [4, 0], [5000, 4]] {
        let options = FolderOptions { size, ..Default::default() };
        assert_fails("size", image_folder(dir.path(), &options), &["image_size", "from 1 to 4096"]);
    }
}

#[test]
fn a_bad_picture_is_named_and_always_the_first() {
    let dir = pets();
    for i in 0..30 {
        write(dir.path().join(format!("train/dog/bad{i:02}.png")), b"\x89PNG\r\n\x1a\nrubbish");
    }
    for _ in 0..5 {
        assert_fails("broken", load(dir.path()), &["bad00.png", "cannot be decoded as a picture"]);
    }
    for (name, bytes) in
        [("empty.jpg", b"".as_slice()), ("text.png", b"hello"), ("cut.png", &png(8, 8)[..40])]
    {
        let path = dir.path().join(name);
        write(&path, bytes);
        assert_fails(name, read_picture(&path, SIZE), &[name, "cannot be decoded as a picture"]);
    }
    assert_fails("missing", read_picture(Path::new("no/such.png"), SIZE), &["no/such.png: cannot read"]);
}

/// A PNG whose header tells of a black picture of this size, but which has no data for it.
fn png(width: u32, height: u32) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind, data].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        [&(data.len() as u32).to_be_bytes(), body.as_slice(), &crc.sum().to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &[0; 8]), chunk(b"IEND", &[])]
        .concat()
}

#[test]
fn a_small_file_may_not_unpack_to_a_huge_picture() {
    let dir = tempdir().unwrap();
    for (width, height) in [(16_000, 16_000), (60_000, 2), (2, 60_000), (1 << 30, 1 << 30)] {
        let path = dir.path().join("bomb.png");
        write(&path, &png(width, height));
        assert_fails("bomb", read_picture(&path, SIZE), &["bomb.png", "256 MiB"]);
    }
}

#[test]
fn pictures_cover_the_size_and_keep_their_centre() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("wide.png");
    RgbImage::from_fn(8, 2, |x, y| Rgb([x as u8, y as u8, 9])).save(&path).unwrap();
    // Cropped only: the two middle columns.
    let planes = [[3, 4, 3, 4], [0, 0, 1, 1], [9; 4]];
    assert_eq!(read_picture(&path, [2, 2]).unwrap(), planes.concat());
    // Cropped and scaled: halves of the two middle pairs of columns.
    let path = dir.path().join("halves.png");
    RgbImage::from_fn(4, 8, |_, y| Rgb([if y < 4 { 10 } else { 200 }; 3])).save(&path).unwrap();
    assert_eq!(read_picture(&path, [2, 1]).unwrap().len(), 6);
    let tall = read_picture(&path, [8, 8]).unwrap();
    assert_eq!((tall[0], tall[63], tall.len()), (10, 200, 192));
    // However thin a picture is, it is scaled to what was asked for.
    let path = dir.path().join("thin.png");
    RgbImage::from_pixel(3000, 1, Rgb([7; 3])).save(&path).unwrap();
    assert_eq!(read_picture(&path, [32, 16]).unwrap(), vec![7; 3 * 32 * 16]);
}

#[test]
fn every_kind_of_pixel_becomes_rgb() {
    let dir = tempdir().unwrap();
    let rgb = DynamicImage::ImageRgb8(RgbImage::from_pixel(4, 4, Rgb([80; 3])));
    let kinds = [
        rgb.clone(),
        DynamicImage::ImageLuma8(rgb.to_luma8()),
        DynamicImage::ImageLumaA8(rgb.to_luma_alpha8()),
        DynamicImage::ImageRgba8(rgb.to_rgba8()),
        DynamicImage::ImageRgb16(rgb.to_rgb16()),
    ];
    for (i, kind) in kinds.iter().enumerate() {
        let path = dir.path().join(format!("{i}.png"));
        kind.save(&path).unwrap();
        assert_eq!(read_picture(&path, SIZE).unwrap(), vec![80; 48], "{i}");
    }
    for name in ["a.jpg", "a.gif", "a.webp", "a.bmp", "jpeg named.png"] {
        let path = dir.path().join(name);
        if name.starts_with("jpeg") {
            std::fs::copy(dir.path().join("a.jpg"), &path).unwrap();
        } else if rgb.save(&path).is_err() {
            continue; // the library can read this format, not write it
        }
        let picture = read_picture(&path, SIZE).unwrap();
        assert!(picture.iter().all(|pixel| pixel.abs_diff(80) <= 2), "{name}: {picture:?}");
    }
}

#[test]
fn photographs_are_turned_upright() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("turned.png");
    // EXIF: big-endian, one entry, orientation (0x112, one short) 6: turn by 90 degrees clockwise.
    let exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let mut encoder = PngEncoder::new(std::fs::File::create(&path).unwrap());
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&[1, 2, 3, 4], 2, 2, ExtendedColorType::L8).unwrap();
    assert_eq!(read_picture(&path, [2, 2]).unwrap()[..4], [3, 1, 4, 2]);
}
