//! Saliency: which pixels support a class, computed from gradients.
//!
//! Throughout, `images` are normalized, NCHW, and `classes` holds one class per image.

use super::{Lens, check_not_zero};
use crate::graph::ReluRule;
use crate::rng::SplitMix64;
use crate::{Error, Result, Tensor};

/// The gradient of each image's class logit with respect to its pixels (Simonyan et al. 2013, "Deep inside convolutional
/// networks"), `[images, channels, height, width]`. [`ReluRule::Guided`] gives guided backpropagation.
///
/// # Errors
///
/// As [`Gradients::run`](super::Gradients::run); this holds for the other functions too.
pub fn input_gradients(lens: &Lens, images: &[f32], classes: &[usize], rule: ReluRule) -> Result<Tensor> {
    let mut gradients = lens.gradients(Lens::LOGITS, &[Lens::IMAGES], rule)?;
    Ok(gradients.run(images, classes)?.swap_remove(1))
}

/// Gradients averaged over noisy copies of an image (Smilkov et al. 2017, "SmoothGrad").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothGrad {
    /// Noisy copies per image.
    pub samples: usize,
    /// Standard deviation of the noise, as a fraction of the image's range.
    pub noise: f32,
    /// Seed of the noise.
    pub seed: u64,
}

/// The mean gradient over noisy copies of each image, in the shape of the images.
pub fn smooth_grad(lens: &Lens, images: &[f32], classes: &[usize], smooth: &SmoothGrad) -> Result<Tensor> {
    check_not_zero("samples", smooth.samples)?;
    let noisy_copies = |index: usize, image: &[f32]| {
        let [low, high] = super::drawing::min_max(image);
        let deviation = f64::from(smooth.noise * (high - low));
        let mut rng = SplitMix64::keyed(smooth.seed, &[index as u64]);
        let copies = (0..smooth.samples).flat_map(|_| image.to_vec());
        copies.map(|pixel| pixel + (deviation * rng.normal()) as f32).collect()
    };
    mean_gradients(lens, images, classes, smooth.samples, noisy_copies)
}

/// The contribution of each pixel to a class (Sundararajan et al. 2017, "Axiomatic attribution for deep networks").
#[derive(Clone, Debug)]
pub struct IntegratedGradients {
    /// In the shape of the images.
    pub contributions: Tensor,
    /// What the contributions of each image should add up to: its class logit minus that of an all-zero image.
    pub differences: Vec<f32>,
}

/// Integrates gradients along the straight line from the all-zero image, which is the mean color, to each image, by the
/// midpoint rule with `steps` steps.
pub fn integrated_gradients(
    lens: &Lens,
    images: &[f32],
    classes: &[usize],
    steps: usize,
) -> Result<IntegratedGradients> {
    check_not_zero("steps", steps)?;
    let interpolated = |_: usize, image: &[f32]| {
        let fractions = (0..steps).map(|step| (step as f32 + 0.5) / steps as f32);
        fractions.flat_map(|t| image.iter().map(move |pixel| t * pixel)).collect()
    };
    let means = mean_gradients(lens, images, classes, steps, interpolated)?;
    let contributions = means.as_f32().iter().zip(images).map(|(gradient, pixel)| gradient * pixel).collect();
    let mut logits = lens.extractor(&[Lens::LOGITS])?;
    let logits_at_images = logits.run_single(images)?;
    let base = logits.run_single(&vec![0.0; lens.image_len()])?;
    let difference = |(logits, class): (&[f32], &usize)| logits[*class] - base.as_f32()[*class];
    Ok(IntegratedGradients {
        contributions: Tensor::f32(means.shape(), contributions)?,
        differences: logits_at_images
            .as_f32()
            .chunks_exact(lens.classes())
            .zip(classes)
            .map(difference)
            .collect(),
    })
}

/// Grad-CAM (Selvaraju et al. 2017): where a layer's channels support a class, `[images, height, width]` at the layer's
/// resolution, never negative. Channels are weighted by the class gradient averaged over their positions.
///
/// # Errors
///
/// [`Error::Argument`] if the layer does not exist, or has no height and width.
pub fn grad_cam(lens: &Lens, images: &[f32], classes: &[usize], layer: &str) -> Result<Tensor> {
    let [channels, height, width] = lens.layer(layer)?.shape[..] else {
        return Err(Error::argument(
            "layer",
            format!("{layer} has no height and width; give a layer before the flatten"),
        ));
    };
    let values = lens.activations(images, &[layer])?.swap_remove(0);
    let gradients =
        lens.gradients(Lens::LOGITS, &[layer], ReluRule::Exact)?.run(images, classes)?.swap_remove(1);
    let pixels = height * width;
    let mut maps = Vec::with_capacity(classes.len() * pixels);
    let each = channels * pixels;
    for (values, gradients) in values.as_f32().chunks_exact(each).zip(gradients.as_f32().chunks_exact(each)) {
        let mut map = vec![0.0; pixels];
        for (plane, gradient) in values.chunks_exact(pixels).zip(gradients.chunks_exact(pixels)) {
            let weight = gradient.iter().sum::<f32>() / pixels as f32;
            map.iter_mut().zip(plane).for_each(|(sum, value)| *sum += weight * value);
        }
        maps.extend(map.into_iter().map(|sum| sum.max(0.0)));
    }
    Tensor::f32([classes.len(), height, width], maps)
}

/// The mean gradient of each image over `count` variants; `variants` generates them from the index and pixels of the image.
fn mean_gradients(
    lens: &Lens,
    images: &[f32],
    classes: &[usize],
    count: usize,
    variants: impl Fn(usize, &[f32]) -> Vec<f32>,
) -> Result<Tensor> {
    let len = lens.image_len();
    if images.len() != classes.len() * len {
        let problem = format!(
            "expected one per image ({}), found {}; give as many classes as images",
            images.len() / len,
            classes.len()
        );
        return Err(Error::argument("classes", problem));
    }
    let mut gradients = lens.gradients(Lens::LOGITS, &[Lens::IMAGES], ReluRule::Exact)?;
    let mut means = Vec::with_capacity(images.len());
    let images: Vec<(usize, &[f32])> = images.chunks_exact(len).enumerate().collect();
    // Processes several images together if the variants of one do not fill the batches.
    for images in images.chunks((super::BATCHES * lens.batch()).div_ceil(count)) {
        let inputs: Vec<f32> = images.iter().flat_map(|(index, image)| variants(*index, image)).collect();
        let each: Vec<usize> =
            images.iter().flat_map(|(index, _)| std::iter::repeat_n(classes[*index], count)).collect();
        let all = gradients.run(&inputs, &each)?.swap_remove(1);
        for gradients in all.as_f32().chunks_exact(count * len) {
            let mut mean = vec![0.0; len];
            for gradient in gradients.chunks_exact(len) {
                mean.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value / count as f32);
            }
            means.extend(mean);
        }
    }
    let [channels, height, width] = lens.image_shape();
    Tensor::f32([classes.len(), channels, height, width], means)
}
