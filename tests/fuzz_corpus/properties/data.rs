//! Images and data sets.

use super::files::{gzip, idx as idx_file};
use super::{MIB, OnDisk, bounded};
use striate::data::{self, Preprocessing};

/// An IDX file of images or labels, also as the content of a gzip file with a correct checksum.
pub fn idx(file: &[u8]) {
    let found = read_idx(file);
    let compressed = gzip(file);
    let unpacked = read_idx(&compressed);
    let is_gzip = file.starts_with(&[0x1f, 0x8b]);
    assert!(found == unpacked || is_gzip && unpacked == (None, None));
    if let (Some(images), _) = found {
        let sizes = [images.count, images.height, images.width].map(|size| size as u32);
        let written = idx_file(0x803, &sizes, &images.pixels);
        assert_eq!(read_idx(&written), (Some(images), None));
    } else if let (_, Some(labels)) = found {
        let written = idx_file(0x801, &[labels.len() as u32], &labels);
        assert_eq!(read_idx(&written), (None, Some(labels)));
    }
}

fn read_idx(file: &[u8]) -> (Option<data::IdxImages>, Option<Vec<u8>>) {
    let disk = OnDisk::new(file);
    let path = disk.path("file");
    // Deflate compresses up to a thousandfold.
    let images = bounded(file.len(), MIB, 2048, || data::read_idx_images(&path));
    let labels = bounded(file.len(), MIB, 2048, || data::read_idx_labels(&path));
    (images.ok(), labels.ok())
}

/// The training images of CIFAR-100.
pub fn cifar(file: &[u8]) {
    const RECORD: usize = 2 + 3072;
    let disk = OnDisk::new(&[]);
    disk.write("train.bin", file);
    disk.write("test.bin", &[0; RECORD]);
    let Ok(split) = bounded(file.len(), MIB, 32, || data::cifar100(disk.dir.path())) else { return };
    assert_eq!(split.train.len() * RECORD, file.len());
    for (index, record) in file.chunks(RECORD).enumerate() {
        assert_eq!(split.train.labels()[index], u32::from(record[1]));
        assert_eq!(split.train.image(index), &record[2..]);
    }
}

/// An image file of any format.
pub fn image(file: &[u8]) {
    let disk = OnDisk::new(file);
    let path = disk.path("file");
    let mut preprocessing = Preprocessing::named("imagenet").expect("a known name");
    preprocessing.size = [8, 8];
    preprocessing.resize = Some(9);
    // The largest image that a small file may claim, plus the decoder's tables.
    let scaled = bounded(file.len(), 96 * MIB, 16, || preprocessing.read(&path));
    let cropped = bounded(file.len(), 96 * MIB, 16, || data::read_image(&path, [3, 5]));
    assert_eq!(scaled.is_ok(), cropped.is_ok());
    if let (Ok(scaled), Ok(cropped)) = (scaled, cropped) {
        assert_eq!((scaled.len(), cropped.len()), (3 * 8 * 8, 3 * 3 * 5));
        assert!(scaled.iter().all(|value| value.is_finite()));
    }
}
