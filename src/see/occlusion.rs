//! Where a network looks, by covering it (Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks", section
//! 4.2): a patch slides over the image, and where the class becomes less likely there was what it is told by.

use super::blur::blur;
use super::{Lens, Probe};
use crate::{Error, Result, Tensor};

/// What a patch covers an image with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Middle grey.
    Grey,
    /// The image's mean colour.
    Mean,
    /// The image, smoothed by a Gaussian of half the patch.
    Blur,
}

/// Patches that slide over images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occlusion {
    /// Side of the patch in pixels; it ends where the image does.
    pub patch: usize,
    /// Pixels from one place to the next: the patch is put on the middle of every cell of this side.
    pub stride: usize,
    /// What it covers with.
    pub fill: Fill,
}

/// What covering did to a class of one image.
#[derive(Clone, Debug)]
pub struct OcclusionMap {
    /// The class.
    pub class: usize,
    /// How likely it is with nothing covered, from 0 to 1.
    pub uncovered: f32,
    /// How likely it is with the patch on each cell: `[rows, columns]`.
    pub probabilities: Tensor,
}

impl Occlusion {
    /// Rows and columns of the map of an image of `[height, width]`.
    pub fn cells(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.div_ceil(self.stride.max(1)))
    }

    /// Covers an image, CHW, with a patch on each cell; the network sees a few batches of places at a time. Without a class, the
    /// likeliest one is taken. `classifier` is [`Lens::classifier`]'s.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if patch or stride is 0 or there is no such class; else as [`Probe::run`].
    pub fn map(
        &self,
        lens: &Lens,
        classifier: &mut Probe,
        image: &[f32],
        class: Option<usize>,
    ) -> Result<OcclusionMap> {
        for (name, value) in [("patch", self.patch), ("stride", self.stride)] {
            if value == 0 {
                return Err(Error::argument(name, "must be at least one pixel, and is 0"));
            }
        }
        if let Some(class) = class {
            lens.layer(Lens::LOGITS)?.check_channel(class)?;
        }
        let [_, height, width] = lens.image_shape();
        let cells = self.cells([height, width]);
        let cover = self.cover(lens, image);
        // What is uncovered goes along with the first places, so that it takes no batch of its own.
        let places: Vec<Option<usize>> =
            std::iter::once(None).chain((0..cells[0] * cells[1]).map(Some)).collect();
        let mut answers = Vec::with_capacity(places.len() * lens.classes());
        for places in places.chunks(super::BATCHES * classifier.batch()) {
            let mut images = image.repeat(places.len());
            for (place, covered) in places.iter().zip(images.chunks_exact_mut(image.len())) {
                let Some(place) = place else { continue };
                let [rows, columns] = self.patch_on([place / cells[1], place % cells[1]], [height, width]);
                for plane in 0..image.len() / (height * width) {
                    for row in rows.clone() {
                        let start = (plane * height + row) * width;
                        let range = start + columns.start..start + columns.end;
                        covered[range.clone()].copy_from_slice(&cover[range]);
                    }
                }
            }
            answers.extend(classifier.only(&images)?.into_f32());
        }
        let (uncovered, covered) = answers.split_at(lens.classes());
        let likeliest = || (0..uncovered.len()).max_by(|a, b| uncovered[*a].total_cmp(&uncovered[*b]));
        let class = class.or_else(likeliest).expect("a network tells classes apart");
        let probabilities = covered.chunks_exact(lens.classes()).map(|classes| classes[class]).collect();
        let probabilities = Tensor::f32(cells, probabilities)?;
        Ok(OcclusionMap { class, uncovered: uncovered[class], probabilities })
    }

    /// Rows and columns of the image that the patch on a cell covers.
    fn patch_on(&self, cell: [usize; 2], size: [usize; 2]) -> [std::ops::Range<usize>; 2] {
        std::array::from_fn(|axis| {
            let middle = cell[axis] * self.stride + self.stride / 2;
            let start = (middle + 1).saturating_sub(self.patch.div_ceil(2));
            start..(middle + 1 + self.patch / 2).min(size[axis])
        })
    }

    /// The image as it is below the patch.
    fn cover(&self, lens: &Lens, image: &[f32]) -> Vec<f32> {
        let [_, height, width] = lens.image_shape();
        let normalization = &lens.preprocessing().normalization;
        let planes = image.chunks_exact(height * width);
        match self.fill {
            Fill::Grey => {
                let grey =
                    normalization.mean.iter().zip(&normalization.std).map(|(mean, std)| (0.5 - mean) / std);
                grey.flat_map(|grey| std::iter::repeat_n(grey, height * width)).collect()
            }
            Fill::Mean => {
                let mean = planes.map(|plane| plane.iter().sum::<f32>() / plane.len() as f32);
                mean.flat_map(|mean| std::iter::repeat_n(mean, height * width)).collect()
            }
            Fill::Blur => {
                let mut cover = image.to_vec();
                blur(&mut cover, [height, width], self.patch as f32 / 2.0);
                cover
            }
        }
    }
}
