//! Data sets, their readers on good and bad files, augmentation and the loader.

mod augment;
mod cifar;
#[path = "../common/files.rs"]
mod files;
mod folder;
mod idx;
mod image_op;
mod loader;
mod mix;
mod prefetch;
mod preprocess;
mod sets;

use files::*;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use striate::data::Dataset;

/// Asserts that `result` is an error whose message contains all of `words`.
fn assert_fails<T: Debug, E: ToString>(case: &str, result: Result<T, E>, words: &[&str]) {
    let message = match result {
        Ok(value) => panic!("{case}: expected an error, found {value:.200?}"),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(message.contains(word), "{case}: {message:?} does not contain {word:?}");
    }
}

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Writes a PNG of 2 x 2 gray pixels, 1 to 4, with EXIF data to rotate it clockwise.
fn rotated_png(dir: &Path) -> PathBuf {
    let path = dir.join("rotated.png");
    let mut encoder = PngEncoder::new(std::fs::File::create(&path).unwrap());
    encoder.set_exif_metadata(EXIF_ROTATED.to_vec()).unwrap();
    encoder.write_image(&[1, 2, 3, 4], 2, 2, ExtendedColorType::L8).unwrap();
    path
}

/// Images of 3 x 4 x 5 in which neighboring pixels differ.
fn sample(count: usize) -> Dataset {
    let images = (0..count * 60).map(|i| (i * 7 % 251) as u8).collect();
    let labels = (0..count as u32).map(|i| i % 3).collect();
    Dataset::new("sample", [3, 4, 5], images, labels, ["a", "b", "c"].map(str::to_owned).to_vec()).unwrap()
}
