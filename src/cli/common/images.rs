//! Images named on the command line, and reports of those that are skipped.

use super::terminal::note;
use super::text;
use std::path::PathBuf;
use striate::data::{self, ImageFiles};
use striate::{Error, Result};

/// Exit code where some images were skipped.
pub const SKIPPED: i32 = 3;

/// Expands paths into images: files as they are, and the images in folders. Other files in the folders are reported on
/// standard error.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for path in paths {
        if path.is_dir() {
            let ImageFiles { images: found, passed_over } = data::images(path)?;
            if found.is_empty() {
                let besides =
                    if passed_over.is_empty() { String::new() } else { format!(" ({passed_over})") };
                let problem =
                    format!("is a folder without images{besides}; give images or a folder of images");
                return Err(Error::data(path, problem));
            }
            if !passed_over.is_empty() {
                tell(&[passed_over.to_string()], &[]);
            }
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

/// Skipped images that are named.
const NAMED: usize = 20;

/// Reports on standard error what the reader of a data set noticed.
pub fn tell(notes: &[String], skipped: &[(PathBuf, String)]) {
    for notice in notes {
        note(&format!("note: {}", text::name(notice)));
    }
    for (_, problem) in skipped.iter().take(NAMED) {
        note(&format!("skipped: {}", text::name(problem)));
    }
    match skipped.len() {
        0 => {}
        1 => note("note: 1 image could not be read and is left out"),
        all => note(&format!("note: {all} images could not be read and are left out")),
    }
}
