//! Occlusion (Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2): a patch slides
//! over the image, and where covering lowers the probability of the class, the network relies on what was there.

use super::blur::blur;
use super::{Extractor, Lens};
use crate::{Error, Result, Tensor};

/// What the patch is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Mid-gray.
    Gray,
    /// The image's mean color.
    Mean,
    /// The mean color of the image's border: on a uniform background, the patch removes things and adds none.
    Border,
    /// The image itself, blurred by a Gaussian with a sigma of half the patch.
    Blur,
}

/// A patch that slides over an image, to find the parts that a class depends on.
///
/// ```
/// use striate::interpret::{Fill, Occlusion};
///
/// # let device = striate::Device::select("cpu")?;
/// # let model = striate::models::LeNet { in_channels: 1, classes: 10 };
/// # let mut predictor = striate::infer::Predictor::new(&device, &model, [28, 28], 1)?;
/// # predictor.session().initialize(1)?;
/// # let weights = predictor.session().state_dict()?;
/// # let preprocessing = striate::data::Preprocessing::named("fashion-mnist")?;
/// # let lens = striate::interpret::Lens::new(&device, &model, weights, preprocessing, 8)?;
/// let image: Vec<f32> = (0..28 * 28).map(|pixel| (pixel % 28) as f32 / 14.0 - 1.0).collect();
/// let occlusion = Occlusion { patch: 8, stride: 4, fill: Fill::Gray };
/// let map = occlusion.map(&lens, &mut lens.classifier()?, &image, None)?;
/// assert_eq!(map.probabilities.shape(), [7, 7]);
/// // The network relies most on what is in this cell.
/// let probabilities = map.probabilities.as_f32();
/// let cell = (0..probabilities.len()).min_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).unwrap();
/// assert!(probabilities[cell] < map.uncovered);
/// println!("class {} needs the patch at row {}, column {}", map.class, cell / 7, cell % 7);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occlusion {
    /// Side of the patch in pixels; it is clipped at the image's edges.
    pub patch: usize,
    /// Step in pixels. The image is divided into cells of this side, and the patch is centered on each.
    pub stride: usize,
    /// What the patch is filled with.
    pub fill: Fill,
}

/// The probability of a class as a patch slides over an image.
#[derive(Clone, Debug)]
pub struct OcclusionMap {
    /// The class.
    pub class: usize,
    /// Probability of the class on the whole image, from 0 to 1.
    pub uncovered: f32,
    /// Probability of the class with the patch on each cell: `[rows, columns]`.
    pub probabilities: Tensor,
}

impl Occlusion {
    /// Rows and columns of the map for an image of `[height, width]`.
    pub fn cells(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.div_ceil(self.stride.max(1)))
    }

    /// Slides the patch over a CHW image, a few batches of positions at a time. `class` defaults to the most likely one, and
    /// `classifier` comes from [`Lens::classifier`].
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the patch or stride is 0 or the class does not exist; otherwise as [`Extractor::run`].
    pub fn map(
        &self,
        lens: &Lens,
        classifier: &mut Extractor,
        image: &[f32],
        class: Option<usize>,
    ) -> Result<OcclusionMap> {
        for (name, value) in [("patch", self.patch), ("stride", self.stride)] {
            if value == 0 {
                return Err(Error::argument(name, "must be at least 1 pixel, found 0"));
            }
        }
        if let Some(class) = class {
            lens.layer(Lens::LOGITS)?.check_channel(class)?;
        }
        let [_, height, width] = lens.image_shape();
        let cells = self.cells([height, width]);
        let filling = self.filling(lens, image);
        // The uncovered image shares a batch with the first positions.
        let positions: Vec<Option<usize>> =
            std::iter::once(None).chain((0..cells[0] * cells[1]).map(Some)).collect();
        let mut probabilities = Vec::with_capacity(positions.len() * lens.classes());
        for positions in positions.chunks(super::BATCHES * classifier.batch()) {
            let mut images = image.repeat(positions.len());
            for (position, covered) in positions.iter().zip(images.chunks_exact_mut(image.len())) {
                let Some(position) = position else { continue };
                let [rows, columns] =
                    self.patch_on([position / cells[1], position % cells[1]], [height, width]);
                for plane in 0..image.len() / (height * width) {
                    for row in rows.clone() {
                        let start = (plane * height + row) * width;
                        let range = start + columns.start..start + columns.end;
                        covered[range.clone()].copy_from_slice(&filling[range]);
                    }
                }
            }
            probabilities.extend(classifier.run_single(&images)?.into_f32());
        }
        let (uncovered, covered) = probabilities.split_at(lens.classes());
        let likeliest = || (0..uncovered.len()).max_by(|a, b| uncovered[*a].total_cmp(&uncovered[*b]));
        let class = class.or_else(likeliest).expect("a network has at least one class");
        let probabilities = covered.chunks_exact(lens.classes()).map(|classes| classes[class]).collect();
        let probabilities = Tensor::f32(cells, probabilities)?;
        Ok(OcclusionMap { class, uncovered: uncovered[class], probabilities })
    }

    /// Rows and columns that the patch covers when centered on a cell.
    fn patch_on(&self, cell: [usize; 2], size: [usize; 2]) -> [std::ops::Range<usize>; 2] {
        std::array::from_fn(|axis| {
            let middle = cell[axis] * self.stride + self.stride / 2;
            let start = (middle + 1).saturating_sub(self.patch.div_ceil(2));
            start..(middle + 1 + self.patch / 2).min(size[axis])
        })
    }

    /// The image to show inside the patch.
    fn filling(&self, lens: &Lens, image: &[f32]) -> Vec<f32> {
        let [_, height, width] = lens.image_shape();
        let normalization = &lens.preprocessing().normalization;
        let planes = image.chunks_exact(height * width);
        let colors: Vec<f32> = match self.fill {
            Fill::Gray => normalization
                .mean
                .iter()
                .zip(&normalization.std)
                .map(|(mean, std)| (0.5 - mean) / std)
                .collect(),
            Fill::Mean => planes.map(|plane| mean(plane.iter())).collect(),
            Fill::Border => {
                let on_border = |pixel: usize| {
                    let [row, column] = [pixel / width, pixel % width];
                    row == 0 || row + 1 == height || column == 0 || column + 1 == width
                };
                let border: Vec<usize> = (0..height * width).filter(|pixel| on_border(*pixel)).collect();
                planes.map(|plane| mean(border.iter().map(|pixel| &plane[*pixel]))).collect()
            }
            Fill::Blur => {
                let mut blurred = image.to_vec();
                blur(&mut blurred, [height, width], self.patch as f32 / 2.0);
                return blurred;
            }
        };
        colors.into_iter().flat_map(|color| std::iter::repeat_n(color, height * width)).collect()
    }
}

fn mean<'a>(values: impl ExactSizeIterator<Item = &'a f32>) -> f32 {
    let count = values.len() as f32;
    values.sum::<f32>() / count
}
