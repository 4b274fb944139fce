//! Images in folders, one folder for every class.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::image_file::{check_size, covering, planes};
use super::walk::{EXTENSIONS, PassedOver, folders, images, loose, name};
use super::{Dataset, Normalization, Preprocessing, Split, TestSet};
use crate::rng::{HOLD_OUT, SplitMix64, permutation};
use crate::{Error, Result};

/// Names of folders, in small letters.
const TRAIN_FOLDERS: [&str; 2] = ["train", "training"];
const TEST_FOLDERS: [&str; 5] = ["test", "val", "valid", "validation", "dev"];

/// How [`image_folder`] makes a data set from images of any size.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderOptions {
    /// The `[height, width]`, in pixels, to which every image is scaled and cropped; 64 x 64.
    pub size: [usize; 2],
    /// The part of every class that is kept for the test where no folder holds test images, more
    /// than 0 and less than 1; 0.1.
    pub test_fraction: f64,
    /// Decides which images these are; 0.
    pub seed: u64,
    /// Whether an image that cannot be read is left out, and told in `skipped`, instead of being an error; no.
    pub skip_broken: bool,
    /// Whether images are turned as their EXIF data say; yes. `preprocessing` says it itself.
    pub exif_rotation: bool,
    /// What else is done to images than [`read_image`](super::read_image) does, of the same size; nothing.
    pub preprocessing: Option<Preprocessing>,
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
        }
    }
}

impl FolderOptions {
    fn check(&self) -> Result<()> {
        check_size(self.size)?;
        match &self.preprocessing {
            Some(own) if own.size != self.size => {
                let problem =
                    format!("is for {:?}, and not for {:?}; give the same size", own.size, self.size);
                Err(Error::argument("preprocessing", problem))
            }
            Some(own) => own.check(),
            None => Ok(()),
        }
    }

    /// Writes the image of a file over `output`, CHW.
    fn read_into(&self, path: &Path, output: &mut [u8]) -> Result<()> {
        let image = match &self.preprocessing {
            Some(own) => own.image(path),
            None => covering(path, self.size, self.exif_rotation),
        };
        planes(&image?, output);
        Ok(())
    }
}

/// Reads `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or only `DIR/CLASS/*`.
///
/// Training images may also be in `training`, test images in `val`, `valid`, `validation` or `dev`, in letters of any
/// case; the first of these that has a folder for each class is taken. Where there are no test images, some of
/// every class are held out: always the same ones for the same files and seed. Classes are the names of the folders, sorted;
/// folders in them are theirs too; images keep the order of their names. PNG, JPEG, BMP, GIF (its first image) and WebP are
/// read as RGB; files with another ending are passed over, which a note tells, and hidden ones. Each image is cropped and scaled
/// as by [`read_image`](super::read_image). The normalisation is measured on the training images.
///
/// # Errors
///
/// [`Error::Argument`] for an unusable option; [`Error::Data`] if there are fewer than two classes, a class has
/// no images to learn from or to be tested with, or an image cannot be decoded; [`Error::Io`] if a folder or file cannot be read.
pub fn image_folder(dir: &Path, options: &FolderOptions) -> Result<Split> {
    options.check()?;
    let layout = Layout::of(dir)?;
    if let (Some(test), true) = (&layout.test, layout.train == dir) {
        let problem =
            format!("holds test images ({}), but no folder train to learn from; add it", name(test));
        return Err(Error::data(dir, problem));
    }
    let train = SplitFiles::of(&layout.train)?;
    if let [class] = &train.classes[..] {
        let problem = format!(
            "expected at least two classes, found only {class}; give the folder that holds a folder of images for each class"
        );
        return Err(Error::data(&layout.train, problem));
    }
    let mut notes: Vec<String> = layout.note(dir).into_iter().collect();
    let (train, test) = match &layout.test {
        Some(folder) => {
            let test = SplitFiles::of(folder)?;
            train.check_classes(&layout.train, &test, folder)?;
            (train, test)
        }
        None => {
            train.check_images(&layout.train)?;
            train.hold_out(options)?
        }
    };
    let mut passed_over = train.passed_over.clone();
    passed_over.0.extend_from_slice(&test.passed_over.0);
    notes.extend([&train, &test].into_iter().filter_map(|files| files.loose.clone()));
    notes.extend((!passed_over.is_empty()).then(|| passed_over.to_string()));
    let (train, mut skipped) = train.load(&name(dir), options)?;
    let (test, more) = test.load(&name(dir), options)?;
    skipped.extend(more);
    let normalization = Normalization::measure(&train);
    Ok(Split { notes, skipped, ..Split::new(train, test, normalization)? })
}

/// Reads the images to judge a network by: those of `DIR/test/CLASS/*` (or another folder that [`image_folder`] takes test
/// images from), else all of `DIR/train/CLASS/*`, else all of `DIR/CLASS/*`. There may be one class alone.
///
/// The normalisation is measured on these images.
///
/// # Errors
///
/// As [`image_folder`].
pub fn image_folder_test(dir: &Path, options: &FolderOptions) -> Result<TestSet> {
    options.check()?;
    let layout = Layout::of(dir)?;
    let folder = layout.test.as_ref().unwrap_or(&layout.train);
    let files = SplitFiles::of(folder)?;
    files.check_images(folder)?;
    let mut notes: Vec<String> = layout.test.as_ref().and_then(|_| layout.note(dir)).into_iter().collect();
    notes.extend(files.loose.clone());
    notes.extend((!files.passed_over.is_empty()).then(|| files.passed_over.to_string()));
    let (data, skipped) = files.load(&name(dir), options)?;
    let normalization = Normalization::measure(&data);
    Ok(TestSet { data: Arc::new(data), normalization, notes, skipped })
}

/// Whether a folder holds folders of images, as [`image_folder`] wants it.
pub(super) fn has_classes(dir: &Path) -> bool {
    let has_images = |folder: &PathBuf| images(folder).is_ok_and(|found| !found.images.is_empty());
    folders(dir).is_ok_and(|folders| folders.iter().any(has_images))
}

/// Which folders hold the classes.
struct Layout {
    train: PathBuf,
    /// None if test images are among the others.
    test: Option<PathBuf>,
    /// Folders beside these that are not read.
    unread: Vec<String>,
}

impl Layout {
    fn of(dir: &Path) -> Result<Self> {
        let all = folders(dir)?;
        let called = |wanted: &str| all.iter().find(|path| name(path).to_lowercase() == wanted);
        // A folder `train` that has no folders is a class: images of trains.
        let train = TRAIN_FOLDERS.iter().find_map(|name| called(name)).filter(|path| has_folders(path));
        let classes: Vec<String> = match train {
            Some(train) => folders(train)?.iter().map(|path| name(path)).collect(),
            None => Vec::new(),
        };
        let labelled = |path: &&PathBuf| {
            let own = folders(path).unwrap_or_default();
            own.len() > 1 || own.iter().any(|path| classes.contains(&name(path)))
        };
        let test = TEST_FOLDERS.iter().filter_map(|name| called(name)).find(labelled);
        if train.is_none() && test.is_none() {
            return Ok(Self { train: dir.to_owned(), test: None, unread: Vec::new() });
        }
        let read = |path: &&PathBuf| Some(*path) == train || Some(*path) == test;
        let unread = all.iter().filter(|path| !read(path)).map(|path| name(path)).collect();
        Ok(Self { train: train.map_or(dir, PathBuf::as_path).to_owned(), test: test.cloned(), unread })
    }

    /// What somebody might be surprised by.
    fn note(&self, dir: &Path) -> Option<String> {
        let unread = self.unread.join(", ");
        let read = match &self.test {
            _ if self.unread.is_empty() => return None,
            Some(test) => format!("test images are those of {}", name(test)),
            None => "test images are held out of the training images".to_owned(),
        };
        Some(format!("{}: {read}; {unread} not read", dir.display()))
    }
}

fn has_folders(path: &Path) -> bool {
    folders(path).is_ok_and(|folders| !folders.is_empty())
}

/// The images of one split, not yet read.
#[derive(Clone)]
struct SplitFiles {
    classes: Vec<String>,
    /// Every image and its class, in order.
    files: Vec<(PathBuf, u32)>,
    passed_over: PassedOver,
    /// That images beside the folders belong to no class.
    loose: Option<String>,
}

impl SplitFiles {
    fn of(dir: &Path) -> Result<Self> {
        let folders = folders(dir)?;
        if folders.is_empty() {
            let problem =
                "expected one folder of images for every class, found none; sort the images into folders";
            return Err(Error::data(dir, problem));
        }
        let beside = |count: usize| {
            let images = if count == 1 { "1 image is" } else { &format!("{count} images are") };
            format!("{}: {images} in no folder of a class, and not read", dir.display())
        };
        let loose = Some(loose(dir)).filter(|count| *count > 0).map(beside);
        let (classes, files, passed_over) = (Vec::new(), Vec::new(), PassedOver::default());
        let mut split = Self { classes, files, passed_over, loose };
        for (class, folder) in (0..).zip(folders) {
            let found = images(&folder)?;
            split.classes.push(name(&folder));
            split.files.extend(found.images.into_iter().map(|path| (path, class)));
            split.passed_over.0.extend(found.passed_over.0);
        }
        Ok(split)
    }

    /// Classes that have images.
    fn filled(&self) -> Vec<&String> {
        let has = |class: u32| self.files.binary_search_by_key(&class, |file| file.1).is_ok();
        (0..).zip(&self.classes).filter(|(class, _)| has(*class)).map(|(_, name)| name).collect()
    }

    /// Refuses a class without images.
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

    /// Refuses a class without images in these, of training images, or in the other, of test images: whether a folder
    /// is empty or not there is the same.
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
                "has no images of class {class}; add some to {}, or leave the class out: remove {here} and {there}",
                lacking.join(class).display()
            );
            return Err(Error::data(lacking, problem));
        }
        Ok(())
    }

    /// Splits off some images of every class; both halves keep their order.
    fn hold_out(self, options: &FolderOptions) -> Result<(Self, Self)> {
        let fraction = options.test_fraction;
        if !(fraction > 0.0 && fraction < 1.0) {
            let problem = format!("expected more than 0 and less than 1, found {fraction}");
            return Err(Error::argument("test_fraction", problem));
        }
        // Notes are not said twice.
        let mut test =
            Self { files: Vec::new(), passed_over: PassedOver::default(), loose: None, ..self.clone() };
        let mut train = Self { files: Vec::new(), ..self.clone() };
        for of_class in self.files.chunk_by(|a, b| a.1 == b.1) {
            let held_out = held_out(of_class, fraction, options.seed)?;
            for (file, held_out) in of_class.iter().zip(held_out) {
                if held_out { &mut test } else { &mut train }.files.push(file.clone());
            }
        }
        Ok((train, test))
    }

    /// The images, and those that could not be read, with why.
    fn load(mut self, name: &str, options: &FolderOptions) -> Result<(Dataset, Vec<(PathBuf, String)>)> {
        let [height, width] = options.size;
        let image_len = 3 * height * width;
        let mut images = zeros(self.files.len(), image_len)?;
        let pairs = images.par_chunks_exact_mut(image_len).zip(&self.files);
        let failures = pairs.enumerate().filter_map(|(index, (image, (path, _)))| {
            options.read_into(path, image).err().map(|error| (index, error))
        });
        let failures: Vec<(usize, Error)> = match options.skip_broken {
            true => failures.collect(),
            // `find_first`: of several bad images the same one is named each time.
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
        for (place, index) in whole.iter().enumerate() {
            images.copy_within(index * image_len..(index + 1) * image_len, place * image_len);
        }
        images.truncate(whole.len() * image_len);
        self.files = whole.iter().map(|index| self.files[*index].clone()).collect();
        let left = self.filled();
        if let Some(class) = filled.iter().find(|class| !left.contains(class)) {
            let problem = format!("no image of class {class} can be read; add some or leave the class out");
            return Err(Error::argument(name, problem));
        }
        let labels = self.files.iter().map(|&(_, class)| class).collect();
        Ok((Dataset::new(name, [3, height, width], images, labels, self.classes)?, skipped))
    }
}

fn with_remedy(error: Error) -> Error {
    match error {
        Error::Data { path, problem } => {
            Error::data(path, format!("{problem}, or leave such images out (--skip-broken)"))
        }
        other => other,
    }
}

/// For each image of one class, whether it is kept for the test.
fn held_out(files: &[(PathBuf, u32)], fraction: f64, seed: u64) -> Result<Vec<bool>> {
    let (path, class) = &files[0];
    let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
    if count < 2 {
        let folder = path.parent().unwrap_or(path);
        let problem =
            "expected at least two images, one to learn from and one for the test, found one; add some";
        return Err(Error::data(folder, problem));
    }
    let wanted = ((f64::from(count) * fraction).round() as u32).clamp(1, count - 1);
    let mut held_out = vec![false; files.len()];
    let order = permutation(&mut SplitMix64::keyed(seed, &[HOLD_OUT, u64::from(*class)]), count);
    order.iter().take(wanted as usize).for_each(|&index| held_out[index as usize] = true);
    Ok(held_out)
}

fn zeros(count: usize, image_len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let total = count.checked_mul(image_len);
    if total.is_none_or(|total| bytes.try_reserve_exact(total).is_err()) {
        let problem =
            format!("{count} images of {image_len} bytes do not fit into memory; ask for smaller ones");
        return Err(Error::argument("image_size", problem));
    }
    bytes.resize(count * image_len, 0);
    Ok(bytes)
}
