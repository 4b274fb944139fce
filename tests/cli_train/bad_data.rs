//! Data that are refused.

use crate::place::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

#[test]
fn bad_idx_files_are_refused() {
    let images = "data/train-images-idx3-ubyte";
    let labels = "data/train-labels-idx1-ubyte";
    let good_images = idx(0x803, &[20, 8, 8], &[7; 1280]);
    let good_labels = idx(0x801, &[20], &[3; 20]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    const AGAIN: &str = "download the file again";
    let mut out_of_range = good_labels.clone();
    out_of_range[8 + 5] = 10;
    let mut flipped = gzip(&good_images);
    let end = flipped.len() - 6;
    flipped[end] ^= 1;
    let cases: Vec<(&str, &str, Vec<u8>, &[&str])> = vec![
        ("empty", images, vec![], &["found an empty one", AGAIN]),
        ("cut in the header", images, good_images[..10].to_vec(), &["ends within the header", AGAIN]),
        ("cut", images, good_images[..900].to_vec(), &["claims 1280 bytes", "only 884", AGAIN]),
        ("too long", images, [&good_images[..], b"x"].concat(), &["but more follow", AGAIN]),
        ("promises too much", images, idx(0x803, &[u32::MAX; 3], &[]), &["more than the", AGAIN]),
        ("promises 2 GiB", images, idx(0x803, &[1 << 20, 32, 32], &[0; 9]), &["only 9 follow", AGAIN]),
        ("no images", images, idx(0x803, &[0, 8, 8], &[]), &["which is none", AGAIN]),
        ("labels for images", images, good_labels.clone(), &["magic number", "choose the right file"]),
        ("not IDX", images, b"<html>404</html>".to_vec(), &["magic number", "choose the right file"]),
        (
            "rubbish after gzip",
            images,
            [&gzip(&good_images)[..], b"rubbish"].concat(),
            &["trailing bytes after", AGAIN],
        ),
        ("gzip cut", images, gzip(&good_images)[..20].to_vec(), &["truncated", AGAIN]),
        ("gzip damaged", images, flipped, &["damaged", AGAIN]),
        (
            "fewer labels",
            labels,
            idx(0x801, &[19], &[3; 19]),
            &["expected 20 labels", "found 19", "download both"],
        ),
        (
            "more labels",
            labels,
            idx(0x801, &[21], &[3; 21]),
            &["expected 20 labels", "found 21", "download both"],
        ),
        ("label 10", labels, out_of_range, &["label 10 of image 5", "10 classes", "use the labels"]),
        ("labels empty", labels, vec![], &["found an empty one", AGAIN]),
    ];
    for (case, file, bytes, words) in cases {
        let place = Place::new();
        place.write(file, &bytes);
        place.refused(&[], &[&[file], words].concat());
        println!("{case}: as expected");
    }
    for file in [images, labels] {
        let place = Place::new();
        std::fs::remove_file(place.path(file)).unwrap();
        let name = file.trim_start_matches("data/");
        place.refused(&[], &["data: expected one of", name, "found none; get it from"]);
    }
    let place = Place::new();
    place.write("data/t10k-images-idx3-ubyte", &idx(0x803, &[10, 9, 8], &[0; 720]));
    place.refused(&[], &["[1, 8, 8]", "[1, 9, 8]", "use the same for both"]);
    place.refused(&["--data", "nowhere"], &["nowhere: does not exist; choose the folder"]);
    place.refused(&["--data", "data/t10k-labels-idx1-ubyte"], &["t10k-labels-idx1-ubyte: is a file; choose"]);
}

#[test]
fn bad_cifar_files_are_refused() {
    let place = Place::new();
    let names =
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    let record = |label: u8| [&[label][..], &[9; 3072]].concat();
    let restore = || names.iter().for_each(|name| place.write(&format!("cifar/{name}.bin"), &record(1)));
    let refused = |words: &[&str]| place.refused(&["--dataset", "cifar10", "--data", "cifar"], words);
    let file = "cifar/data_batch_3.bin";
    let cases: [(&[u8], &[&str]); 5] = [
        (&[], &[file, "found an empty file", "download the file again"]),
        (&record(1)[..3072], &[file, "records of 3073 bytes", "download the file again"]),
        (&[&record(1)[..], b"x"].concat(), &[file, "a remainder of 1", "download the file again"]),
        (&record(10), &[file, "record 0 has label 10", "download the file again"]),
        (&record(255), &[file, "record 0 has label 255", "download the file again"]),
    ];
    for (bytes, words) in cases {
        restore();
        place.write(file, bytes);
        refused(words);
    }
    // A file of 3 GiB, which takes no room and is not read.
    std::fs::File::create(place.path(file)).unwrap().set_len(3 << 30).unwrap();
    refused(&[file, "more than 2147483648 bytes", "download the file again"]);
    std::fs::remove_file(place.path(file)).unwrap();
    refused(&["cifar: expected", "data_batch_3.bin is missing", "get the binary version"]);
    restore();
    place.trained(&["--dataset", "cifar10", "--data", "cifar"]);
}

#[test]
fn bad_folders_of_images_are_refused() {
    let place = Place::new();
    let args = ["--dataset", "folder", "--data", "pets", "--image-size", "8x8"];
    std::fs::create_dir(place.path("pets")).unwrap();
    place.refused(&args, &["pets: expected one folder of images per class"]);
    for name in ["cat/1", "cat/2", "cat/3", "dog/1", "dog/2", "dog/3"] {
        let path = place.path(&format!("pets/{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_fn(9, 9, |x, y| image::Rgb([x as u8, y as u8, 77])).save(path).unwrap();
    }
    let image = std::fs::read(place.path("pets/dog/2.png")).unwrap();
    for bytes in [&b"not an image"[..], &[], &image[..image.len() / 2]] {
        place.write("pets/dog/2.png", bytes);
        place.refused(&args, &["pets/dog/2.png", "cannot be decoded", "replace or remove it"]);
    }
    place.write("pets/dog/2.png", &image);
    std::fs::create_dir(place.path("pets/cow")).unwrap();
    place.refused(&args, &["pets/cow", "found none; add some or remove the folder"]);
    std::fs::remove_dir(place.path("pets/cow")).unwrap();
    for size in ["0x8", "5000x8"] {
        let args = ["--dataset", "folder", "--data", "pets", "--image-size", size];
        place.refused(&args, &["error: --image-size: sides must be between 1 and 4096"]);
    }
    place.trained(&args);
}
