//! IDX files, plain and gzipped, good and bad.

use std::path::Path;

use striate::data::{fashion_mnist, mnist, read_idx_images, read_idx_labels};
use striate::rng::SplitMix64;
use tempfile::{TempDir, tempdir};

use crate::{assert_fails, damaged, gzip, idx, write};

const IMAGES: u32 = 0x803;
const LABELS: u32 = 0x801;

#[test]
fn gzip_is_detected_by_content() {
    let dir = tempdir().unwrap();
    let pixels: Vec<u8> = (0..12).collect();
    let plain = idx(IMAGES, &[2, 2, 3], &pixels);
    for (name, bytes) in [("plain", plain.clone()), ("plain.gz", plain.clone()), ("compressed", gzip(&plain))]
    {
        let path = dir.path().join(name);
        write(&path, &bytes);
        let images = read_idx_images(&path).unwrap();
        assert_eq!((images.count, images.height, images.width), (2, 2, 3), "{name}");
        assert_eq!(images.pixels, pixels, "{name}");
    }
    let path = dir.path().join("labels");
    write(&path, &idx(LABELS, &[3], &[2, 0, 9]));
    assert_eq!(read_idx_labels(&path).unwrap(), [2, 0, 9]);
}

#[test]
fn bad_files_are_rejected_with_name_and_problem() {
    let good = idx(IMAGES, &[2, 2, 3], &[7; 12]);
    let packed = gzip(&good);
    let with = |bytes: &[u8], more: &[u8]| [bytes, more].concat();
    let flipped = |mut bytes: Vec<u8>, at_end: usize| {
        let at = bytes.len() - at_end;
        bytes[at] ^= 0x55;
        bytes
    };
    let huge = u32::MAX;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "empty"),
        ("three bytes", vec![0, 0, 8], "ends within the header"),
        ("half a header", good[..10].to_vec(), "ends within the header"),
        ("labels", idx(LABELS, &[2], &[1, 2]), "found 0x00000801 (labels)"),
        ("png", b"\x89PNG\r\n\x1a\n and more".to_vec(), "found 0x89504e47 (something else)"),
        ("one byte short", good[..good.len() - 1].to_vec(), "claims 12 bytes, but only 11 follow"),
        ("one byte long", with(&good, &[0]), "claims 12 bytes, but more follow"),
        ("no images", idx(IMAGES, &[0, 28, 28], &[]), "claims 0 x 28 x 28 bytes, so it holds no data"),
        ("no rows", idx(IMAGES, &[5, 0, 28], &[]), "so it holds no data"),
        ("overflow", idx(IMAGES, &[huge, huge, huge], &[1; 50]), "4294967295 x 4294967295 x 4294967295"),
        ("over the limit", idx(IMAGES, &[huge, 28, 28], &[1; 50]), "more than the 2147483648 allowed"),
        ("at the limit", idx(IMAGES, &[1 << 31, 1, 1], &[1; 50]), "but only 50 follow"),
        ("gzip, empty inside", gzip(&[]), "ends within the header"),
        ("gzip, labels inside", gzip(&idx(LABELS, &[2], &[1, 2])), "(labels)"),
        ("gzip, short inside", gzip(&good[..20]), "but only 4 follow"),
        ("gzip, long inside", gzip(&with(&good, &[0])), "but more follow"),
        ("gzip, bomb inside", gzip(&with(&good, &vec![0; 50_000_000])), "but more follow"),
        ("gzip, garbage after it", with(&packed, b"x"), "trailing bytes after its gzip data"),
        ("gzip, twice", with(&packed, &packed), "trailing bytes after its gzip data"),
        ("gzip, cut short", packed[..packed.len() - 9].to_vec(), "gzip data is truncated"),
        ("gzip, no trailer", packed[..packed.len() - 8].to_vec(), "gzip data is truncated"),
        ("gzip, bare magic", packed[..2].to_vec(), "gzip data is truncated"),
        ("gzip, wrong checksum", flipped(packed.clone(), 8), "gzip data is damaged"),
        ("gzip, wrong length", flipped(packed.clone(), 1), "gzip data is damaged"),
        ("gzip, wrong method", with(&[0x1f, 0x8b, 9], &packed[3..]), "gzip data is damaged"),
        ("gzip, no deflate", with(&packed[..10], &[0xff; 40]), "gzip data is damaged"),
    ];
    let dir = tempdir().unwrap();
    for (case, bytes, problem) in cases {
        let path = dir.path().join(case);
        write(&path, &bytes);
        assert_fails(case, read_idx_images(&path), &[path.to_str().unwrap(), problem]);
    }
    assert_fails("missing", read_idx_images(&dir.path().join("none")), &["none: cannot read"]);
    assert_fails("folder", read_idx_images(dir.path()), &[dir.path().to_str().unwrap(), "cannot read"]);
    let path = dir.path().join("images for labels");
    write(&path, &good);
    assert_fails("images for labels", read_idx_labels(&path), &["of IDX labels", "(images)"]);
}

/// A folder with two training images and one test image.
fn folder(train_labels: &[u8]) -> TempDir {
    let dir = tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| write(dir.path().join(name), bytes);
    put("train-images-idx3-ubyte", &idx(IMAGES, &[2, 1, 2], &[1, 2, 3, 4]));
    put("train-labels-idx1-ubyte.gz", &gzip(&idx(LABELS, &[train_labels.len() as u32], train_labels)));
    put("t10k-images.idx3-ubyte", &idx(IMAGES, &[1, 1, 2], &[5, 6]));
    put("t10k-labels.idx1-ubyte.gz", &gzip(&idx(LABELS, &[1], &[9])));
    dir
}

#[test]
fn a_folder_of_four_files_gives_a_split() {
    let dir = folder(&[3, 0]);
    let split = fashion_mnist(dir.path()).unwrap();
    assert_eq!((split.train.shape(), split.train.labels()), ([1, 1, 2], [3, 0].as_slice()));
    assert_eq!((split.train.image(1), split.test.image(0)), ([3, 4].as_slice(), [5, 6].as_slice()));
    assert_eq!(split.test.classes()[9], "Ankle boot");
    assert_eq!((split.normalization.mean, split.normalization.std), (vec![0.2860], vec![0.3530]));
    assert_eq!(mnist(dir.path()).unwrap().test.classes()[9], "9");
}

#[test]
fn mismatched_files_are_rejected() {
    let labels = "train-labels-idx1-ubyte.gz";
    let load = |dir: &TempDir| fashion_mnist(dir.path());
    assert_fails("count", load(&folder(&[1, 2, 3])), &[labels, "expected 2 labels", "found 3"]);
    assert_fails("class", load(&folder(&[1, 10])), &[labels, "label 10 of image 1", "10 classes"]);

    let dir = folder(&[1, 2]);
    write(dir.path().join("t10k-images.idx3-ubyte"), &idx(IMAGES, &[1, 2, 1], &[5, 6]));
    assert_fails("shape", load(&dir), &["fashion-mnist", "[1, 1, 2]", "[1, 2, 1]"]);

    let dir = folder(&[1, 2]);
    std::fs::remove_file(dir.path().join(labels)).unwrap();
    let looked_for = ["train-labels-idx1-ubyte,", "train-labels-idx1-ubyte.gz", "train-labels.idx1-ubyte"];
    let origin = ["dataset-fashion-mnist", "https://github.com/zalandoresearch/fashion-mnist"];
    assert_fails("missing", load(&dir), &looked_for);
    assert_fails("missing", load(&dir), &origin);
    assert_fails("no folder", fashion_mnist(Path::new("no/such")), &["no/such", "train-images-idx3-ubyte"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_at_once() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if made.is_ok_and(|status| status.success()) {
        assert_fails("images", read_idx_images(&path), &["a device or a pipe"]);
        assert_fails("labels", read_idx_labels(&path), &["a device or a pipe"]);
    }
}

#[test]
fn damaged_files_do_not_panic() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("damaged");
    let plain = idx(IMAGES, &[4, 3, 5], &(0..60).collect::<Vec<u8>>());
    let labels = idx(LABELS, &[9], &[1; 9]);
    let mut rng = SplitMix64::new(1);
    for original in [plain.clone(), gzip(&plain), labels.clone(), gzip(&labels)] {
        for _ in 0..2000 {
            write(&path, &damaged(&original, &mut rng));
            if let Ok(images) = read_idx_images(&path) {
                assert_eq!(images.pixels.len(), images.count * images.height * images.width);
            }
            let _ = read_idx_labels(&path);
        }
    }
}
