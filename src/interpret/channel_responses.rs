//! How the channels of a layer respond to whole images, and which of them are selective.

use super::Lens;
use crate::{Error, Result, Tensor};

/// The response of each channel of a layer to each image. Negative activations count as 0, as after a ReLU.
///
/// ```
/// use striate::{Tensor, interpret::ChannelResponses};
/// let mut responses = ChannelResponses::default();
/// // Three images, two channels, two positions.
/// responses.add(&Tensor::f32([3, 2, 1, 2], vec![4., 2., 1., 1., 0., 0., 1., 1., 0., 1., 1., -1.])?)?;
/// assert_eq!((responses.mean(0, 0), responses.largest(0, 0), responses.largest(2, 1)), (3.0, 4.0, 1.0));
/// let classes = responses.class_selectivity(&[0, 1, 1]);
/// assert_eq!((classes[0].class, classes[0].index), (0, (3.0 - 0.25) / (3.0 + 0.25)));
/// assert_eq!(responses.choose(1, Some(&[0, 1, 1])), [0]);
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChannelResponses {
    channels: usize,
    /// `[images, channels]`, over all positions.
    mean: Vec<f32>,
    largest: Vec<f32>,
}

/// The class that a channel prefers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassSelectivity {
    /// The class with the largest mean response.
    pub class: usize,
    /// Mean response to this class.
    pub response: f64,
    /// Mean response to all other classes, each with equal weight.
    pub others: f64,
    /// `(response - others) / (response + others)`: 0 if the channel responds to all classes alike, 1 if to one only.
    pub index: f64,
}

/// A channel that responds to a smaller fraction of the images, or to fewer images, is rare.
const RARE: f64 = 0.01;
const FEW: usize = 6;

impl ChannelResponses {
    /// Adds a layer's output for the next images: `[images, channels, height, width]` or `[images, channels]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for a number of channels other than before.
    pub fn add(&mut self, activations: &Tensor) -> Result<()> {
        let channels = activations.shape()[1];
        if self.channels != 0 && self.channels != channels {
            let problem = format!("expected {} channels as before, found {channels}", self.channels);
            return Err(Error::argument("activations", problem));
        }
        self.channels = channels;
        let pixels = activations.shape()[2..].iter().product();
        for plane in activations.as_f32().chunks_exact(pixels) {
            let positive = plane.iter().map(|value| value.max(0.0));
            self.largest.push(positive.clone().fold(0.0, f32::max));
            self.mean.push((positive.map(f64::from).sum::<f64>() / pixels as f64) as f32);
        }
        Ok(())
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.mean.len() / self.channels.max(1)
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The mean of a channel over all positions of an image.
    pub fn mean(&self, image: usize, channel: usize) -> f32 {
        self.mean[image * self.channels + channel]
    }

    /// The largest activation of a channel at any position of an image.
    pub fn largest(&self, image: usize, channel: usize) -> f32 {
        self.largest[image * self.channels + channel]
    }

    /// The class selectivity index of each channel, from the class of each image (Morcos et al. 2018, "On the importance of
    /// single directions for generalization").
    ///
    /// # Panics
    ///
    /// Unless there is a label for each image.
    pub fn class_selectivity(&self, labels: &[usize]) -> Vec<ClassSelectivity> {
        assert_eq!(labels.len(), self.images(), "a label for each image");
        let classes = labels.iter().max().map_or(0, |class| class + 1);
        (0..self.channels).map(|channel| self.preferred(channel, labels, classes)).collect()
    }

    fn preferred(&self, channel: usize, labels: &[usize], classes: usize) -> ClassSelectivity {
        let (mut sums, mut counts) = (vec![0.0; classes], vec![0.0; classes]);
        for (image, class) in labels.iter().enumerate() {
            sums[*class] += f64::from(self.mean(image, channel));
            counts[*class] += 1.0;
        }
        let present = || (0..classes).filter(|class| counts[*class] > 0.0);
        let mean = |class: usize| sums[class] / counts[class];
        let best = present().reduce(|best, next| if mean(next) > mean(best) { next } else { best });
        let Some(class) = best else {
            return ClassSelectivity { class: 0, response: 0.0, others: 0.0, index: 0.0 };
        };
        let (response, other) = (mean(class), present().filter(|other| *other != class));
        let others = other.clone().map(mean).sum::<f64>() / other.count().max(1) as f64;
        let index = if response > 0.0 { (response - others) / (response + others) } else { 0.0 };
        ClassSelectivity { class, response, others, index }
    }

    /// How few images a channel responds to: 0 if to all alike, 1 if to a single one (lifetime sparseness; Vinje and Gallant
    /// 2000, "Sparse coding and decorrelation in primary visual cortex during natural vision").
    pub fn sparseness(&self, channel: usize) -> f64 {
        let count = self.images() as f64;
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in self.over_images(channel) {
            sum += value;
            squares += value * value;
        }
        match squares > 0.0 && count > 1.0 {
            true => (1.0 - sum * sum / (count * squares)) / (1.0 - 1.0 / count),
            false => 0.0,
        }
    }

    /// Up to `count` channels that are selective and differ from each other: one after the other, the channel with the largest
    /// product of its selectivity and `1 - |r|`, where r is its strongest correlation, over the images, with a channel chosen
    /// before. The selectivity is the class selectivity index, or the sparseness if classes are unknown; it counts as 0 for
    /// channels that respond to less than 1 % of the images, or to fewer than six, or half of them if that is less.
    pub fn choose(&self, count: usize, labels: Option<&[usize]>) -> Vec<usize> {
        let mut scores: Vec<f64> = match labels {
            Some(labels) => self.class_selectivity(labels).iter().map(|class| class.index).collect(),
            None => (0..self.channels).map(|channel| self.sparseness(channel)).collect(),
        };
        let centered: Vec<Vec<f64>> = (0..self.channels).map(|channel| self.standardized(channel)).collect();
        for (channel, score) in scores.iter_mut().enumerate() {
            if self.is_rare(channel) {
                *score = 0.0;
            }
        }
        let mut different = vec![1.0; self.channels];
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < count.min(self.channels) {
            let rest = (0..self.channels).filter(|channel| !chosen.contains(channel));
            let value = |channel: usize| scores[channel] * different[channel];
            let next = rest.reduce(|best, next| if value(next) > value(best) { next } else { best });
            let next = next.expect("some channels are left");
            chosen.push(next);
            for (channel, different) in different.iter_mut().enumerate() {
                let r: f64 = centered[channel].iter().zip(&centered[next]).map(|(a, b)| a * b).sum();
                *different = (1.0 - r.abs()).clamp(0.0, *different);
            }
        }
        chosen
    }

    /// Whether too few images excite a channel to tell what it responds to.
    pub(super) fn is_rare(&self, channel: usize) -> bool {
        let active = self.over_images(channel).filter(|value| *value > 0.0).count();
        active < FEW.min(self.images() / 2) || (active as f64) < RARE * self.images() as f64
    }

    fn over_images(&self, channel: usize) -> impl Iterator<Item = f64> {
        self.mean.iter().skip(channel).step_by(self.channels).map(|value| f64::from(*value))
    }

    /// Responses over the images, with mean 0 and norm 1; zeros if they are all equal.
    fn standardized(&self, channel: usize) -> Vec<f64> {
        let mean = self.over_images(channel).sum::<f64>() / self.images() as f64;
        let centered: Vec<f64> = self.over_images(channel).map(|value| value - mean).collect();
        let norm = centered.iter().map(|value| value * value).sum::<f64>().sqrt();
        centered.iter().map(|value| if norm > 0.0 { value / norm } else { 0.0 }).collect()
    }
}

/// The responses of several layers to normalized NCHW images, computed in one pass, a few batches at a time.
///
/// # Errors
///
/// As [`Lens::activations`].
pub fn channel_responses(lens: &Lens, images: &[f32], layers: &[&str]) -> Result<Vec<ChannelResponses>> {
    let mut responses = vec![ChannelResponses::default(); layers.len()];
    lens.extractor(layers)?.run_in_parts(images, |layer, activations| responses[layer].add(activations))?;
    Ok(responses)
}

#[cfg(test)]
mod tests {
    use super::ChannelResponses;
    use crate::Tensor;

    fn responses(images: [[f32; 4]; 4]) -> ChannelResponses {
        let mut responses = ChannelResponses::default();
        responses.add(&Tensor::f32([4, 4], images.concat()).unwrap()).unwrap();
        responses
    }

    #[test]
    fn a_copy_of_a_chosen_channel_comes_last() {
        // Channels 0 and 1 respond to class 0 alike, 2 somewhat to class 1, 3 to everything.
        let responses = responses([
            [4.0, 4.0, 1.0, 1.0],
            [3.0, 3.0, 0.0, 1.0],
            [0.0, 0.0, 2.0, 1.0],
            [0.0, 0.0, 3.0, 1.0],
        ]);
        assert_eq!(responses.choose(3, Some(&[0, 0, 1, 1])), [0, 2, 1]);
        let [first, _, third, last] = responses.class_selectivity(&[0, 0, 1, 1])[..] else { panic!() };
        assert_eq!((first.class, first.index), (0, 1.0));
        assert_eq!((third.class, third.response, third.others), (1, 2.5, 0.5));
        assert_eq!(last.index, 0.0);
        assert_eq!(responses.choose(9, None).len(), 4);
    }

    #[test]
    fn sparseness_is_1_for_a_single_image_and_0_for_all_alike() {
        let responses = responses([
            [0.0, 1.0, -5.0, 2.0],
            [7.0, 1.0, -1.0, 0.0],
            [0.0, 1.0, -1.0, 2.0],
            [0.0, 1.0, -1.0, 0.0],
        ]);
        let sparseness: Vec<f64> = (0..4).map(|channel| responses.sparseness(channel)).collect();
        // Two of four images alike: (1 - 16 / (4 * 8)) / (1 - 1/4).
        assert_eq!(sparseness, [1.0, 0.0, 0.0, 0.5 / 0.75]);
        assert_eq!(responses.largest(1, 2), 0.0, "a negative activation is no response");
    }

    #[test]
    fn a_channel_that_responds_to_a_single_image_is_not_chosen_first() {
        // The sparseness of channel 0 is 1, that of channel 1 less.
        let responses = responses([
            [9.0, 1.0, 0.0, 0.0],
            [0.0, 2.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0],
        ]);
        assert_eq!(responses.choose(1, None), [1]);
    }

    #[test]
    fn other_channels_than_before_are_refused() {
        let mut responses = responses([[0.0; 4]; 4]);
        assert!(responses.add(&Tensor::f32([1, 3], vec![0.0; 3]).unwrap()).is_err());
    }
}
