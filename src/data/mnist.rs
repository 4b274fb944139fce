//! MNIST and Fashion-MNIST: four IDX files in a folder.

use std::path::{Path, PathBuf};

use super::idx::{IdxImages, read_idx_images, read_idx_labels};
use super::{Dataset, Normalization, Split};
use crate::{Error, Result};

/// The ten classes of Fashion-MNIST, by label.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// What differs between the data sets.
pub(super) struct Kind {
    pub name: &'static str,
    pub classes: [&'static str; 10],
    pub mean: f32,
    pub std: f32,
    /// Where to get the files, for messages.
    pub origin: &'static str,
}

impl Kind {
    /// Statistics of the training images.
    pub(super) fn normalization(&self) -> Normalization {
        Normalization { mean: vec![self.mean], std: vec![self.std] }
    }
}

pub(super) const FASHION_MNIST: Kind = Kind {
    name: "fashion-mnist",
    classes: FASHION_MNIST_CLASSES,
    mean: 0.2860,
    std: 0.3530,
    origin: "Debian's package dataset-fashion-mnist or https://github.com/zalandoresearch/fashion-mnist",
};

pub(super) const MNIST: Kind = Kind {
    name: "mnist",
    classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    mean: 0.1307,
    std: 0.3081,
    origin: "https://github.com/cvdfoundation/mnist",
};

/// Reads Fashion-MNIST from the folder of its four IDX files: `train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each gzipped
/// (`.gz`) or not.
///
/// # Errors
///
/// [`Error::Data`] if a file is missing, damaged, or does not match the others; [`Error::Io`] if one cannot be read.
pub fn fashion_mnist(dir: &Path) -> Result<Split> {
    load_dir(&FASHION_MNIST, dir)
}

/// Reads MNIST, the handwritten digits, from the folder of its four IDX files, named as for
/// [`fashion_mnist`].
///
/// # Errors
///
/// As for [`fashion_mnist`].
pub fn mnist(dir: &Path) -> Result<Split> {
    load_dir(&MNIST, dir)
}

fn load_dir(kind: &Kind, dir: &Path) -> Result<Split> {
    let part = |part: &str| -> Result<(Part, PathBuf)> {
        let images_path = find(kind, dir, &format!("{part}-images"), "idx3-ubyte")?;
        let labels_path = find(kind, dir, &format!("{part}-labels"), "idx1-ubyte")?;
        let part = Part { images: read_idx_images(&images_path)?, labels: read_idx_labels(&labels_path)? };
        Ok((part, labels_path))
    };
    let (train, train_path) = part("train")?;
    let (test, test_path) = part("t10k")?;
    split(kind, train.check(kind, &train_path)?, test.check(kind, &test_path)?)
}

/// Whether a folder has training images in these files.
pub(super) fn is_in(dir: &Path) -> bool {
    find(&MNIST, dir, "train-images", "idx3-ubyte").is_ok()
}

/// Finds a file by stem and suffix, in any of the usual spellings.
fn find(kind: &Kind, dir: &Path, stem: &str, suffix: &str) -> Result<PathBuf> {
    let names = ["-", "."].map(|joint| format!("{stem}{joint}{suffix}"));
    let names = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]).collect::<Vec<_>>();
    let found = names.iter().map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let looked_for = names.join(", ");
        let problem =
            format!("expected one of {looked_for} in this folder, found none; get it from {}", kind.origin);
        Error::data(dir, problem)
    })
}

/// Images and labels, not yet checked against each other.
pub(super) struct Part {
    pub images: IdxImages,
    pub labels: Vec<u8>,
}

impl Part {
    /// Combines both to a data set. Mismatches are reported for the label file.
    pub(super) fn check(self, kind: &Kind, labels_path: &Path) -> Result<Dataset> {
        let IdxImages { count, height, width, pixels } = self.images;
        let (labels, classes) = (self.labels, kind.classes.len());
        if labels.len() != count {
            let problem = format!("expected {count} labels, one per image, found {}", labels.len());
            return Err(Error::data(labels_path, format!("{problem}; download both files again")));
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes) {
            let problem =
                format!("label {} of image {index} is out of range for {classes} classes", labels[index]);
            return Err(Error::data(labels_path, format!("{problem}; use the labels of {}", kind.name)));
        }
        let labels = labels.into_iter().map(u32::from).collect();
        Dataset::new(kind.name, [1, height, width], pixels, labels, kind.classes.map(str::to_owned).to_vec())
    }
}

pub(super) fn split(kind: &Kind, train: Dataset, test: Dataset) -> Result<Split> {
    Split::new(train, test, kind.normalization())
}
