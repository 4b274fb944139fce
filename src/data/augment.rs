//! Random crops and flips of training images.

use crate::rng::{AUGMENT, SplitMix64};
use crate::{Error, Result};

/// Identifies a random decision of the loader: equal keys give equal decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawKey {
    /// Seed of the run.
    pub seed: u64,
    /// Index of the epoch.
    pub epoch: u64,
    /// Index of the image in the data set, or of the batch in the epoch.
    pub index: u64,
}

impl DrawKey {
    /// The generator for one purpose, such as [`AUGMENT`].
    pub(super) fn rng(self, purpose: u64) -> SplitMix64 {
        SplitMix64::keyed(self.seed, &[purpose, self.epoch, self.index])
    }
}

/// Augmentation settings; `crop_padding: 4, flip: true` is usual for CIFAR.
///
/// The padding is 0 *after* normalization, the data set's mean color. In libraries that pad before they normalize, the
/// border is black instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Augment {
    /// Pad each side by this many pixels, then crop the original size at a random position.
    pub crop_padding: usize,
    /// Flip images horizontally with probability 1/2.
    pub flip: bool,
}

/// The augmentation of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Shift down in pixels; negative is up.
    pub down: isize,
    /// Shift right in pixels, before the flip; negative is left.
    pub right: isize,
    /// Whether it is flipped horizontally.
    pub flip: bool,
}

impl Placement {
    /// No change.
    pub const IDENTITY: Self = Self { down: 0, right: 0, flip: false };

    /// Writes the shifted and flipped image to `output`; both are CHW. `tables[channel][byte]` is the normalized value of a
    /// byte, see [`Normalization::tables`](super::Normalization::tables). Pixels outside the image become 0.
    ///
    /// # Panics
    ///
    /// If the lengths do not match the shape.
    pub fn write(
        self,
        image: &[u8],
        [channels, height, width]: [usize; 3],
        tables: &[[f32; 256]],
        output: &mut [f32],
    ) {
        assert_eq!((image.len(), output.len()), (channels * height * width, channels * height * width));
        assert_eq!(tables.len(), channels);
        let planes = image.chunks_exact(height * width).zip(output.chunks_exact_mut(height * width));
        for ((plane, output), table) in planes.zip(tables) {
            for (y, output) in output.chunks_exact_mut(width).enumerate() {
                let row = y.checked_add_signed(-self.down).filter(|&row| row < height);
                match row {
                    Some(row) => self.write_row(&plane[row * width..][..width], table, output),
                    None => output.fill(0.0),
                }
            }
        }
    }

    fn write_row(self, row: &[u8], table: &[f32; 256], output: &mut [f32]) {
        let width = row.len();
        let shift = self.right.unsigned_abs().min(width);
        let kept = width - shift;
        let (source, target) = if self.right < 0 { (shift, 0) } else { (0, shift) };
        output[..target].fill(0.0);
        output[target + kept..].fill(0.0);
        for (value, &pixel) in output[target..][..kept].iter_mut().zip(&row[source..][..kept]) {
            *value = table[usize::from(pixel)];
        }
        if self.flip {
            output.reverse();
        }
    }
}

impl Augment {
    /// Draws the placement of an image; it depends on nothing but the arguments.
    ///
    /// ```
    /// use striate::data::{Augment, DrawKey};
    /// let key = DrawKey { seed: 0, epoch: 3, index: 17 };
    /// let placement = Augment { crop_padding: 4, flip: true }.place(key);
    /// assert!((-4..=4).contains(&placement.down) && (-4..=4).contains(&placement.right));
    /// ```
    ///
    /// # Panics
    ///
    /// If `crop_padding` is 2^31 or more.
    pub fn place(self, image: DrawKey) -> Placement {
        assert!(self.crop_padding < 1 << 31, "a crop padding of {} is out of range", self.crop_padding);
        let mut rng = image.rng(AUGMENT);
        let padding = self.crop_padding as isize;
        let mut offset = || padding - rng.below(2 * self.crop_padding as u32 + 1) as isize;
        let (down, right) = (offset(), offset());
        Placement { down, right, flip: self.flip && rng.below(2) == 1 }
    }

    /// Checks that the crop always contains part of the image.
    pub(super) fn check(self, [_, height, width]: [usize; 3]) -> Result<()> {
        let smaller_side = height.min(width);
        if self.crop_padding < smaller_side {
            return Ok(());
        }
        let problem = format!(
            "{} could shift an image of {height} x {width} out of the crop; use less than {smaller_side}",
            self.crop_padding
        );
        Err(Error::argument("crop_padding", problem))
    }
}
