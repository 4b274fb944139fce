//! Image folders: one folder per class.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::image_file::{check_size, cover, decode, planes};
use super::originals::Limit;
use super::split::held_out;
use super::walk::{EXTENSIONS, IgnoredFiles, folders, images, loose, name};
use super::{Dataset, Interpolation, Normalization, Original, Preprocessing, Split, TestSet};
use crate::rng::{HOLD_OUT, SplitMix64};
use crate::{Error, Result};

/// Folder names, in lower case.
const TRAIN_FOLDERS: [&str; 2] = ["train", "training"];
const TEST_FOLDERS: [&str; 5] = ["test", "val", "valid", "validation", "dev"];

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
    /// Keep the [originals](Dataset::original) of training images, scaled down so that they take at most this many bytes; none
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
    /// Whether there are test images.
    pub has_test: bool,
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
    let (has_test, has_validation) = (layout.test.is_some(), layout.validation.is_some());
    Ok(FolderFiles { classes, has_test, has_validation })
}

/// The folders that have the classes.
struct Layout {
    train: PathBuf,
    /// `None` if test images are held out of the training images.
    test: Option<PathBuf>,
    validation: Option<PathBuf>,
    /// Other folders, which are not read.
    unread: Vec<String>,
}

impl Layout {
    fn of(dir: &Path) -> Result<Self> {
        let all = folders(dir)?;
        let called = |wanted: &str| all.iter().find(|path| name(path).to_lowercase() == wanted);
        // A folder `train` without subfolders is a class: images of trains.
        let train = TRAIN_FOLDERS.iter().find_map(|name| called(name)).filter(|path| has_folders(path));
        let classes: Vec<String> = match train {
            Some(train) => folders(train)?.iter().map(|path| name(path)).collect(),
            None => Vec::new(),
        };
        let labeled = |path: &&PathBuf| {
            let own = folders(path).unwrap_or_default();
            own.len() > 1 || own.iter().any(|path| classes.contains(&name(path)))
        };
        let mut labeled = TEST_FOLDERS.iter().filter_map(|name| called(name)).filter(labeled);
        let test = labeled.next();
        let validation = labeled.next().filter(|_| train.is_some());
        if train.is_none() && test.is_none() {
            return Ok(Self { train: dir.to_owned(), test: None, validation: None, unread: Vec::new() });
        }
        let read = |path: &&PathBuf| [train, test, validation].contains(&Some(*path));
        let unread = all.iter().filter(|path| !read(path)).map(|path| name(path)).collect();
        let (test, validation) = (test.cloned(), validation.cloned());
        Ok(Self { train: train.map_or(dir, PathBuf::as_path).to_owned(), test, validation, unread })
    }

    /// A note on which folders are used and which are not, where that is not obvious.
    fn note(&self, dir: &Path) -> Option<String> {
        let unread = self.unread.join(", ");
        let read = match &self.test {
            _ if self.unread.is_empty() => return None,
            Some(test) => format!("test images come from {}", name(test)),
            None => "test images are held out of the training images".to_owned(),
        };
        Some(format!("{}: {read}; ignored {unread}", dir.display()))
    }
}

fn has_folders(path: &Path) -> bool {
    folders(path).is_ok_and(|folders| !folders.is_empty())
}

/// The images of one split, not yet read.
#[derive(Clone)]
struct SplitFiles {
    classes: Vec<String>,
    /// Images and their classes, in order.
    files: Vec<(PathBuf, u32)>,
    ignored: IgnoredFiles,
    /// A note on images outside the class folders.
    loose: Option<String>,
}

impl SplitFiles {
    fn of(dir: &Path) -> Result<Self> {
        let folders = folders(dir)?;
        if folders.is_empty() {
            let problem = "expected one folder of images per class, found none; sort the images into folders";
            return Err(Error::data(dir, problem));
        }
        let beside = |count: usize| {
            let images = if count == 1 { "1 image" } else { &format!("{count} images") };
            format!("{}: ignored {images} outside the class folders", dir.display())
        };
        let loose = Some(loose(dir)).filter(|count| *count > 0).map(beside);
        let (classes, files, ignored) = (Vec::new(), Vec::new(), IgnoredFiles::default());
        let mut split = Self { classes, files, ignored, loose };
        for (class, folder) in (0..).zip(folders) {
            let found = images(&folder)?;
            split.classes.push(name(&folder));
            split.files.extend(found.images.into_iter().map(|path| (path, class)));
            split.ignored.0.extend(found.ignored.0);
        }
        Ok(split)
    }

    /// Classes that have images.
    fn filled(&self) -> Vec<&String> {
        let has = |class: u32| self.files.binary_search_by_key(&class, |file| file.1).is_ok();
        (0..).zip(&self.classes).filter(|(class, _)| has(*class)).map(|(_, name)| name).collect()
    }

    /// Fails for a class without images.
    fn check_images(&self, dir: &Path) -> Result<()> {
        let filled = self.filled();
        match self.classes.iter().find(|class| !filled.contains(class)) {
            None => Ok(()),
            Some(class) => Err(Error::data(
                dir.join(class),
                format!(
                    "expected images ({}), found none; add some or remove the folder",
                    EXTENSIONS.join(", ")
                ),
            )),
        }
    }

    /// Fails for a class without training images, `self`, or without test images. Its folder may be empty or missing.
    fn check_classes(&self, dir: &Path, test: &Self, test_dir: &Path) -> Result<()> {
        let [filled, test_filled] = [self.filled(), test.filled()];
        for class in self.classes.iter().chain(&test.classes) {
            let lacking = match (filled.contains(&class), test_filled.contains(&class)) {
                (true, true) => continue,
                (true, false) => test_dir,
                (false, _) => dir,
            };
            let [here, there] = [dir, test_dir].map(|part| part.join(class).display().to_string());
            let problem = format!(
                "has no images of class {class}; add some to {}, or drop the class: remove {here} and {there}",
                lacking.join(class).display()
            );
            return Err(Error::data(lacking, problem));
        }
        Ok(())
    }

    /// Splits off a fraction of each class; both parts keep their order.
    fn hold_out(self, options: &FolderOptions) -> Result<(Self, Self)> {
        let fraction = options.test_fraction;
        if !(fraction > 0.0 && fraction < 1.0) {
            let problem = format!("must be above 0 and below 1, got {fraction}");
            return Err(Error::argument("test_fraction", problem));
        }
        // Notes stay with the training images, so that they are not repeated.
        let mut test =
            Self { files: Vec::new(), ignored: IgnoredFiles::default(), loose: None, ..self.clone() };
        let mut train = Self { files: Vec::new(), ..self.clone() };
        for of_class in self.files.chunk_by(|a, b| a.1 == b.1) {
            let is_held_out = held_out_of(of_class, fraction, options.seed)?;
            for (file, is_held_out) in of_class.iter().zip(is_held_out) {
                if is_held_out { &mut test } else { &mut train }.files.push(file.clone());
            }
        }
        Ok((train, test))
    }

    /// The limit for originals of these images.
    fn limit(&self, options: &FolderOptions) -> Option<Limit> {
        let paths = self.files.iter().map(|(path, _)| path.as_path());
        Limit::find(paths, options.size, options.original_bytes)
    }

    /// Reads the images, with their originals if there is a limit for them; also returns those that could not be read, with the
    /// errors.
    fn load(
        mut self,
        name: &str,
        options: &FolderOptions,
        limit: Option<Limit>,
    ) -> Result<(Dataset, Vec<(PathBuf, String)>)> {
        let [height, width] = options.size;
        let image_len = 3 * height * width;
        let mut images = zeros(self.files.len(), image_len)?;
        let mut originals = vec![None; self.files.len()];
        let slots = images.par_chunks_exact_mut(image_len).zip(&mut originals).zip(&self.files);
        let failures = slots.enumerate().filter_map(|(index, ((image, original), (path, _)))| {
            let read = options.read_into(path, limit, image).map(|read| *original = read);
            read.err().map(|error| (index, error))
        });
        let failures: Vec<(usize, Error)> = match options.skip_broken {
            true => failures.collect(),
            // `find_first`, so that the same of several bad images is reported each time.
            false => match failures.find_first(|_| true) {
                Some((_, error)) => return Err(with_remedy(error)),
                None => Vec::new(),
            },
        };
        let filled: Vec<String> = self.filled().into_iter().cloned().collect();
        let skipped: Vec<(PathBuf, String)> =
            failures.iter().map(|(index, error)| (self.files[*index].0.clone(), error.to_string())).collect();
        let broken = |index: &usize| failures.binary_search_by_key(index, |failure| failure.0).is_ok();
        let whole: Vec<usize> = (0..self.files.len()).filter(|index| !broken(index)).collect();
        for (to, from) in whole.iter().enumerate() {
            images.copy_within(from * image_len..(from + 1) * image_len, to * image_len);
        }
        images.truncate(whole.len() * image_len);
        self.files = whole.iter().map(|index| self.files[*index].clone()).collect();
        let left = self.filled();
        if let Some(class) = filled.iter().find(|class| !left.contains(class)) {
            let problem = format!("no image of class {class} can be read; add some or remove the class");
            return Err(Error::argument(name, problem));
        }
        let labels = self.files.iter().map(|&(_, class)| class).collect();
        let dataset = Dataset::new(name, [3, height, width], images, labels, self.classes)?;
        Ok(match limit {
            // Unreadable images have none.
            Some(_) => (dataset.with_originals(originals.into_iter().flatten().collect())?, skipped),
            None => (dataset, skipped),
        })
    }
}

fn with_remedy(error: Error) -> Error {
    match error {
        Error::Data { path, problem } => {
            Error::data(path, format!("{problem}, or skip such images (--skip-broken)"))
        }
        other => other,
    }
}

/// Which images of one class are held out for the test.
fn held_out_of(files: &[(PathBuf, u32)], fraction: f64, seed: u64) -> Result<Vec<bool>> {
    let (path, class) = &files[0];
    if files.len() < 2 {
        let folder = path.parent().unwrap_or(path);
        let problem =
            "expected at least two images, one for training and one for the test, found one; add some";
        return Err(Error::data(folder, problem));
    }
    let mut generator = SplitMix64::keyed(seed, &[HOLD_OUT, u64::from(*class)]);
    let mut is_held_out = vec![false; files.len()];
    held_out(files.len(), fraction, &mut generator).into_iter().for_each(|index| is_held_out[index] = true);
    Ok(is_held_out)
}

fn zeros(count: usize, image_len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let total = count.checked_mul(image_len);
    if total.is_none_or(|total| bytes.try_reserve_exact(total).is_err()) {
        let problem = format!("{count} images of {image_len} bytes do not fit in memory; use a smaller size");
        return Err(Error::argument("image_size", problem));
    }
    bytes.resize(count * image_len, 0);
    Ok(bytes)
}
