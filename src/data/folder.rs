//! Pictures in folders, one folder for every class.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::picture::{check_size, read_into};
use super::{Dataset, Normalization, Split};
use crate::rng::{HOLD_OUT, SplitMix64, permutation};
use crate::{Error, Result};

const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];
const TEST_FOLDERS: [&str; 2] = ["test", "val"];

/// How [`image_folder`] makes a data set from pictures of any size.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderOptions {
    /// The `[height, width]`, in pixels, to which every picture is scaled and cropped; 64 x 64.
    pub size: [usize; 2],
    /// The part of every class that is kept for the test where no folder holds test pictures, more
    /// than 0 and less than 1; 0.1.
    pub test_fraction: f64,
    /// Decides which pictures these are; 0.
    pub seed: u64,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { size: [64, 64], test_fraction: 0.1, seed: 0 }
    }
}

/// Reads `DIR/train/CLASS/*` and `DIR/test/CLASS/*` (or `val`), or only `DIR/CLASS/*`.
///
/// Where there are no test pictures, some of every class are held out: always the same ones for the
/// same files and seed. Classes are the names of the folders, sorted; pictures keep the order of
/// their names. PNG, JPEG, BMP, GIF (its first picture) and WebP are read as RGB; files with another
/// ending, and hidden ones, are passed over. Each picture is cropped and scaled as by
/// [`read_picture`](super::read_picture). The normalisation is measured on the training pictures.
///
/// # Errors
///
/// [`Error::Argument`] for an unusable option; [`Error::Data`] if there are no classes, a class has
/// no pictures, training and test classes differ, or a picture cannot be decoded; [`Error::Io`] if a
/// folder or file cannot be read.
pub fn image_folder(dir: &Path, options: &FolderOptions) -> Result<Split> {
    check_size(options.size)?;
    let (train, test) = list_split(dir, options)?;
    let name =
        dir.file_name().map_or_else(|| "folder".to_owned(), |name| name.to_string_lossy().into_owned());
    let train = train.load(&name, options.size)?;
    let test = test.load(&name, options.size)?;
    let normalization = Normalization::measure(&train);
    Split::new(train, test, normalization)
}

fn list_split(dir: &Path, options: &FolderOptions) -> Result<(Listing, Listing)> {
    let train_dir = dir.join("train");
    let test_dir = TEST_FOLDERS.iter().map(|name| dir.join(name)).find(|path| path.is_dir());
    // A folder `train` that has no folders is a class: pictures of trains.
    let split = train_dir.is_dir() && !subfolders(&train_dir)?.is_empty();
    let (train_dir, test_dir) = if split { (train_dir, test_dir) } else { (dir.to_owned(), None) };
    let train = Listing::of(&train_dir)?;
    let Some(test_dir) = test_dir else {
        return train.hold_out(options);
    };
    let test = Listing::of(&test_dir)?;
    train.check_classes_in(&test, &test_dir)?;
    test.check_classes_in(&train, &train_dir)?;
    Ok((train, test))
}

/// The pictures of one split, not yet read.
#[derive(Clone)]
struct Listing {
    classes: Vec<String>,
    /// Every picture and its class, in order.
    files: Vec<(PathBuf, u32)>,
}

impl Listing {
    fn of(dir: &Path) -> Result<Self> {
        let folders = subfolders(dir)?;
        if folders.is_empty() {
            let problem =
                "expected one folder of pictures for every class, found none; sort the pictures into folders";
            return Err(Error::data(dir, problem));
        }
        let mut listing = Self { classes: Vec::new(), files: Vec::new() };
        for (class, folder) in (0..).zip(folders) {
            let pictures = pictures(&folder)?;
            if pictures.is_empty() {
                let endings = EXTENSIONS.join(", ");
                let problem =
                    format!("expected pictures ({endings}), found none; add some or remove the folder");
                return Err(Error::data(folder, problem));
            }
            listing.classes.push(file_name(&folder));
            listing.files.extend(pictures.into_iter().map(|path| (path, class)));
        }
        Ok(listing)
    }

    /// Whether `other`, the listing of `dir`, has all classes of this one.
    fn check_classes_in(&self, other: &Self, dir: &Path) -> Result<()> {
        match self.classes.iter().find(|class| !other.classes.contains(class)) {
            None => Ok(()),
            Some(class) => Err(Error::data(
                dir,
                format!(
                    "expected the same classes in training and test, found no folder {class}; add it here"
                ),
            )),
        }
    }

    /// Splits off some pictures of every class; both halves keep their order.
    fn hold_out(self, options: &FolderOptions) -> Result<(Self, Self)> {
        let fraction = options.test_fraction;
        if !(fraction > 0.0 && fraction < 1.0) {
            let problem = format!("expected more than 0 and less than 1, found {fraction}");
            return Err(Error::argument("test_fraction", problem));
        }
        let part = || Self { classes: self.classes.clone(), files: Vec::new() };
        let (mut train, mut test) = (part(), part());
        for of_class in self.files.chunk_by(|a, b| a.1 == b.1) {
            let held_out = held_out(of_class, fraction, options.seed)?;
            for (file, held_out) in of_class.iter().zip(held_out) {
                if held_out { &mut test } else { &mut train }.files.push(file.clone());
            }
        }
        Ok((train, test))
    }

    fn load(self, name: &str, size: [usize; 2]) -> Result<Dataset> {
        let [height, width] = size;
        let image_len = 3 * height * width;
        let mut images = zeros(self.files.len(), image_len)?;
        let pairs = images.par_chunks_exact_mut(image_len).zip(&self.files);
        // `find_first`: of several bad pictures the same one is named each time.
        let failure =
            pairs.filter_map(|(image, (path, _))| read_into(path, size, image).err()).find_first(|_| true);
        if let Some(error) = failure {
            return Err(error);
        }
        let labels = self.files.iter().map(|&(_, class)| class).collect();
        Dataset::new(name, [3, height, width], images, labels, self.classes)
    }
}

/// For each picture of one class, whether it is kept for the test.
fn held_out(files: &[(PathBuf, u32)], fraction: f64, seed: u64) -> Result<Vec<bool>> {
    let (path, class) = &files[0];
    let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
    if count < 2 {
        let folder = path.parent().unwrap_or(path);
        let problem =
            "expected at least two pictures, one to learn from and one for the test, found one; add some";
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
            format!("{count} pictures of {image_len} bytes do not fit into memory; ask for smaller ones");
        return Err(Error::argument("image_size", problem));
    }
    bytes.resize(count * image_len, 0);
    Ok(bytes)
}

fn subfolders(dir: &Path) -> Result<Vec<PathBuf>> {
    visible(dir, |path| path.is_dir())
}

/// The pictures of a folder by their endings, sorted by name; hidden files are passed over.
///
/// # Errors
///
/// [`Error::Io`] if the folder cannot be read.
pub fn pictures(dir: &Path) -> Result<Vec<PathBuf>> {
    let ends_well = |path: &Path| {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
    };
    visible(dir, |path| ends_well(path) && path.is_file())
}

/// What a folder holds and `keep` approves, sorted by name, without hidden entries.
fn visible(dir: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir, "read"))? {
        let path = entry.map_err(Error::io(dir, "read"))?.path();
        if !file_name(&path).starts_with('.') && keep(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
