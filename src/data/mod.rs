//! Data sets, augmentation and the loader that feeds the device.
//!
//! A [`Split`] holds the training and the test pictures in memory, as bytes. A [`Loader`] turns one
//! of them into shuffled, augmented, normalised batches on worker threads.
//!
//! ```
//! use striate::data::{Augment, Loader, LoaderConfig, open};
//!
//! let split = open("fashion-mnist", None, None)?;
//! let augment = Augment { crop_padding: 2, flip: true };
//! let config = LoaderConfig { batch_size: 64, shuffle: true, augment: Some(augment), ..Default::default() };
//! let mut loader = Loader::new(split.train.clone(), &split.normalization, config)?;
//! assert_eq!(loader.len(), 94); // 6,000 pictures: 93 batches of 64 and one of 48
//! while let Some(batch) = loader.next() {
//!     assert_eq!(batch.images.len(), batch.size * 28 * 28);
//!     loader.recycle(batch);
//! }
//! # Ok::<(), striate::Error>(())
//! ```

mod augment;
mod cifar;
mod dataset;
mod fashion;
mod folder;
mod idx;
mod loader;
mod mix;
mod mnist;
mod picture;
mod prefetch;
mod preprocess;
mod resample;

use std::path::Path;

use crate::{Error, Result};

pub use augment::{Augment, Placement};
pub use cifar::{CIFAR10_CLASSES, cifar10, cifar100};
pub use dataset::{Dataset, Normalization, Split, read_class_names};
pub use fashion::fashion_mnist_subset;
pub use folder::{FolderOptions, image_folder, pictures};
pub use idx::{IdxImages, read_idx_images, read_idx_labels};
pub use loader::{Batch, Loader, LoaderConfig};
pub use mix::Mix;
pub use mnist::{FASHION_MNIST_CLASSES, fashion_mnist, mnist};
pub use picture::read_picture;
pub use prefetch::Prefetch;
pub use preprocess::Preprocessing;
pub use resample::Interpolation;

/// The names that [`open`] knows.
pub const NAMES: [&str; 5] = ["fashion-mnist", "mnist", "cifar10", "cifar100", "folder"];

/// Opens a data set by its name.
///
/// | name | what `dir` holds | pictures |
/// | --- | --- | --- |
/// | `fashion-mnist` | the four IDX files; without `dir`, the 7,000 pictures built into the program | 1 x 28 x 28 |
/// | `mnist` | the four IDX files | 1 x 28 x 28 |
/// | `cifar10` | the binary files, or `cifar-10-batches-bin` with them | 3 x 32 x 32 |
/// | `cifar100` | the binary files, or `cifar-100-binary` with them | 3 x 32 x 32 |
/// | `folder` | one folder of pictures for every class: see [`image_folder`] | 3 x `image_size` |
///
/// `image_size` is `[height, width]` in pixels. Only `folder` resizes (to 64 x 64 if not told); for
/// the others it may be left out, and must otherwise be the size that they have.
///
/// # Errors
///
/// [`Error::Argument`] for an unknown name, a missing `dir` or an unusable `image_size`;
/// [`Error::Data`] and [`Error::Io`] for files that are missing or not what they should be.
pub fn open(name: &str, dir: Option<&Path>, image_size: Option<[usize; 2]>) -> Result<Split> {
    let needed = || {
        dir.ok_or_else(|| Error::argument("dir", format!("{name} needs the folder of its files; give it")))
    };
    if let Some(dir) = dir.filter(|dir| NAMES.contains(&name) && !dir.is_dir()) {
        let found = if dir.exists() { "is a file" } else { "is not there" };
        return Err(Error::data(dir, format!("{found}; give the folder of {name}'s files")));
    }
    let split = match name {
        "fashion-mnist" => dir.map_or_else(fashion_mnist_subset, fashion_mnist)?,
        "mnist" => mnist(needed()?)?,
        "cifar10" => cifar10(needed()?)?,
        "cifar100" => cifar100(needed()?)?,
        "folder" => {
            let mut options = FolderOptions::default();
            options.size = image_size.unwrap_or(options.size);
            image_folder(needed()?, &options)?
        }
        _ => {
            let names = NAMES.join(", ");
            return Err(Error::argument("dataset", format!("{name:?} is not one of {names}")));
        }
    };
    check_size(name, &split, image_size)?;
    Ok(split)
}

fn check_size(name: &str, split: &Split, image_size: Option<[usize; 2]>) -> Result<()> {
    let [_, height, width] = split.train.shape();
    match image_size {
        Some([h, w]) if [h, w] != [height, width] => Err(Error::argument(
            "image_size",
            format!(
                "{name} has pictures of {height} x {width} and is not resized to {h} x {w}; leave it out"
            ),
        )),
        _ => Ok(()),
    }
}
