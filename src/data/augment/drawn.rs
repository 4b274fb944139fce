//! The augmentation of one image, and its application.

use std::borrow::Cow;

use super::{ImageOp, Placement};
use crate::data::resample::{Interpolation, Part, Scaler};
use crate::rng::SplitMix64;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

impl Region {
    /// A region of a size that fits into the image, at a uniformly random position.
    pub(super) fn at_random(
        rng: &mut SplitMix64,
        [tall, wide]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> Self {
        // Sides of images have at most 32 bits.
        let mut first = |free: usize| rng.below(free as u32 + 1) as usize;
        Self { top: first(height - tall), left: first(width - wide), height: tall, width: wide }
    }
}

/// The augmentation of one image, drawn by [`Augment::draw`](super::Augment::draw).
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The part that is scaled to the size of the image, in pixels of the original.
    pub crop: Option<Region>,
    /// Operations on bytes, in order.
    pub operations: Vec<ImageOp>,
    /// Shift and flip, during normalization.
    pub placement: Placement,
    /// The part that becomes 0 at the end.
    pub erased: Option<Region>,
}

impl Drawn {
    /// Writes the augmented and normalized image of `shape` `[channels, height, width]` to `output`.
    ///
    /// `original` is CHW and of `size` `[height, width]`, which equals that of `shape` unless there is a crop. For `tables` see
    /// [`Placement::write`].
    ///
    /// # Panics
    ///
    /// If the lengths do not match, or the crop exceeds the original.
    pub fn write(
        &self,
        original: &[u8],
        size: [usize; 2],
        shape: [usize; 3],
        tables: &[[f32; 256]],
        output: &mut [f32],
    ) {
        let mut image = match self.crop {
            Some(crop) => Cow::Owned(scaled(original, size, crop, shape)),
            None => Cow::Borrowed(original),
        };
        for operation in &self.operations {
            operation.apply(image.to_mut(), shape);
        }
        self.placement.write(&image, shape, tables, output);
        if let Some(erased) = self.erased {
            erase(output, erased, shape);
        }
    }
}

/// Scales part of an image to `shape`.
fn scaled(image: &[u8], [full_height, full_width]: [usize; 2], part: Region, shape: [usize; 3]) -> Vec<u8> {
    let [channels, height, width] = shape;
    assert_eq!(image.len(), channels * full_height * full_width);
    let whole = |side: usize| Part { scaled: side as u32, from: 0, len: side as u32 };
    let size = [part.height as u32, part.width as u32];
    let scaler = Scaler::new(size, whole(width), whole(height), Interpolation::Bilinear);
    let mut output = vec![0; channels * height * width];
    let planes = image.chunks_exact(full_height * full_width).zip(output.chunks_exact_mut(height * width));
    for (plane, output) in planes {
        let row = |y: usize| &plane[(part.top + y) * full_width + part.left..][..part.width];
        scaler.plane(row, output);
    }
    output
}

fn erase(image: &mut [f32], part: Region, [_, height, width]: [usize; 3]) {
    for plane in image.chunks_exact_mut(height * width) {
        for row in plane.chunks_exact_mut(width).skip(part.top).take(part.height) {
            row[part.left..][..part.width].fill(0.0);
        }
    }
}
