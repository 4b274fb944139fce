//! Bad data are refused.

use crate::workspace::*;

#[test]
fn bad_idx_files_are_refused() {
    let images = "data/train-images-idx3-ubyte";
    let labels = "data/train-labels-idx1-ubyte";
    let good_images = idx(0x803, &[20, 8, 8], &[7; 1280]);
    let good_labels = idx(0x801, &[20], &[3; 20]);
    const REMEDY: &str = "download the file again";
    let mut out_of_range = good_labels.clone();
    out_of_range[8 + 5] = 10;
    let mut flipped = gzip(&good_images);
    let end = flipped.len() - 6;
    flipped[end] ^= 1;
    let cases: Vec<(&str, &str, Vec<u8>, &[&str])> = vec![
        ("empty", images, vec![], &["found an empty one", REMEDY]),
        ("header cut short", images, good_images[..10].to_vec(), &["ends within the header", REMEDY]),
        ("cut short", images, good_images[..900].to_vec(), &["claims 1280 bytes", "only 884", REMEDY]),
        ("too long", images, [&good_images[..], b"x"].concat(), &["but more follow", REMEDY]),
        ("claims too much", images, idx(0x803, &[u32::MAX; 3], &[]), &["more than the", REMEDY]),
        ("claims 1 GiB", images, idx(0x803, &[1 << 20, 32, 32], &[0; 9]), &["only 9 follow", REMEDY]),
        ("no images", images, idx(0x803, &[0, 8, 8], &[]), &["so it holds no data", REMEDY]),
        ("labels for images", images, good_labels.clone(), &["magic number", "choose the right file"]),
        ("not IDX", images, b"<html>404</html>".to_vec(), &["magic number", "choose the right file"]),
        (
            "garbage after gzip",
            images,
            [&gzip(&good_images)[..], b"garbage"].concat(),
            &["trailing bytes after", REMEDY],
        ),
        ("gzip cut short", images, gzip(&good_images)[..20].to_vec(), &["truncated", REMEDY]),
        ("gzip damaged", images, flipped, &["damaged", REMEDY]),
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
        (
            "label out of range",
            labels,
            out_of_range,
            &["label 10 of image 5", "10 classes", "use the labels"],
        ),
        ("empty labels", labels, vec![], &["found an empty one", REMEDY]),
    ];
    for (case, file, bytes, words) in cases {
        println!("{case}");
        let dir = Workspace::new();
        dir.write(file, &bytes);
        dir.refused(&[], &[&[file], words].concat());
    }
    for file in [images, labels] {
        let dir = Workspace::new();
        std::fs::remove_file(dir.path(file)).unwrap();
        let name = file.trim_start_matches("data/");
        dir.refused(&[], &["data: expected one of", name, "found none; get it from"]);
    }
    let dir = Workspace::new();
    dir.write("data/t10k-images-idx3-ubyte", &idx(0x803, &[10, 9, 8], &[0; 720]));
    dir.refused(&[], &["[1, 8, 8]", "[1, 9, 8]", "use the same for both"]);
    dir.refused(&["--data", "nowhere"], &["nowhere: does not exist; choose the folder"]);
    dir.refused(&["--data", "data/t10k-labels-idx1-ubyte"], &["t10k-labels-idx1-ubyte: is a file; choose"]);
}

#[test]
fn bad_cifar_files_are_refused() {
    let dir = Workspace::new();
    let names =
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    let record = |label: u8| [&[label][..], &[9; 3072]].concat();
    let restore = || names.iter().for_each(|name| dir.write(&format!("cifar/{name}.bin"), &record(1)));
    let refused = |words: &[&str]| dir.refused(&["--dataset", "cifar10", "--data", "cifar"], words);
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
        dir.write(file, bytes);
        refused(words);
    }
    // A sparse file of 3 GiB, which must not be read.
    std::fs::File::create(dir.path(file)).unwrap().set_len(3 << 30).unwrap();
    refused(&[file, "more than 2147483648 bytes", "download the file again"]);
    std::fs::remove_file(dir.path(file)).unwrap();
    refused(&["cifar: expected", "data_batch_3.bin is missing", "get the binary version"]);
    restore();
    dir.trained(&["--dataset", "cifar10", "--data", "cifar"]);
}

#[test]
fn bad_folders_of_images_are_refused() {
    let dir = Workspace::new();
    let args = ["--dataset", "folder", "--data", "pets", "--image-size", "8x8"];
    std::fs::create_dir(dir.path("pets")).unwrap();
    dir.refused(&args, &["pets: expected one folder of images per class"]);
    for name in ["cat/1", "cat/2", "cat/3", "dog/1", "dog/2", "dog/3"] {
        let image = image::RgbImage::from_fn(9, 9, |x, y| image::Rgb([x as u8, y as u8, 77]));
        dir.save(&format!("pets/{name}.png"), &image);
    }
    let image = dir.read("pets/dog/2.png");
    for bytes in [&b"not an image"[..], &[], &image[..image.len() / 2]] {
        dir.write("pets/dog/2.png", bytes);
        dir.refused(&args, &["pets/dog/2.png", "cannot be decoded", "replace or remove it"]);
    }
    dir.write("pets/dog/2.png", &image);
    std::fs::create_dir(dir.path("pets/cow")).unwrap();
    dir.refused(&args, &["pets/cow", "found none; add some or remove the folder"]);
    std::fs::remove_dir(dir.path("pets/cow")).unwrap();
    for size in ["0x8", "5000x8"] {
        let args = ["--dataset", "folder", "--data", "pets", "--image-size", size];
        dir.refused(&args, &["error: --image-size: sides must be between 1 and 4096"]);
    }
    dir.trained(&args);
}
