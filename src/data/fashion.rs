//! The subset of Fashion-MNIST that is built into the library. `data/fashion-mnist/README.md` has its origin and license
//! (MIT).

use std::path::Path;

use super::Split;
use super::idx::{parse_images, parse_labels};
use super::mnist::{FASHION_MNIST, Part, split};
use crate::Result;

/// A bundled file's path, for messages, and its bytes.
macro_rules! bundled {
    ($name:literal) => {
        (
            Path::new(concat!("data/fashion-mnist/", $name)),
            include_bytes!(concat!("../../data/fashion-mnist/", $name)).as_slice(),
        )
    };
}

type Bundled = (&'static Path, &'static [u8]);

/// The first 600 training and 100 test images of each of Fashion-MNIST's ten classes.
///
/// They are 28 x 28 grayscale images in the order of the original files, and part of the program. Expect lower accuracy
/// than on the full data set.
///
/// ```
/// let split = striate::data::fashion_mnist_subset()?;
/// assert_eq!((split.train.len(), split.test.len()), (6000, 1000));
/// assert_eq!(split.train.shape(), [1, 28, 28]);
/// # Ok::<(), striate::Error>(())
/// ```
///
/// # Errors
///
/// None, unless the program was built from damaged files.
pub fn fashion_mnist_subset() -> Result<Split> {
    let train = part(bundled!("train-images-idx3-ubyte.gz"), bundled!("train-labels-idx1-ubyte.gz"))?;
    let test = part(bundled!("t10k-images-idx3-ubyte.gz"), bundled!("t10k-labels-idx1-ubyte.gz"))?;
    split(&FASHION_MNIST, train, test)
}

fn part(images: Bundled, labels: Bundled) -> Result<super::Dataset> {
    let part = Part { images: parse_images(images.0, images.1)?, labels: parse_labels(labels.0, labels.1)? };
    part.check(&FASHION_MNIST, labels.0)
}
