//! The data sets, their readers on good and bad files, augmentation and the loader.

mod augment;
mod cifar;
#[path = "../common/damage.rs"]
mod damage;
mod folder;
mod idx;
mod loader;
mod mix;
mod prefetch;
mod preprocess;
mod sets;

use std::fmt::Debug;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use striate::data::Dataset;

use damage::damaged;

/// Asserts that `result` is an error whose message has all of `words`.
fn assert_fails<T: Debug, E: ToString>(case: &str, result: Result<T, E>, words: &[&str]) {
    let message = match result {
        Ok(value) => panic!("{case}: expected an error, found {value:.200?}"),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(message.contains(word), "{case}: {message:?} does not say {word:?}");
    }
}

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file: the magic number, the sizes, the elements.
fn idx_file(magic: u32, sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let numbers = std::iter::once(&magic).chain(sizes).flat_map(|number| number.to_be_bytes());
    numbers.chain(elements.iter().copied()).collect()
}

/// So many images of 3 x 4 x 5, of which no two pixels in a row are equal.
fn sample(count: usize) -> Dataset {
    let images = (0..count * 60).map(|i| (i * 7 % 251) as u8).collect();
    let labels = (0..count as u32).map(|i| i % 3).collect();
    Dataset::new("sample", [3, 4, 5], images, labels, ["a", "b", "c"].map(str::to_owned).to_vec()).unwrap()
}
