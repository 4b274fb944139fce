//! CIFAR-10 and CIFAR-100 in the binary version: records of one or two label bytes and a 32 x 32 image as red, green and
//! blue planes.
//!
//! Layout: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::path::{Path, PathBuf};

use super::{Dataset, MAX_BYTES, Normalization, Split, read_class_names};
use crate::file::read_up_to;
use crate::{Error, Result};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// The ten classes of CIFAR-10, by label.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Mean and standard deviation of the training images, per channel.
pub(super) const CIFAR10_NORMALIZATION: ([f32; 3], [f32; 3]) =
    ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);
pub(super) const CIFAR100_NORMALIZATION: ([f32; 3], [f32; 3]) =
    ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]);

/// What differs between the two data sets.
struct Kind {
    name: &'static str,
    /// The folder in the published archive.
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    /// The number of labels for each label byte of a record. The last byte is the class.
    label_counts: &'static [u8],
}

const CIFAR10: Kind = Kind {
    name: "cifar10",
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
    label_counts: &[10],
};

const CIFAR100: Kind = Kind {
    name: "cifar100",
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: &["test.bin"],
    label_counts: &[20, 100],
};

/// Reads CIFAR-10 from a folder with `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, directly or in
/// `cifar-10-batches-bin`.
///
/// # Errors
///
/// [`Error::Data`] if a file is missing, truncated, or has a label out of range; [`Error::Io`] if one cannot be read.
pub fn cifar10(dir: &Path) -> Result<Split> {
    let classes = CIFAR10_CLASSES.map(str::to_owned).to_vec();
    load(&CIFAR10, &inner(&CIFAR10, dir), classes, CIFAR10_NORMALIZATION)
}

/// Reads CIFAR-100 from a folder with `train.bin` and `test.bin`, directly or in `cifar-100-binary`. The classes are the
/// hundred fine ones, with their names from `fine_label_names.txt` if present.
///
/// # Errors
///
/// As for [`cifar10`].
pub fn cifar100(dir: &Path) -> Result<Split> {
    let dir = inner(&CIFAR100, dir);
    load(&CIFAR100, &dir, fine_classes(&dir)?, CIFAR100_NORMALIZATION)
}

/// The data set whose training images a folder has.
pub(super) fn found_in(dir: &Path) -> Option<&'static str> {
    let is_in = |kind: &&Kind| inner(kind, dir).join(kind.train[0]).is_file();
    [&CIFAR10, &CIFAR100].into_iter().find(is_in).map(|kind| kind.name)
}

fn inner(kind: &Kind, dir: &Path) -> PathBuf {
    let inner = dir.join(kind.folder);
    if inner.is_dir() { inner } else { dir.to_owned() }
}

fn fine_classes(dir: &Path) -> Result<Vec<String>> {
    let path = dir.join("fine_label_names.txt");
    if !path.exists() {
        return Ok((0..100).map(|class| format!("class {class}")).collect());
    }
    let names = read_class_names(&path)?;
    if names.len() != 100 {
        let problem =
            format!("expected 100 class names, one per line, found {}; fix or remove it", names.len());
        return Err(Error::data(path, problem));
    }
    Ok(names)
}

fn load(kind: &Kind, dir: &Path, classes: Vec<String>, (mean, std): ([f32; 3], [f32; 3])) -> Result<Split> {
    for name in kind.train.iter().chain(kind.test) {
        check_present(kind, dir, name)?;
    }
    let part = |names: &[&str]| {
        let mut records = Records::default();
        for name in names {
            records.append(&dir.join(name), kind.label_counts)?;
        }
        Dataset::new(kind.name, SHAPE, records.images, records.labels, classes.clone())
    };
    let normalization = Normalization { mean: mean.into(), std: std.into() };
    Split::new(part(kind.train)?, part(kind.test)?, normalization)
}

fn check_present(kind: &Kind, dir: &Path, name: &str) -> Result<()> {
    if dir.join(name).is_file() {
        return Ok(());
    }
    let names = [kind.train, kind.test].concat().join(", ");
    let problem = format!(
        "expected {names} in this folder or its subfolder {}, but {name} is missing; \
         get the binary version from https://www.cs.toronto.edu/~kriz/cifar.html",
        kind.folder
    );
    Err(Error::data(dir, problem))
}

#[derive(Default)]
struct Records {
    images: Vec<u8>,
    labels: Vec<u32>,
}

impl Records {
    fn append(&mut self, path: &Path, label_counts: &[u8]) -> Result<()> {
        let record_len = label_counts.len() + PIXELS;
        for (index, record) in read(path, record_len)?.chunks_exact(record_len).enumerate() {
            let (labels, pixels) = record.split_at(label_counts.len());
            for (label, count) in labels.iter().zip(label_counts) {
                if label >= count {
                    let problem = format!("record {index} has label {label}, expected less than {count}");
                    return Err(Error::data(path, format!("{problem}; download the file again")));
                }
            }
            self.labels.extend(labels.last().map(|&class| u32::from(class)));
            self.images.extend_from_slice(pixels);
        }
        Ok(())
    }
}

/// Reads a file of one or more complete records.
fn read(path: &Path, record_len: usize) -> Result<Vec<u8>> {
    let found = match read_up_to(path, MAX_BYTES)? {
        None => format!("more than {MAX_BYTES} bytes"),
        Some(bytes) if bytes.is_empty() => "an empty file".to_owned(),
        Some(bytes) => match bytes.len() % record_len {
            0 => return Ok(bytes),
            rest => format!("{} bytes with a remainder of {rest}", bytes.len()),
        },
    };
    let problem = format!("expected records of {record_len} bytes, found {found}; download the file again");
    Err(Error::data(path, problem))
}
