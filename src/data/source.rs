//! Data sets by name.

use std::path::{Path, PathBuf};

use super::folder::has_classes;
use super::{
    FolderOptions, Preprocessing, Split, TestSet, cifar, cifar10, cifar100, fashion_mnist,
    fashion_mnist_subset, image_folder, image_folder_files, image_folder_test, mnist,
};
use crate::{Error, Result};

/// The names for [`open`].
pub const NAMES: [&str; 5] = ["fashion-mnist", "mnist", "cifar10", "cifar100", "folder"];

/// Opens a data set by name.
///
/// | name | content of `dir` | images |
/// | --- | --- | --- |
/// | `fashion-mnist` | the four IDX files; without `dir`, the 7,000 images built into the program | 1 x 28 x 28 |
/// | `mnist` | the four IDX files | 1 x 28 x 28 |
/// | `cifar10` | the binary files, directly or in `cifar-10-batches-bin` | 3 x 32 x 32 |
/// | `cifar100` | the binary files, directly or in `cifar-100-binary` | 3 x 32 x 32 |
/// | `folder` | one folder of images per class: see [`image_folder`] | 3 x `image_size` |
///
/// `image_size` is `[height, width]` in pixels. Only `folder` resizes, by default to 64 x 64; for the others, it must be
/// `None` or their own size.
///
/// ```
/// use striate::data::open;
/// let split = open("fashion-mnist", None, None)?;
/// assert_eq!((split.train.len(), split.test.len()), (6000, 1000));
/// assert_eq!((split.train.shape(), split.train.classes()[9].as_str()), ([1, 28, 28], "Ankle boot"));
/// assert!(open("cifar10", None, None).is_err()); // needs the folder with its files
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] for an unknown name, a missing `dir` or an invalid `image_size`; [`Error::Data`] and [`Error::Io`]
/// for files that are missing or invalid.
pub fn open(name: &str, dir: Option<&Path>, image_size: Option<[usize; 2]>) -> Result<Split> {
    Source { name: name.to_owned(), dir: dir.map(Path::to_owned), image_size, ..Source::default() }.open()
}

/// The name for [`open`] of the data set whose files a folder has. MNIST and Fashion-MNIST have files of the same names: it is
/// `fashion-mnist` if the folder's path contains "fashion".
///
/// # Errors
///
/// [`Error::Data`] if it is not a folder, or has no such files.
pub fn recognize(dir: &Path) -> Result<&'static str> {
    if !dir.is_dir() {
        let found = if dir.exists() { "is a file" } else { "does not exist" };
        return Err(Error::data(dir, format!("{found}; choose a folder with a folder of images per class")));
    }
    if mnist::is_in(dir) {
        let is_fashion = dir.to_string_lossy().to_lowercase().contains("fashion");
        return Ok(if is_fashion { "fashion-mnist" } else { "mnist" });
    }
    if let Some(name) = cifar::found_in(dir) {
        return Ok(name);
    }
    match image_folder_files(dir) {
        Ok(found) if found.classes.iter().any(|(_, files)| !files.is_empty()) => Ok("folder"),
        _ => {
            let problem = "expected a folder of images per class, or the files of MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100; \
                           found neither";
            Err(Error::data(dir, problem))
        }
    }
}

/// A data set to open, with its options.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// One of [`NAMES`].
    pub name: String,
    /// The folder of its files.
    pub dir: Option<PathBuf>,
    /// `[height, width]` of the images of a `folder`.
    pub image_size: Option<[usize; 2]>,
    /// Skip unreadable images of a `folder` instead of failing.
    pub skip_broken: bool,
    /// Apply the EXIF orientation to images of a `folder`. Default true; ignored if there is a `preprocessing`.
    pub exif_rotation: bool,
    /// Preprocessing of the images of a `folder`, including their size, instead of [`read_image`](super::read_image).
    pub preprocessing: Option<Preprocessing>,
    /// Fraction of the training images for validation ([`Split::with_validation`]).
    pub validation: Option<f64>,
    /// Memory for the originals of a `folder`'s training images, see [`FolderOptions::original_bytes`]. Default 0.
    pub original_bytes: u64,
}

impl Default for Source {
    fn default() -> Self {
        let name = String::new();
        Self {
            name,
            dir: None,
            image_size: None,
            skip_broken: false,
            exif_rotation: true,
            preprocessing: None,
            validation: None,
            original_bytes: 0,
        }
    }
}

impl Source {
    /// Opens training, validation and test images, see [`open`].
    ///
    /// # Errors
    ///
    /// As for [`open`] and [`Split::with_validation`].
    pub fn open(&self) -> Result<Split> {
        self.check_dir()?;
        let split = match (self.name.as_str(), &self.dir) {
            ("fashion-mnist", None) => fashion_mnist_subset(),
            ("fashion-mnist", Some(dir)) => fashion_mnist(dir),
            ("mnist", _) => mnist(self.needed()?),
            ("cifar10", _) => cifar10(self.needed()?),
            ("cifar100", _) => cifar100(self.needed()?),
            ("folder", _) => image_folder(self.needed()?, &self.options()),
            (name, _) => {
                let names = NAMES.join(", ");
                return Err(Error::argument("dataset", format!("{name:?} is not one of {names}")));
            }
        };
        let split = split.map_err(|error| self.suggest_folder(error))?;
        self.check_size(&split)?;
        match self.validation {
            // The same images whatever the seed of the training is.
            Some(fraction) => split.with_validation(fraction, 0),
            None => Ok(split),
        }
    }

    /// Opens only test images; for a `folder`, see [`image_folder_test`].
    ///
    /// # Errors
    ///
    /// As for [`open`].
    pub fn open_test(&self) -> Result<TestSet> {
        if self.name == "folder" {
            self.check_dir()?;
            return image_folder_test(self.needed()?, &self.options());
        }
        Ok(self.open()?.into())
    }

    fn needed(&self) -> Result<&Path> {
        let problem = || Error::argument("dir", format!("{} needs a folder with its files", self.name));
        self.dir.as_deref().ok_or_else(problem)
    }

    fn options(&self) -> FolderOptions {
        let default = FolderOptions::default();
        let preprocessing = self.preprocessing.clone();
        let size = preprocessing.as_ref().map(|own| own.size).or(self.image_size).unwrap_or(default.size);
        let Self { skip_broken, exif_rotation, original_bytes, .. } = *self;
        FolderOptions { size, skip_broken, exif_rotation, preprocessing, original_bytes, ..default }
    }

    fn check_dir(&self) -> Result<()> {
        match &self.dir {
            Some(dir) if NAMES.contains(&self.name.as_str()) && !dir.is_dir() => {
                let found = if dir.exists() { "is a file" } else { "does not exist" };
                Err(Error::data(dir, format!("{found}; choose the folder of {}'s files", self.name)))
            }
            _ => Ok(()),
        }
    }

    /// Replaces an error by a hint if the folder is an image folder rather than the data set named.
    fn suggest_folder(&self, error: Error) -> Error {
        match &self.dir {
            Some(dir) if self.name != "folder" && has_classes(dir) => {
                let problem =
                    format!("has folders of images, not the files of {}; use --dataset folder", self.name);
                Error::data(dir, problem)
            }
            _ => error,
        }
    }

    fn check_size(&self, split: &Split) -> Result<()> {
        let [_, height, width] = split.train.shape();
        match self.image_size {
            Some([h, w]) if [h, w] != [height, width] => Err(Error::argument(
                "image_size",
                format!(
                    "{} has images of {height} x {width} and is not resized to {h} x {w}; leave it out",
                    self.name
                ),
            )),
            _ => Ok(()),
        }
    }
}
