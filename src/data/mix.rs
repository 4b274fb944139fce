//! Mixup and CutMix.

use super::{Batch, DrawKey};
use crate::rng::{MIX, SplitMix64};
use crate::{Error, Result};

/// Mixing of the images in a batch. As in timm, image i is mixed with image `size - 1 - i`, with one mix weight for the whole
/// batch. If both methods are enabled, each batch uses one of them at random.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mix {
    /// Alpha of mixup (Zhang et al. 2018), which interpolates images: the mix weight is drawn from Beta(alpha, alpha). 0
    /// disables it.
    pub mixup: f32,
    /// Alpha of CutMix (Yun et al. 2019), which pastes a rectangle of the other image. 0 disables it.
    pub cutmix: f32,
}

impl Mix {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if an alpha is not in [0, 4], or both are 0.
    pub fn check(&self) -> Result<()> {
        for (name, alpha) in [("mixup", self.mixup), ("cutmix", self.cutmix)] {
            if !(0.0..=4.0).contains(&alpha) {
                return Err(Error::argument(name, format!("must be between 0 and 4, got {alpha}")));
            }
        }
        match self.mixup > 0.0 || self.cutmix > 0.0 {
            true => Ok(()),
            false => Err(Error::argument("mixup", "is 0, and so is cutmix; omit both to disable mixing")),
        }
    }

    /// Mixes a batch of images of `shape` `[channels, height, width]`, which may lack pairs of images. The result depends only on the
    /// batch and its `key`.
    pub fn apply(&self, batch: &mut Batch, shape: [usize; 3], key: DrawKey) {
        let mut rng = key.rng(MIX);
        let cut = self.mixup == 0.0 || self.cutmix > 0.0 && rng.unit() < 0.5;
        let lambda = rng.beta(f64::from(if cut { self.cutmix } else { self.mixup }));
        let rectangle = Rectangle::draw(&mut rng, lambda, [shape[1], shape[2]]);
        batch.partners.clear();
        batch.partners.extend(batch.labels.iter().rev());
        batch.mix_weight = if cut { rectangle.rest([shape[1], shape[2]]) } else { lambda as f32 };
        let len: usize = shape.iter().product();
        let images = batch.images.len() / len;
        let (first, second) = batch.images.split_at_mut(images.div_ceil(2) * len);
        // With an odd number of images, the middle one is its own partner.
        for (a, b) in first.chunks_exact_mut(len).zip(second.chunks_exact_mut(len).rev()) {
            match cut {
                true => rectangle.swap(a, b, shape),
                false => blend(a, b, batch.mix_weight),
            }
        }
    }
}

/// Interpolates each image with the other.
fn blend(a: &mut [f32], b: &mut [f32], weight: f32) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (weight * *a + (1.0 - weight) * *b, weight * *b + (1.0 - weight) * *a);
    }
}

/// A range of rows and columns.
struct Rectangle {
    rows: [usize; 2],
    columns: [usize; 2],
}

impl Rectangle {
    /// A rectangle with `1 - lambda` of the image's area around a random point, clipped to the image.
    fn draw(rng: &mut SplitMix64, lambda: f64, [height, width]: [usize; 2]) -> Self {
        let side = (1.0 - lambda).sqrt();
        let mut range = |length: usize| {
            let (middle, cut) = (rng.below(length as u32) as usize, (side * length as f64) as usize);
            [middle.saturating_sub(cut / 2), (middle + cut.div_ceil(2)).min(length)]
        };
        Self { rows: range(height), columns: range(width) }
    }

    /// Fraction of the image outside the rectangle.
    fn rest(&self, [height, width]: [usize; 2]) -> f32 {
        let [rows, columns] = [self.rows, self.columns].map(|[from, to]| to - from);
        1.0 - (rows * columns) as f32 / (height * width) as f32
    }

    /// Swaps the rectangle between two images.
    fn swap(&self, a: &mut [f32], b: &mut [f32], [channels, height, width]: [usize; 3]) {
        let [left, right] = self.columns;
        for channel in 0..channels {
            for row in self.rows[0]..self.rows[1] {
                let start = (channel * height + row) * width;
                a[start + left..start + right].swap_with_slice(&mut b[start + left..start + right]);
            }
        }
    }
}
