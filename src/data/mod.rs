//! Data sets, augmentation, and the loader that feeds the device.
//!
//! A [`Split`] holds training, validation and test images in memory, as bytes. A [`Loader`] produces shuffled, augmented, normalized
//! batches on worker threads. [`Preprocessing`] turns image files into a network's input.
//!
//! ```
//! use striate::data::{Augment, Loader, LoaderConfig, open};
//!
//! let split = open("fashion-mnist", None, None)?;
//! let augment = Augment { crop_padding: 2, flip: true, ..Default::default() };
//! let config = LoaderConfig { batch_size: 64, shuffle: true, augment: Some(augment), ..Default::default() };
//! let mut loader = Loader::new(split.train.clone(), &split.normalization, config)?;
//! assert_eq!(loader.len(), 94); // 6,000 images: 93 batches of 64 and one of 48
//! while let Some(batch) = loader.next() {
//!     assert_eq!(batch.images.len(), batch.size * 28 * 28);
//!     loader.recycle(batch);
//! }
//! # Ok::<(), striate::Error>(())
//! ```

mod augment;
mod cifar;
mod classes;
mod dataset;
mod fashion;
mod folder;
mod idx;
mod image_file;
mod loader;
mod mix;
mod mnist;
mod originals;
mod prefetch;
mod preprocess;
mod resample;
mod source;
mod split;
mod walk;

/// Largest file of a known data set, unpacked: ten times the largest real one, as protection against corrupt headers.
const MAX_BYTES: u64 = 2 << 30;

pub use augment::{Augment, ColorJitter, DrawKey, Drawn, Erasing, ImageOp, Placement, Region, ResizedCrop};
pub use cifar::{CIFAR10_CLASSES, cifar10, cifar100};
pub use classes::read_class_names;
pub use dataset::{Dataset, Normalization, Original};
pub use fashion::fashion_mnist_subset;
pub use folder::{FolderFiles, FolderOptions, image_folder, image_folder_files, image_folder_test};
pub use idx::{IdxImages, read_idx_images, read_idx_labels};
pub use image_file::{image_dimensions, read_image};
pub use loader::{Batch, Loader, LoaderConfig, Shard};
pub use mix::Mix;
pub use mnist::{FASHION_MNIST_CLASSES, fashion_mnist, mnist};
pub use prefetch::Prefetch;
pub use preprocess::Preprocessing;
pub use resample::Interpolation;
pub use source::{NAMES, Source, open, recognize};
pub use split::{Split, TestSet};
pub use walk::{IgnoredFiles, ImageFiles, images};
