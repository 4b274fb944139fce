//! Data sets by name, class names and normalization.

use std::path::Path;

use striate::data::{
    Dataset, NAMES, Normalization, fashion_mnist, fashion_mnist_subset, open, read_class_names,
};
use tempfile::tempdir;

use crate::{assert_fails, write};

/// The folder of Debian's package `dataset-fashion-mnist`.
const FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

fn per_class(dataset: &Dataset) -> Vec<usize> {
    (0..10).map(|class| dataset.labels().iter().filter(|&&label| label == class).count()).collect()
}

#[test]
fn the_built_in_subset_is_balanced() {
    let split = fashion_mnist_subset().unwrap();
    assert_eq!((per_class(&split.train), per_class(&split.test)), (vec![600; 10], vec![100; 10]));
    assert_eq!(split.train.labels()[..12], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9]);
    assert_eq!(split.test.labels()[..12], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5]);
    assert_eq!((split.train.shape(), split.test.shape()), ([1, 28, 28], [1, 28, 28]));
    let measured = Normalization::measure(&split.train);
    assert!(
        (measured.mean[0] - 0.2860).abs() < 0.005 && (measured.std[0] - 0.3530).abs() < 0.005,
        "{measured:?}"
    );
}

#[test]
fn the_subset_is_part_of_the_full_set() {
    let dir = Path::new(FASHION_MNIST);
    if !dir.is_dir() {
        eprintln!("not tested: {FASHION_MNIST} is not there; install Debian's dataset-fashion-mnist");
        return;
    }
    let (whole, part) = (fashion_mnist(dir).unwrap(), fashion_mnist_subset().unwrap());
    assert_eq!((per_class(&whole.train), per_class(&whole.test)), (vec![6000; 10], vec![1000; 10]));
    let measured = Normalization::measure(&whole.train);
    assert!(
        (measured.mean[0] - 0.2860).abs() < 1e-4 && (measured.std[0] - 0.3530).abs() < 1e-4,
        "{measured:?}"
    );
    for (whole, part, wanted) in [(&whole.train, &part.train, 600), (&whole.test, &part.test, 100)] {
        let mut seen = [0; 10];
        let mut next = 0;
        for (i, &label) in whole.labels().iter().enumerate() {
            if seen[label as usize] < wanted {
                seen[label as usize] += 1;
                assert_eq!((part.labels()[next], part.image(next)), (label, whole.image(i)));
                next += 1;
            }
        }
        assert_eq!(next, part.len());
    }
}

#[test]
fn sets_are_opened_by_name() {
    let split = open("fashion-mnist", None, Some([28, 28])).unwrap();
    assert_eq!(split.train.name(), "fashion-mnist");
    assert_fails("size", open("fashion-mnist", None, Some([32, 32])), &["image_size", "28 x 28", "32 x 32"]);
    assert_fails("unknown", open("imagenet", None, None), &["dataset: \"imagenet\"", &NAMES.join(", ")]);
    let empty = tempdir().unwrap();
    for name in NAMES {
        assert_fails(
            name,
            open(name, Some(empty.path()), None),
            &[empty.path().to_str().unwrap(), "expected"],
        );
        if name != "fashion-mnist" {
            assert_fails(name, open(name, None, None), &["dir", name]);
        }
    }
    for name in ["a/1.png", "a/2.png", "b/1.png", "b/2.png"] {
        let path = empty.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::new(9, 9).save(path).unwrap();
    }
    assert_eq!(open("folder", Some(empty.path()), None).unwrap().test.shape(), [3, 64, 64]);
    assert_eq!(open("folder", Some(empty.path()), Some([8, 6])).unwrap().test.shape(), [3, 8, 6]);
}

#[test]
fn measured_normalization_is_exact() {
    let pixels = vec![0, 51, 102, 255, 0, 51, 102, 255];
    let dataset = Dataset::new("dots", [2, 1, 2], pixels, vec![0, 0], vec!["dot".into()]).unwrap();
    // Channel 0 has 0, 51, 0, 51 (that is 0, 0.2); channel 1 has 102, 255 twice (0.4, 1).
    let measured = Normalization::measure(&dataset);
    for (found, expected) in measured.mean.iter().chain(&measured.std).zip([0.1, 0.7, 0.1, 0.3]) {
        assert!((found - expected).abs() < 1e-6, "{measured:?}");
    }
    let flat = Dataset::new("flat", [1, 1, 3], vec![77; 3], vec![0], vec!["flat".into()]).unwrap();
    assert_eq!(Normalization::measure(&flat).std, [1.0]);
}

#[test]
fn class_names_are_read_in_common_encodings() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("names.txt");
    let text = "Schäfer\r\ncat\n\n";
    let units: Vec<u16> = text.encode_utf16().collect();
    let with_mark = |mark: [u8; 2], bytes: fn(&u16) -> [u8; 2]| {
        [&mark[..], &units.iter().flat_map(bytes).collect::<Vec<u8>>()].concat()
    };
    let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for (encoding, bytes) in [
        ("UTF-8", text.as_bytes().to_vec()),
        ("UTF-8 with a mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("UTF-16, little endian", with_mark([0xff, 0xfe], |unit| unit.to_le_bytes())),
        ("UTF-16, big endian", with_mark([0xfe, 0xff], |unit| unit.to_be_bytes())),
        ("Latin-1", latin1),
    ] {
        write(&path, &bytes);
        assert_eq!(read_class_names(&path).unwrap(), ["Schäfer", "cat"], "{encoding}");
    }
    let unmarked: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    for bytes in [&b""[..], b"\n \n", b"\xff\xfe", b"\xff\xfea", b"\x89PNG\r\n\x1a\n\0\0", &unmarked] {
        write(&path, bytes);
        assert_fails("no names", read_class_names(&path), &["names.txt", "one per line"]);
    }
}

#[test]
fn classes_are_matched_by_name() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let pets =
        Dataset::new("pets", [1, 1, 1], vec![0; 3], vec![2, 0, 0], names(&["cat", "cow", "dog"])).unwrap();
    let relabeled = |classes: &[&str]| pets.clone().relabel(&names(classes));
    // There are no images of cows.
    assert_eq!(relabeled(&["dog", "emu", "cat"]).unwrap().labels(), [0, 2, 2]);
    assert_eq!(relabeled(&["dog", "emu", "cat"]).unwrap().classes()[1], "emu");
    assert_fails(
        "none",
        relabeled(&["cow", "dog"]),
        &["dataset", "pets has images of class cat", "(cow, dog)"],
    );
    assert_fails("nearly", relabeled(&["Cat", "dog"]), &["class cat", "did you mean Cat?"]);
    assert_fails("two", relabeled(&["dog", "cat", "cat"]), &["classes 1 and 2 both have this name"]);
}

#[test]
fn an_image_folder_given_as_another_data_set_is_recognized() {
    let dir = tempdir().unwrap();
    std::fs::create_dir(dir.path().join("cat")).unwrap();
    image::RgbImage::new(9, 9).save(dir.path().join("cat/1.png")).unwrap();
    for name in ["fashion-mnist", "mnist", "cifar10", "cifar100"] {
        assert_fails(name, open(name, Some(dir.path()), None), &[name, "use --dataset folder"]);
    }
}
