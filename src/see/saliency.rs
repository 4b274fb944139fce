//! What in an image speaks for a class, by gradients.
//!
//! `images` are normalised images, NCHW, and `classes` has the class of each.

use super::Lens;
use crate::graph::ReluRule;
use crate::rng::SplitMix64;
use crate::{Error, Result, Tensor};

/// The gradient of each image's class, its logit, with respect to its numbers (Simonyan et al. 2013, "Deep inside convolutional
/// networks"): `[images, channels, height, width]`. With [`ReluRule::Guided`], guided backpropagation.
///
/// # Errors
///
/// As [`Gradients::run`](super::Gradients::run); so do the others.
pub fn input_gradients(lens: &Lens, images: &[f32], classes: &[usize], rule: ReluRule) -> Result<Tensor> {
    let mut gradients = lens.gradients(Lens::LOGITS, &[Lens::IMAGES], rule)?;
    Ok(gradients.run(images, classes)?.swap_remove(1))
}

/// Gradients with noise averaged away (Smilkov et al. 2017, "SmoothGrad").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothGrad {
    /// Noisy copies of each image.
    pub samples: usize,
    /// Deviation of the noise, as a share of the image's range.
    pub noise: f32,
    /// Of the noise.
    pub seed: u64,
}

/// The mean of the gradients at noisy copies of each image, shaped as the images.
pub fn smooth_grad(lens: &Lens, images: &[f32], classes: &[usize], smooth: &SmoothGrad) -> Result<Tensor> {
    expect_some("samples", smooth.samples)?;
    let noisy = |number: usize, image: &[f32]| {
        let [low, high] = super::canvas::extremes(image);
        let deviation = f64::from(smooth.noise * (high - low));
        let mut rng = SplitMix64::keyed(smooth.seed, &[number as u64]);
        let copies = (0..smooth.samples).flat_map(|_| image.to_vec());
        copies.map(|number| number + (deviation * rng.normal()) as f32).collect()
    };
    mean_gradients(lens, images, classes, smooth.samples, noisy)
}

/// What each number of images contributes to a class (Sundararajan et al. 2017, "Axiomatic attribution for deep networks").
#[derive(Clone, Debug)]
pub struct IntegratedGradients {
    /// Shaped as the images.
    pub contributions: Tensor,
    /// By image, what the contributions are to add up to: the class's logit, less that of an image of 0s.
    pub differences: Vec<f32>,
}

/// Gradients summed on the straight way from an image of 0s, the mean colour, to each image, in `steps` steps, at the middle
/// of each.
pub fn integrated_gradients(
    lens: &Lens,
    images: &[f32],
    classes: &[usize],
    steps: usize,
) -> Result<IntegratedGradients> {
    expect_some("steps", steps)?;
    let on_the_way = |_: usize, image: &[f32]| {
        let shares = (0..steps).map(|step| (step as f32 + 0.5) / steps as f32);
        shares.flat_map(|share| image.iter().map(move |number| share * number)).collect()
    };
    let means = mean_gradients(lens, images, classes, steps, on_the_way)?;
    let contributions =
        means.as_f32().iter().zip(images).map(|(gradient, number)| gradient * number).collect();
    let mut logits = lens.probe(&[Lens::LOGITS])?;
    let at = logits.only(images)?;
    let base = logits.only(&vec![0.0; lens.image_len()])?;
    let of = |(logits, class): (&[f32], &usize)| logits[*class] - base.as_f32()[*class];
    Ok(IntegratedGradients {
        contributions: Tensor::f32(means.shape(), contributions)?,
        differences: at.as_f32().chunks_exact(lens.classes()).zip(classes).map(of).collect(),
    })
}

/// Where a layer's channels speak for a class: Grad-CAM (Selvaraju et al. 2017), `[images, height, width]` of the layer, from 0 on.
/// Channels are weighed by the mean of the class's gradient over their places.
///
/// # Errors
///
/// [`Error::Argument`] if the layer has no places, or there is none of this name.
pub fn grad_cam(lens: &Lens, images: &[f32], classes: &[usize], layer: &str) -> Result<Tensor> {
    let [channels, height, width] = lens.layer(layer)?.shape[..] else {
        return Err(Error::argument(
            "layer",
            format!("{layer} has no height and width; give one before it is flattened"),
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

fn expect_some(name: &str, count: usize) -> Result<()> {
    match count {
        0 => Err(Error::argument(name, "must be above 0, and is 0")),
        _ => Ok(()),
    }
}

/// For each image, the mean of the gradients at `count` images that `made` makes of its number and itself.
fn mean_gradients(
    lens: &Lens,
    images: &[f32],
    classes: &[usize],
    count: usize,
    made: impl Fn(usize, &[f32]) -> Vec<f32>,
) -> Result<Tensor> {
    let len = lens.image_len();
    if images.len() != classes.len() * len {
        let problem = format!(
            "expected one for each of {} images, found {}; give as many classes as images",
            images.len() / len,
            classes.len()
        );
        return Err(Error::argument("classes", problem));
    }
    let mut gradients = lens.gradients(Lens::LOGITS, &[Lens::IMAGES], ReluRule::Exact)?;
    let mut means = Vec::with_capacity(images.len());
    let images: Vec<(usize, &[f32])> = images.chunks_exact(len).enumerate().collect();
    // Of several images together, where one does not fill the batches.
    for images in images.chunks((super::BATCHES * lens.batch()).div_ceil(count)) {
        let inputs: Vec<f32> = images.iter().flat_map(|(number, image)| made(*number, image)).collect();
        let each: Vec<usize> =
            images.iter().flat_map(|(number, _)| std::iter::repeat_n(classes[*number], count)).collect();
        let all = gradients.run(&inputs, &each)?.swap_remove(1);
        for gradients in all.as_f32().chunks_exact(count * len) {
            let mut mean = vec![0.0; len];
            for gradient in gradients.chunks_exact(len) {
                mean.iter_mut().zip(gradient).for_each(|(sum, number)| *sum += number / count as f32);
            }
            means.extend(mean);
        }
    }
    let [channels, height, width] = lens.image_shape();
    Tensor::f32([classes.len(), channels, height, width], means)
}
