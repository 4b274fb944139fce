//! Image folders: one folder per class.

mod layout;
mod split_files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image_file::{check_size, cover, decode, planes};
use super::originals::Limit;
use super::walk::{IgnoredFiles, folders, images, name};
use super::{Interpolation, Normalization, Original, Preprocessing, Split, TestSet};
use crate::{Error, Result};
use layout::Layout;
use split_files::SplitFiles;

/// Options of [`image_folder`].
#[derive(Debug, Clone, PartialEq)]
pub struct FolderOptions {
    /// `[height, width]` to which images are scaled and cropped. Default 64 x 64.
    pub size: [usize; 2],
    /// Fraction of each class that is held out for the test if there is no folder of test images; above 0 and below 1.
    /// Default 0.1.
    pub test_fraction: f64,
    /// Seed for choosing the held-out images. Default 0.
    pub seed: u64,
    /// Skip unreadable images, listing them in `skipped`, instead of failing. Default false.
    pub skip_broken: bool,
    /// Apply the EXIF orientation. Default true; ignored if there is a `preprocessing`, which has its own setting.
    pub exif_rotation: bool,
    /// Preprocessing of the same size to use instead of [`read_image`](super::read_image). Default `None`.
    pub preprocessing: Option<Preprocessing>,
    /// Keep the [originals](super::Dataset::original) of training images, scaled down so that they take at most this many bytes; none
    /// if they would be smaller than `size`. Default 0.
    pub original_bytes: u64,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            size: [64, 64],
            test_fraction: 0.1,
            seed: 0,
            skip_broken: false,
            exif_rotation: true,
            preprocessing: None,
            original_bytes: 0,
        }
    }
}

impl FolderOptions {
    fn check(&self) -> Result<()> {
        check_size(self.size)?;
        match &self.preprocessing {
            Some(own) if own.size != self.size => {
                let problem =
                    format!("has size {:?}, but {:?} was requested; use the same size", own.size, self.size);
                Err(Error::argument("preprocessing", problem))
            }
            Some(own) => own.check(),
            None => Ok(()),
        }
    }

    /// Reads an image into `output`, CHW; also returns its original if there is a limit for them.
    fn read_into(&self, path: &Path, limit: Option<Limit>, output: &mut [u8]) -> Result<Option<Original>> {
        let upright = self.preprocessing.as_ref().map_or(self.exif_rotation, |own| own.exif_rotation);
        let full = decode(path, upright)?;
        let image = match &self.preprocessing {
            Some(own) => own.scaled(&full),
            None => cover(&full, self.size, Interpolation::Bilinear),
        };
        planes(&image, output);
        Ok(limit.map(|limit| limit.original(&full)))
    }
}

/// Reads `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or only `DIR/CLASS/*`.
///
/// - Training images may also be in `training`, test images in `val`, `valid`, `validation` or `dev`, in upper or lower
///   case; the first with a folder per class is used. The second has the validation images. If there are no test images, a
///   fraction of each class is held out, always the same for the same files and seed.
/// - Classes are the sorted folder names. Subfolders belong to their class, and images are sorted by name.
/// - PNG, JPEG, BMP, GIF (its first frame) and WebP are read as RGB, cropped and scaled as by
///   [`read_image`](super::read_image). Other files are ignored with a note; hidden files are ignored silently.
/// - The normalization is measured on the training images.
///
/// ```
/// use striate::data::{FolderOptions, image_folder};
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let dir = temporary.path();
/// # for (class, gray) in [("day", 200), ("night", 20)] {
/// #     std::fs::create_dir(dir.join(class)).unwrap();
/// #     for i in 0..10 {
/// #         image::GrayImage::from_pixel(80, 60, [gray].into()).save(dir.join(class).join(format!("{i}.png"))).unwrap();
/// #     }
/// # }
/// // Ten images each in `day` and `night`.
/// let split = image_folder(dir, &FolderOptions { size: [48, 64], test_fraction: 0.2, ..Default::default() })?;
/// assert_eq!((split.train.len(), split.test.len()), (16, 4));
/// assert_eq!((split.train.shape(), split.train.classes()), ([3, 48, 64], &["day".to_owned(), "night".to_owned()][..]));
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] for an invalid option; [`Error::Data`] if there are fewer than two classes, a class has no training
/// or test images, or an image cannot be decoded; [`Error::Io`] if a folder or file cannot be read.
pub fn image_folder(dir: &Path, options: &FolderOptions) -> Result<Split> {
    options.check()?;
    let layout = Layout::of(dir)?;
    if let (Some(test), true) = (&layout.test, layout.train == dir) {
        let problem = format!("has test images ({}), but no training images; add a folder train", name(test));
        return Err(Error::data(dir, problem));
    }
    let train = SplitFiles::of(&layout.train)?;
    if let [class] = &train.classes[..] {
        let problem = format!(
            "expected at least two classes, found only {class}; choose a folder that has a folder of images per class"
        );
        return Err(Error::data(&layout.train, problem));
    }
    let same_classes = |folder: &PathBuf| {
        let files = SplitFiles::of(folder)?;
        train.check_classes(&layout.train, &files, folder).map(|()| files)
    };
    let validation = layout.validation.as_ref().map(same_classes).transpose()?;
    let (train, test) = match &layout.test {
        Some(folder) => {
            let test = same_classes(folder)?;
            (train, test)
        }
        None => {
            train.check_images(&layout.train)?;
            train.hold_out(options)?
        }
    };
    let parts: Vec<&SplitFiles> = [&train, &test].into_iter().chain(&validation).collect();
    let mut notes = notes(layout.note(dir), &parts);
    let bytes = options.original_bytes;
    let limit = (bytes > 0).then(|| train.limit(options));
    notes.extend(limit.and_then(|limit| Limit::note(limit, bytes)));
    let (train, mut skipped) = train.load(&name(dir), options, limit.flatten())?;
    let (test, more) = test.load(&name(dir), options, None)?;
    skipped.extend(more);
    let validation = match validation {
        Some(files) => {
            let (validation, more) = files.load(&name(dir), options, None)?;
            skipped.extend(more);
            Some(Arc::new(validation))
        }
        None => None,
    };
    let normalization = Normalization::measure(&train);
    Ok(Split { validation, notes, skipped, ..Split::new(train, test, normalization)? })
}

/// Reads test images from `DIR/test/CLASS/*` or another test folder of [`image_folder`]; without one, all images of
/// `DIR/train/CLASS/*` or of `DIR/CLASS/*`. A single class is enough.
///
/// The normalization is measured on these images.
///
/// # Errors
///
/// As for [`image_folder`].
pub fn image_folder_test(dir: &Path, options: &FolderOptions) -> Result<TestSet> {
    options.check()?;
    let layout = Layout::of(dir)?;
    let folder = layout.test.as_ref().unwrap_or(&layout.train);
    let files = SplitFiles::of(folder)?;
    files.check_images(folder)?;
    let notes = notes(layout.test.as_ref().and_then(|_| layout.note(dir)), &[&files]);
    let (data, skipped) = files.load(&name(dir), options, None)?;
    let normalization = Normalization::measure(&data);
    Ok(TestSet { data: Arc::new(data), normalization, notes, skipped })
}

/// The notes for the user: on the layout, on loose images, and on ignored files.
fn notes(layout: Option<String>, splits: &[&SplitFiles]) -> Vec<String> {
    let ignored = IgnoredFiles(splits.iter().flat_map(|split| split.ignored.0.clone()).collect());
    let loose = splits.iter().filter_map(|split| split.loose.clone());
    let ignored = (!ignored.is_empty()).then(|| ignored.to_string());
    layout.into_iter().chain(loose).chain(ignored).collect()
}

/// Whether a folder has folders of images, as [`image_folder`] expects.
pub(super) fn has_classes(dir: &Path) -> bool {
    let has_images = |folder: &PathBuf| images(folder).is_ok_and(|found| !found.images.is_empty());
    folders(dir).is_ok_and(|folders| folders.iter().any(has_images))
}

/// The files of [`image_folder`], not decoded.
#[derive(Debug, Clone)]
pub struct FolderFiles {
    /// The classes of the training images, with their files. If there are no test images, they are among them.
    pub classes: Vec<(String, Vec<PathBuf>)>,
    /// Whether there are validation images.
    pub has_validation: bool,
}

/// Lists the files that [`image_folder`] would read.
///
/// # Errors
///
/// As for [`image_folder`], as far as it does not concern the content of files.
pub fn image_folder_files(dir: &Path) -> Result<FolderFiles> {
    let layout = Layout::of(dir)?;
    let split = SplitFiles::of(&layout.train)?;
    let of_class = |class: u32| split.files.iter().filter(move |file| file.1 == class);
    let files = |class: u32| of_class(class).map(|file| file.0.clone()).collect();
    let classes = (0..).zip(&split.classes).map(|(class, name)| (name.clone(), files(class))).collect();
    Ok(FolderFiles { classes, has_validation: layout.validation.is_some() })
}
