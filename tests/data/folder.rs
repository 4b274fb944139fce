//! Folders of images as data sets, and decoding of image files.

use std::path::Path;

use image::{DynamicImage, Rgb, RgbImage};
use striate::data::{
    FolderOptions, Preprocessing, Source, Split, image_folder, image_folder_test, images, read_image,
};
use striate::interpret::Images;
use tempfile::{TempDir, tempdir};

use crate::{assert_fails, rotated_png, write};

const SIZE: [usize; 2] = [4, 4];

fn load(dir: &Path) -> striate::Result<Split> {
    image_folder(dir, &FolderOptions { size: SIZE, ..Default::default() })
}

/// Saves an image of a single color.
fn put(path: impl AsRef<Path>, color: [u8; 3]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    RgbImage::from_pixel(6, 5, Rgb(color)).save(path).unwrap();
}

/// Two classes with `train` and `val`; the red value identifies an image.
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

/// The first red value of every image.
fn reds(dataset: &striate::data::Dataset) -> Vec<u8> {
    (0..dataset.len()).map(|i| dataset.image(i)[0]).collect()
}

#[test]
fn folders_are_classes_and_images_are_sorted() {
    let dir = pets();
    write(dir.path().join("train/dog/.hidden.png"), b"not an image");
    write(dir.path().join("train/dog/notes.txt"), b"not an image");
    write(dir.path().join("train/.cache/x.png"), b"not an image");
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
fn without_test_images_a_fraction_of_each_class_is_held_out() {
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
        let options = FolderOptions { size: SIZE, seed, test_fraction: 0.5, ..Default::default() };
        image_folder(dir.path(), &options).unwrap().test
    };
    assert_eq!(other(1).len(), 20);
    assert_ne!(reds(&other(1)), reds(&other(2)));
    let bad = FolderOptions { test_fraction: 1.0, ..Default::default() };
    assert_fails("fraction", image_folder(dir.path(), &bad), &["test_fraction", "below 1"]);
}

#[test]
fn a_second_folder_has_validation_images() {
    let dir = pets();
    assert!(load(dir.path()).unwrap().validation.is_none());
    put(dir.path().join("test/cat/1.png"), [7; 3]);
    put(dir.path().join("test/dog/2.png"), [8; 3]);
    let split = load(dir.path()).unwrap();
    assert_eq!((reds(&split.test), reds(split.validation.as_ref().unwrap())), (vec![7, 8], vec![4, 5]));
    assert_eq!((reds(&split.train), split.notes.len()), (vec![1, 2, 3], 0));
    let again = split.with_validation(0.5, 0);
    assert_fails("two validation parts", again, &["validation", "2 validation images of its own"]);
    std::fs::remove_dir_all(dir.path().join("val/cat")).unwrap();
    put(dir.path().join("val/bird/3.png"), [9; 3]);
    assert_fails("other classes", load(dir.path()), &["no images of class", "add some to"]);
}

#[test]
fn a_fraction_of_each_class_is_held_out_for_validation() {
    let dir = tempdir().unwrap();
    for i in 0..20 {
        put(dir.path().join(format!("boat/{i:02}.png")), [i, 0, 0]);
        put(dir.path().join(format!("car/{i:02}.png")), [100 + i, 0, 0]);
    }
    let whole = load(dir.path()).unwrap();
    let split = |seed| load(dir.path()).unwrap().with_validation(0.25, seed).unwrap();
    let (one, other) = (split(0), split(1));
    let validation = |split: &Split| reds(split.validation.as_ref().unwrap());
    assert_eq!(validation(&one), validation(&split(0)));
    assert_ne!(validation(&one), validation(&other));
    // 18 of each class are left from the test images; a quarter of them is 4.5.
    assert_eq!(one.validation.as_ref().unwrap().labels(), [[0; 5], [1; 5]].concat());
    assert_eq!((reds(&one.test), one.train.len()), (reds(&whole.test), 26));
    let mut all = [reds(&one.train), validation(&one)].concat();
    all.sort();
    assert_eq!(all, reds(&whole.train));
}

#[test]
fn bad_folders_are_rejected() {
    let dir = pets();
    put(dir.path().join("val/fox/a.png"), [0; 3]);
    assert_fails("more in val", load(dir.path()), &["train: has no images of class fox"]);
    put(dir.path().join("train/fox/a.png"), [0; 3]);
    put(dir.path().join("train/emu/a.png"), [0; 3]);
    assert_fails("more in train", load(dir.path()), &["val: has no images of class emu"]);

    let dir = tempdir().unwrap();
    assert_fails(
        "no classes",
        load(dir.path()),
        &[dir.path().to_str().unwrap(), "one folder of images per class"],
    );
    assert_fails("no folder", load(Path::new("no/such")), &["no/such: cannot read"]);
    put(dir.path().join("cat/a.png"), [0; 3]);
    put(dir.path().join("cat/b.png"), [0; 3]);
    assert_fails("one class", load(dir.path()), &["at least two classes, found only cat"]);
    put(dir.path().join("dog/only.png"), [0; 3]);
    assert_fails("one image", load(dir.path()), &["dog", "at least two images"]);
    std::fs::create_dir(dir.path().join("emu")).unwrap();
    assert_fails("no images", load(dir.path()), &["emu: expected images (png, jpg"]);
    for size in [[0, 4], [4, 0], [5000, 4]] {
        let options = FolderOptions { size, ..Default::default() };
        assert_fails("size", image_folder(dir.path(), &options), &["image_size", "between 1 and 4096"]);
    }
}

#[test]
fn the_first_bad_image_is_reported() {
    let dir = pets();
    for i in 0..30 {
        write(dir.path().join(format!("train/dog/bad{i:02}.png")), b"\x89PNG\r\n\x1a\ngarbage");
    }
    for _ in 0..5 {
        assert_fails("broken", load(dir.path()), &["bad00.png", "cannot be decoded as an image"]);
    }
    for (name, bytes) in
        [("empty.jpg", b"".as_slice()), ("text.png", b"hello"), ("cut.png", &png(8, 8)[..40])]
    {
        let path = dir.path().join(name);
        write(&path, bytes);
        assert_fails(name, read_image(&path, SIZE), &[name, "cannot be decoded as an image"]);
    }
    assert_fails("missing", read_image(Path::new("no/such.png"), SIZE), &["no/such.png: cannot read"]);
}

/// A PNG whose header claims an image of this size, with hardly any data.
fn png(width: u32, height: u32) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind, data].concat();
        let crc = crc32fast::hash(&body).to_be_bytes();
        [&(data.len() as u32).to_be_bytes(), body.as_slice(), &crc].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &[0; 8]), chunk(b"IEND", &[])]
        .concat()
}

#[test]
fn a_small_file_cannot_expand_to_a_huge_image() {
    let dir = tempdir().unwrap();
    for (width, height) in [(16_000, 16_000), (60_000, 2), (2, 60_000), (1 << 30, 1 << 30)] {
        let path = dir.path().join("bomb.png");
        write(&path, &png(width, height));
        assert_fails("bomb", read_image(&path, SIZE), &["bomb.png", "64 MiB"]);
    }
}

#[test]
fn images_cover_the_size_and_keep_their_center() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("wide.png");
    RgbImage::from_fn(8, 2, |x, y| Rgb([x as u8, y as u8, 9])).save(&path).unwrap();
    // Only cropped, to the two middle columns.
    let planes = [[3, 4, 3, 4], [0, 0, 1, 1], [9; 4]];
    assert_eq!(read_image(&path, [2, 2]).unwrap(), planes.concat());
    // Scaled and cropped.
    let path = dir.path().join("halves.png");
    RgbImage::from_fn(4, 8, |_, y| Rgb([if y < 4 { 10 } else { 200 }; 3])).save(&path).unwrap();
    assert_eq!(read_image(&path, [2, 1]).unwrap().len(), 6);
    let tall = read_image(&path, [8, 8]).unwrap();
    assert_eq!((tall[0], tall[63], tall.len()), (10, 200, 192));
    // Even a very thin image is scaled to the requested size.
    let path = dir.path().join("thin.png");
    RgbImage::from_pixel(3000, 1, Rgb([7; 3])).save(&path).unwrap();
    assert_eq!(read_image(&path, [32, 16]).unwrap(), vec![7; 3 * 32 * 16]);
}

#[test]
fn all_pixel_formats_become_rgb() {
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
        assert_eq!(read_image(&path, SIZE).unwrap(), vec![80; 48], "{i}");
    }
    for name in ["a.jpg", "a.gif", "a.webp", "a.bmp", "jpeg named.png"] {
        let path = dir.path().join(name);
        if name.starts_with("jpeg") {
            std::fs::copy(dir.path().join("a.jpg"), &path).unwrap();
        } else if rgb.save(&path).is_err() {
            continue; // the `image` crate cannot write this format
        }
        let image = read_image(&path, SIZE).unwrap();
        assert!(image.iter().all(|pixel| pixel.abs_diff(80) <= 2), "{name}: {image:?}");
    }
}

#[test]
fn exif_orientation_is_applied() {
    let dir = tempdir().unwrap();
    assert_eq!(read_image(&rotated_png(dir.path()), [2, 2]).unwrap()[..4], [3, 1, 4, 2]);
}

#[test]
fn test_images_are_found_in_the_usual_folders() {
    for name in ["test", "val", "valid", "validation", "dev", "Valid", "TEST"] {
        let dir = pets();
        std::fs::rename(dir.path().join("val"), dir.path().join(name)).unwrap();
        std::fs::rename(dir.path().join("train"), dir.path().join("Train")).unwrap();
        let split = load(dir.path()).unwrap();
        assert_eq!((reds(&split.train), reds(&split.test)), (vec![1, 2, 3], vec![4, 5]), "{name}");
        assert_eq!(split.notes, [""; 0], "{name}");
    }
    // A `test` folder without classes cannot be used.
    let dir = pets();
    put(dir.path().join("test/1.png"), [9; 3]);
    put(dir.path().join("test/unknown/2.png"), [9; 3]);
    let split = load(dir.path()).unwrap();
    assert_eq!(reds(&split.test), [4, 5]);
    assert!(split.notes[0].ends_with("test images come from val; ignored test"), "{:?}", split.notes);
    // No training images.
    let dir = pets();
    std::fs::remove_dir_all(dir.path().join("train")).unwrap();
    assert_fails("val alone", load(dir.path()), &["has test images (val)", "no training images"]);
}

#[test]
fn a_class_without_test_images_is_an_error_with_a_remedy() {
    let dir = pets();
    std::fs::remove_file(dir.path().join("val/cat/c.png")).unwrap();
    let refused = |case: &str| load(dir.path()).map(drop).expect_err(case).to_string();
    let (empty, words) =
        (refused("an empty folder"), ["val: has no images of class cat", "add some to", "remove"]);
    assert!(words.iter().all(|word| empty.contains(word)), "{empty}");
    std::fs::remove_dir(dir.path().join("val/cat")).unwrap();
    assert_eq!(refused("no folder"), empty);
    // The suggested remedy works.
    put(dir.path().join("val/cat/new.png"), [7; 3]);
    assert_eq!(reds(&load(dir.path()).unwrap().test), [7, 5]);
}

#[test]
fn image_folder_test_reads_test_images_or_all() {
    let test =
        |dir: &Path| image_folder_test(dir, &FolderOptions { size: SIZE, ..Default::default() }).unwrap();
    let dir = pets();
    assert_eq!(reds(&test(dir.path()).data), [4, 5]);
    assert_eq!(reds(&test(&dir.path().join("train")).data), [1, 2, 3]);
    std::fs::remove_dir_all(dir.path().join("val")).unwrap();
    std::fs::remove_dir_all(dir.path().join("train/dog")).unwrap();
    let one = test(dir.path());
    assert_eq!((reds(&one.data), one.data.classes()), (vec![1], &["cat".to_owned()][..]));
}

#[test]
fn subfolders_are_read_and_ignored_files_reported() {
    let dir = pets();
    put(dir.path().join("train/dog/more/c.png"), [8, 20, 30]);
    put(dir.path().join("train/stray.png"), [9; 3]);
    for name in ["one.heic", "two.heic", "b.tif", "none"] {
        write(dir.path().join("train/cat").join(name), b"not read");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.png", dir.path().join("train/cat/gone.png")).unwrap();
        std::os::unix::fs::symlink(".", dir.path().join("train/dog/around")).unwrap();
    }
    let split = load(dir.path()).unwrap();
    assert_eq!(reds(&split.train), [1, 2, 3, 8]);
    let note = split.notes.join("\n");
    assert!(note.contains("train: ignored 1 image outside"), "{note}");
    for words in ["2 .heic (", "cat/one.heic", "1 .tif (", "1 without extension ("] {
        assert!(note.contains(words), "{note}");
    }
    assert!(
        !cfg!(unix)
            || note.contains("ignored 5 files that are not images") && note.contains("1 broken link ("),
        "{note}"
    );
    let listing = images(&dir.path().join("train/dog")).unwrap();
    assert_eq!((listing.images.len(), listing.ignored.is_empty()), (3, true));
}

#[test]
fn broken_images_are_skipped_on_request() {
    let dir = pets();
    write(dir.path().join("train/cat/broken.png"), b"\x89PNG\r\n\x1a\ngarbage");
    write(dir.path().join("train/dog/aa.png"), b"");
    assert_fails("not requested", load(dir.path()), &["broken.png", "remove it, or", "--skip-broken"]);
    let options = FolderOptions { size: SIZE, skip_broken: true, ..Default::default() };
    let split = image_folder(dir.path(), &options).unwrap();
    assert_eq!((reds(&split.train), split.train.labels()), (vec![1, 2, 3], &[0, 1, 1][..]));
    let skipped: Vec<String> = split.skipped.iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(
        skipped.len() == 2 && skipped[0].ends_with("broken.png") && skipped[1].ends_with("aa.png"),
        "{skipped:?}"
    );
    std::fs::remove_file(dir.path().join("train/cat/z.bmp")).unwrap();
    assert_fails(
        "all of a class",
        image_folder(dir.path(), &options),
        &["no image of class cat can be read"],
    );
}

#[test]
fn truncated_images_are_rejected() {
    let dir = tempdir().unwrap();
    let image = RgbImage::from_fn(60, 50, |x, y| Rgb([(x * 37 + y) as u8, (y * 91) as u8, (x * y) as u8]));
    for format in ["jpg", "png", "gif", "webp", "bmp"] {
        let path = dir.path().join("whole").with_extension(format);
        image.save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        read_image(&path, SIZE).unwrap();
        for part in [whole.len() / 2, whole.len() * 9 / 10] {
            write(&path, &whole[..part]);
            assert_fails(format, read_image(&path, SIZE), &["cannot be decoded as an image"]);
        }
        // Data after a complete image does no harm.
        write(&path, &[&whole, &b"more"[..]].concat());
        read_image(&path, SIZE).unwrap();
    }
}

#[test]
fn an_image_without_pixels_is_rejected() {
    let dir = tempdir().unwrap();
    // A GIF whose screen is 0 x 0, with a frame of 2 x 2.
    let gif = b"GIF89a\0\0\0\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x02\0\x02\0\0\x02\x02\x84\x51\0;";
    let bmp = [&b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &[0; 8], b"\x01\0\x18\0", &[0; 28]].concat();
    for (name, bytes) in [("zero.gif", &gif[..]), ("zero.bmp", &bmp)] {
        let path = dir.path().join(name);
        write(&path, bytes);
        assert_fails(name, read_image(&path, SIZE), &[name, "cannot be decoded as an image"]);
    }
}

#[test]
fn images_of_a_folder_are_preprocessed() {
    let dir = tempdir().unwrap();
    for class in ["cat", "dog"] {
        std::fs::create_dir(dir.path().join(class)).unwrap();
        let pixel = |x: u32, y: u32| Rgb([(x * 5) as u8, (y * 7) as u8, (x * y) as u8]);
        RgbImage::from_fn(40, 30, pixel).save(dir.path().join(class).join("1.png")).unwrap();
    }
    let mut wanted = Preprocessing::named("imagenet").unwrap();
    (wanted.size, wanted.resize) = ([8, 8], Some(12));
    let source = Source { name: "folder".to_owned(), dir: Some(dir.path().to_owned()), ..Default::default() };
    let set = Source { preprocessing: Some(wanted.clone()), ..source.clone() }.open_test().unwrap();
    let image = Images::from_dataset(&set.data, &wanted.normalization, 1);
    assert_eq!(image.values, wanted.read(&dir.path().join("cat/1.png")).unwrap());
    let otherwise = Source { image_size: Some([8, 8]), ..source }.open_test().unwrap();
    assert_ne!(otherwise.data.image(0), set.data.image(0));
}

#[test]
fn originals_are_kept_within_a_limit() {
    let dir = tempdir().unwrap();
    for (name, [width, height]) in
        [("cat/a", [40, 20]), ("cat/b", [9, 30]), ("dog/a", [8, 8]), ("dog/b", [3, 40])]
    {
        let path = dir.path().join(format!("train/{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7])).save(path).unwrap();
    }
    put(dir.path().join("test/cat/c.png"), [1; 3]);
    put(dir.path().join("test/dog/c.png"), [1; 3]);
    let load = |original_bytes| {
        let options = FolderOptions { size: SIZE, original_bytes, ..Default::default() };
        image_folder(dir.path(), &options).unwrap()
    };
    let sizes = |split: &Split| (0..4).map(|index| split.train.original(index).1).collect::<Vec<_>>();
    let all = load(1 << 20);
    assert_eq!(sizes(&all), [[20, 40], [30, 9], [8, 8], [40, 3]]);
    assert!(all.notes.is_empty(), "{:?}", all.notes);
    let (bytes, _) = all.train.original(0);
    assert_eq!((bytes[39], bytes[800 + 40], bytes[1600]), (39, 1, 7), "planes of x, y and 7");
    let bytes = 3 * (20 * 40 + 30 * 9 + 8 * 8 + 40 * 3);
    assert_eq!(sizes(&load(bytes)), sizes(&all));
    let less = load(bytes - 1);
    assert_eq!(sizes(&less), [[19, 38], [30, 9], [8, 8], [40, 3]]);
    assert!(
        less.notes[0].contains("kept with shorter sides of at most 19 pixels; --image-memory"),
        "{:?}",
        less.notes
    );
    for too_few in [1, 0] {
        let none = load(too_few);
        assert_eq!(sizes(&none), [SIZE; 4]);
        assert_eq!(none.notes.len(), too_few as usize, "{:?}", none.notes);
    }
    assert_eq!(sizes(&less).len(), less.train.len());
    assert_eq!(less.test.original(0).1, SIZE);
}
