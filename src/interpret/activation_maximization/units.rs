//! What images are changed for: the activation of their channel, and differences between images of the same channel.

use crate::Result;
use crate::graph::ReluRule;
use crate::interpret::{Gradients, Layer, Lens};

/// Computes the direction in which each image changes.
pub(super) struct UnitGradients<'a> {
    lens: &'a Lens,
    layer: &'a Layer,
    channels: &'a [usize],
    /// Weight of the similarity between images of a channel.
    diversity: f32,
    gradients: Gradients,
    /// Gradients of the layer's pre-activations, built when a channel first needs them.
    before_relu: Option<Gradients>,
    /// The mean activations of all channels, for each image, when they were last computed; scaled to a length of 1.
    similar: Vec<Vec<f32>>,
}

impl<'a> UnitGradients<'a> {
    pub fn new(lens: &'a Lens, layer: &str, channels: &'a [usize], diversity: f32) -> Result<Self> {
        let layer = lens.layer(layer)?;
        channels.iter().try_for_each(|channel| layer.check_channel(*channel))?;
        let gradients = lens.gradients(&layer.name, &[Lens::IMAGES], ReluRule::Exact)?;
        Ok(Self { lens, layer, channels, diversity, gradients, before_relu: None, similar: Vec::new() })
    }

    /// The gradient for each image. Where ReLU zeroes the whole channel its gradient is zero too, so the pre-activation is
    /// maximized instead.
    pub fn directions(&mut self, images: &[f32]) -> Result<Vec<f32>> {
        let (mut directions, values) = self.evaluate(images)?;
        let silent: Vec<usize> = (0..self.channels.len())
            .filter(|image| self.plane(&values, *image).iter().all(|value| *value == 0.0))
            .collect();
        if !silent.is_empty() && self.before_relu.is_none() {
            self.before_relu = self.lens.gradients_before_relu(&self.layer.name)?;
        }
        if let (false, Some(before_relu)) = (silent.is_empty(), &mut self.before_relu) {
            let len = self.lens.image_len();
            let images: Vec<f32> =
                silent.iter().flat_map(|image| &images[image * len..][..len]).copied().collect();
            let channels: Vec<usize> = silent.iter().map(|image| self.channels[*image]).collect();
            let found = before_relu.run(&images, &channels)?.swap_remove(1);
            for (image, gradient) in silent.iter().zip(found.as_f32().chunks_exact(len)) {
                directions[image * len..][..len].copy_from_slice(gradient);
            }
        }
        Ok(directions)
    }

    /// The mean and the largest activation of each image's channel.
    pub fn responses(&mut self, images: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let (_, values) = self.evaluate(images)?;
        let response = |image: usize| {
            let plane = self.plane(&values, image);
            (mean(plane), plane.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        };
        Ok((0..self.channels.len()).map(response).unzip())
    }

    /// The gradients for the images, and the layer's output.
    fn evaluate(&mut self, images: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let pixels = self.layer.pixels();
        let weights: Vec<Vec<f32>> = (0..self.channels.len()).map(|image| self.weights(image)).collect();
        let mut found = self.gradients.run_with_upstream(images, |image, upstream| {
            for (plane, weight) in upstream.chunks_exact_mut(pixels).zip(&weights[image]) {
                plane.fill(weight / pixels as f32);
            }
        })?;
        let directions = found.swap_remove(1).into_f32();
        let values = found.swap_remove(0).into_f32();
        let of_image = |values: &[f32]| unit(values.chunks_exact(pixels).map(mean).collect());
        self.similar = values.chunks_exact(self.layer.channels() * pixels).map(of_image).collect();
        Ok((directions, values))
    }

    /// The weight of each channel's mean in what an image maximizes: 1 for its own, and for the others the gradient of the
    /// cosine similarity to other images of the channel. Similarities change slowly, so those of the last step will do.
    fn weights(&self, image: usize) -> Vec<f32> {
        let own = self.channels[image];
        let mut weights = vec![0.0; self.layer.channels()];
        let twins: Vec<usize> =
            (0..self.similar.len()).filter(|other| *other != image && self.channels[*other] == own).collect();
        for other in &twins {
            let (here, there) = (&self.similar[image], &self.similar[*other]);
            let cosine: f32 = here.iter().zip(there).map(|(a, b)| a * b).sum();
            for ((weight, here), there) in weights.iter_mut().zip(here).zip(there) {
                *weight -= self.diversity * (there - cosine * here) / twins.len() as f32;
            }
        }
        weights[own] = 1.0;
        weights
    }

    /// The values of an image's own channel.
    fn plane<'v>(&self, values: &'v [f32], image: usize) -> &'v [f32] {
        let pixels = self.layer.pixels();
        &values[(image * self.layer.channels() + self.channels[image]) * pixels..][..pixels]
    }
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

/// A vector scaled to a length of 1, unless it is 0.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|n| n * n).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}
