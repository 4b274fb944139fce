//! CIFAR-10 and CIFAR-100, good and bad files.

use std::path::Path;

use striate::data::{cifar10, cifar100};
use striate::rng::SplitMix64;
use tempfile::{TempDir, tempdir};

use crate::{assert_fails, damaged, write};

const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];

/// A record: label bytes, and uniform planes of red, green and blue with values from `start` on.
fn record(labels: &[u8], start: u8) -> Vec<u8> {
    let planes = (0..3).flat_map(|plane| [start + plane; 1024]);
    labels.iter().copied().chain(planes).collect()
}

fn write_cifar10(dir: &Path) {
    for (name, label) in TRAIN.into_iter().zip(1..) {
        write(dir.join(name), &[record(&[label], 10 * label), record(&[0], 100 + label)].concat());
    }
    write(dir.join("test_batch.bin"), &record(&[9], 200));
}

/// A folder with a small CIFAR-100.
fn write_cifar100() -> TempDir {
    let dir = tempdir().unwrap();
    write(dir.path().join("train.bin"), &[record(&[19, 99], 1), record(&[0, 7], 11)].concat());
    write(dir.path().join("test.bin"), &record(&[3, 50], 21));
    dir
}

#[test]
fn cifar10_is_read_from_its_folder_or_the_parent() {
    let dir = tempdir().unwrap();
    write_cifar10(&dir.path().join("cifar-10-batches-bin"));
    for dir in [dir.path().to_owned(), dir.path().join("cifar-10-batches-bin")] {
        let split = cifar10(&dir).unwrap();
        assert_eq!(split.train.shape(), [3, 32, 32]);
        assert_eq!(split.train.labels(), [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
        assert_eq!(split.train.image(3), [[102; 1024], [103; 1024], [104; 1024]].as_flattened());
        assert_eq!(
            (split.test.len(), split.test.labels()[0], split.test.classes()[9].as_str()),
            (1, 9, "truck")
        );
    }
}

#[test]
fn cifar100_has_the_fine_classes() {
    let dir = write_cifar100();
    let split = cifar100(dir.path()).unwrap();
    assert_eq!((split.train.labels(), split.test.labels()), ([99, 7].as_slice(), [50].as_slice()));
    assert_eq!((split.train.image(1)[0], split.train.image(1)[3071]), (11, 13));
    assert_eq!(split.train.classes()[99], "class 99");

    let names: String = (0..100).map(|i| format!("thing{i}\n")).collect();
    write(dir.path().join("fine_label_names.txt"), format!("{names}\n").as_bytes());
    assert_eq!(cifar100(dir.path()).unwrap().test.classes()[50], "thing50");
    write(dir.path().join("fine_label_names.txt"), b"apple\nbear\n");
    assert_fails("names", cifar100(dir.path()), &["fine_label_names.txt", "expected 100", "found 2"]);
}

#[test]
fn bad_files_are_rejected_with_name_and_problem() {
    let whole = record(&[1], 0);
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("empty", vec![], "found an empty file"),
        ("short", whole[..3000].to_vec(), "records of 3073 bytes, found 3000 bytes"),
        ("long", [whole.as_slice(), &[1]].concat(), "found 3074 bytes with a remainder of 1"),
        ("label", [whole, record(&[10], 0)].concat(), "record 1 has label 10, expected less than 10"),
    ];
    for (case, bytes, problem) in cases {
        let dir = tempdir().unwrap();
        write_cifar10(dir.path());
        write(dir.path().join("data_batch_4.bin"), &bytes);
        assert_fails(case, cifar10(dir.path()), &["data_batch_4.bin", problem]);
    }
    let dir = write_cifar100();
    write(dir.path().join("test.bin"), &record(&[20, 1], 0));
    assert_fails("coarse", cifar100(dir.path()), &["test.bin", "label 20, expected less than 20"]);
    write(dir.path().join("test.bin"), &record(&[1, 100], 0));
    assert_fails("fine", cifar100(dir.path()), &["test.bin", "label 100, expected less than 100"]);
}

#[test]
fn a_missing_file_is_named_with_its_download_page() {
    let dir = tempdir().unwrap();
    write_cifar10(dir.path());
    std::fs::remove_file(dir.path().join(TRAIN[2])).unwrap();
    let words =
        ["data_batch_3.bin is missing", "test_batch.bin", "cs.toronto.edu", dir.path().to_str().unwrap()];
    assert_fails("missing", cifar10(dir.path()), &words);
    assert_fails("no folder", cifar100(Path::new("no/such")), &["no/such", "train.bin is missing"]);
}

#[test]
fn damaged_files_do_not_panic() {
    let dir = write_cifar100();
    let original = record(&[19, 99], 1);
    let mut rng = SplitMix64::new(2);
    for _ in 0..2000 {
        write(dir.path().join("train.bin"), &damaged(&original, &mut rng));
        if let Ok(split) = cifar100(dir.path()) {
            assert_eq!(split.train.len(), 1);
        }
    }
}
