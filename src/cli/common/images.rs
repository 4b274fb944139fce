//! Images named on the command line, and reports of skipped ones.

use super::terminal::note;
use super::text;
use std::path::PathBuf;
use striate::data::{self, Dataset, ImageFiles};
use striate::{Error, Result};

/// Exit code where some images were skipped.
pub const SKIPPED: i32 = 3;

/// Expands paths into images: files as they are, and the images in folders. Other files in the folders are reported on
/// standard error.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for path in paths {
        if path.is_dir() {
            let ImageFiles { images: found, ignored } = data::images(path)?;
            let others = (!ignored.is_empty()).then(|| ignored.to_string());
            if found.is_empty() {
                let others = others.map_or_else(String::new, |others| format!(" ({others})"));
                let problem =
                    format!("is a folder without images{others}; give images or a folder of images");
                return Err(Error::data(path, problem));
            }
            report_skipped(others.as_slice(), &[]);
            images.extend(found);
        } else {
            images.push(path.clone());
        }
    }
    match images.is_empty() {
        true => {
            Err(Error::argument("images", "none given; give images, or folders of images, after the weights"))
        }
        false => Ok(images),
    }
}

/// Most skipped images listed by name.
const MAX_LISTED: usize = 20;

/// Prints the notes and skipped images of a data set on standard error.
pub fn report_skipped(notes: &[String], skipped: &[(PathBuf, String)]) {
    for text in notes {
        note(&format!("note: {}", text::name(text)));
    }
    for (_, problem) in skipped.iter().take(MAX_LISTED) {
        note(&format!("skipped: {}", text::name(problem)));
    }
    match skipped.len() {
        0 => {}
        1 => note("note: skipped 1 image that could not be read"),
        count => note(&format!("note: skipped {count} images that could not be read")),
    }
}

/// Indices of up to `count` images, of as many classes as possible: the first of each, then the second of each.
pub fn images_of_all_classes(data: &Dataset, count: usize) -> Vec<usize> {
    let mut seen = vec![0; data.classes().len()];
    let mut ranked: Vec<(usize, u32, usize)> = Vec::with_capacity(data.len());
    for (index, &label) in data.labels().iter().enumerate() {
        ranked.push((seen[label as usize], label, index));
        seen[label as usize] += 1;
    }
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(_, _, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_different_classes_come_first() {
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let labels = vec![2, 2, 2, 0, 1, 0];
        let data = Dataset::new("letters", [1, 1, 1], (0..6).collect(), labels, classes).unwrap();
        assert_eq!(images_of_all_classes(&data, 4), [3, 4, 0, 5]);
        assert_eq!(images_of_all_classes(&data, 100).len(), 6);
    }
}
