//! The image files of a part of a folder: training, validation or test images.

use super::FolderOptions;
use crate::data::Dataset;
use crate::data::originals::Limit;
use crate::data::split::held_out;
use crate::data::walk::{EXTENSIONS, IgnoredFiles, folders, images, loose, name};
use crate::rng::{HOLD_OUT, SplitMix64};
use crate::{Error, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// The images of one split, not yet read.
#[derive(Clone)]
pub struct SplitFiles {
    pub classes: Vec<String>,
    /// Images and their classes, in order.
    pub files: Vec<(PathBuf, u32)>,
    pub ignored: IgnoredFiles,
    /// A note on images outside the class folders.
    pub loose: Option<String>,
}

impl SplitFiles {
    pub fn of(dir: &Path) -> Result<Self> {
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
    pub fn check_images(&self, dir: &Path) -> Result<()> {
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
    pub fn check_classes(&self, dir: &Path, test: &Self, test_dir: &Path) -> Result<()> {
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
    pub fn hold_out(self, options: &FolderOptions) -> Result<(Self, Self)> {
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
    pub fn limit(&self, options: &FolderOptions) -> Option<Limit> {
        let paths = self.files.iter().map(|(path, _)| path.as_path());
        Limit::find(paths, options.size, options.original_bytes)
    }

    /// Reads the images, with their originals if there is a limit for them; also returns those that could not be read, with the
    /// errors.
    pub fn load(
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
