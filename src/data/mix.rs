//! Batches whose images are mixed in pairs: mixup and CutMix.

use super::Batch;
use crate::rng::{MIX, SplitMix64};
use crate::{Error, Result};

/// How the images of a batch are mixed with each other: image i with image `size - 1 - i`, all in the same share,
/// as the widely used `timm` does. Where both ways are on, each batch takes one of them at random.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mix {
    /// Parameter of the Beta distribution that the share of mixup is drawn from (Zhang et al. 2018): images
    /// are added up. 0 is off.
    pub mixup: f32,
    /// The same for CutMix (Yun et al. 2019): a rectangle comes from the other image. 0 is off.
    pub cutmix: f32,
}

impl Mix {
    /// Fails unless both numbers are in [0, 4] and one of them is above 0.
    pub fn check(&self) -> Result<()> {
        for (name, alpha) in [("mixup", self.mixup), ("cutmix", self.cutmix)] {
            if !(0.0..=4.0).contains(&alpha) {
                return Err(Error::argument(name, format!("must be from 0 to 4, and is {alpha}")));
            }
        }
        match self.mixup > 0.0 || self.cutmix > 0.0 {
            true => Ok(()),
            false => Err(Error::argument("mixup", "is 0, and so is cutmix; leave both out to mix nothing")),
        }
    }

    /// Mixes a batch of images of `shape`, channels, height and width. What is drawn depends on seed, epoch and
    /// the batch's number alone.
    pub fn apply(&self, batch: &mut Batch, shape: [usize; 3], [seed, epoch, index]: [u64; 3]) {
        let mut rng = SplitMix64::keyed(seed, &[MIX, epoch, index]);
        let cut = self.mixup == 0.0 || self.cutmix > 0.0 && rng.unit() < 0.5;
        let share = rng.beta(f64::from(if cut { self.cutmix } else { self.mixup }));
        let rectangle = Rectangle::draw(&mut rng, share, [shape[1], shape[2]]);
        batch.partners.clear();
        batch.partners.extend(batch.labels.iter().rev());
        batch.mix_weight = if cut { rectangle.rest([shape[1], shape[2]]) } else { share as f32 };
        let len = shape.iter().product();
        let (first, second) = batch.images.split_at_mut(batch.size.div_ceil(2) * len);
        // The middle one of an odd number is its own partner.
        for (a, b) in first.chunks_exact_mut(len).zip(second.chunks_exact_mut(len).rev()) {
            match cut {
                true => rectangle.swap(a, b, shape),
                false => blend(a, b, batch.mix_weight),
            }
        }
    }
}

/// Each becomes `share` of itself and the rest of the other.
fn blend(a: &mut [f32], b: &mut [f32], share: f32) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (share * *a + (1.0 - share) * *b, share * *b + (1.0 - share) * *a);
    }
}

/// Rows and columns of an image, each from and to.
struct Rectangle {
    rows: [usize; 2],
    columns: [usize; 2],
}

impl Rectangle {
    /// A rectangle of `1 - share` of the area around a random point, less what hangs over the border.
    fn draw(rng: &mut SplitMix64, share: f64, [height, width]: [usize; 2]) -> Self {
        let side = (1.0 - share).sqrt();
        let mut range = |length: usize| {
            let (middle, cut) = (rng.below(length as u32) as usize, (side * length as f64) as usize);
            [middle.saturating_sub(cut / 2), (middle + cut.div_ceil(2)).min(length)]
        };
        Self { rows: range(height), columns: range(width) }
    }

    /// Share of the image outside of it.
    fn rest(&self, [height, width]: [usize; 2]) -> f32 {
        let [rows, columns] = [self.rows, self.columns].map(|[from, to]| to - from);
        1.0 - (rows * columns) as f32 / (height * width) as f32
    }

    /// Exchanges it between two images.
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
