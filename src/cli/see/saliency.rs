//! `striate see saliency`: which pixels matter for a class, computed from gradients.

use super::flags::label;
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use striate::graph::ReluRule;
use striate::infer::top;
use striate::interpret::drawing::{self, ColorScale};
use striate::interpret::{
    Images, Lens, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad,
};
use striate::{Error, Result, Tensor};

#[derive(clap::Args)]
pub struct Saliency {
    /// Index of the class [default: the most likely one of each image]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
    /// Layer for Grad-CAM [default: the last one with height and width]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Noisy copies per image for SmoothGrad
    #[arg(long, default_value_t = 32)]
    samples: usize,
    /// Standard deviation of the noise, as a fraction of the image's range
    #[arg(long, default_value_t = 0.15)]
    noise: f32,
    /// Steps of integrated gradients
    #[arg(long, default_value_t = 32)]
    steps: usize,
    /// Seed of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Approximate side to which images are scaled up, in pixels.
const SIDE: usize = 224;

/// The result of each method for all images.
struct Maps {
    gradient: Tensor,
    smooth: Tensor,
    guided: Tensor,
    integrated: Tensor,
    cam: Tensor,
}

impl View for Saliency {
    const NAME: &str = "saliency";
    const ON_PAGE: &str = "For each image, one map by each method.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (network, images) = (context.network, context.images);
        network.check_class(self.class)?;
        let lens = &network.lens;
        let classes = classes(lens, images, self.class)?;
        let layer = self.layer.clone().map_or_else(|| last_with_pixels(lens), Ok)?;
        let maps = self.compute(context, &classes, &layer)?;
        let title = format!("Saliency: pixels that matter to {}", lens.model());
        let mut writer = context.writer(Self::NAME, title);
        let mut figures = Vec::new();
        for (index, class) in classes.iter().enumerate() {
            let own = draw(context, &maps, index);
            let class = network.class(*class);
            let about = format!("{}: {class}", images.names[index]);
            let drawn = figure_grid(&format!("saliency for {class}"), &own, SIDE, 3);
            writer.png(&index.to_string(), about, &drawn)?;
            figures.extend(own.into_iter().skip(1));
        }
        for (name, tensor) in [
            ("gradient", &maps.gradient),
            ("smoothgrad", &maps.smooth),
            ("guided", &maps.guided),
            ("integrated", &maps.integrated),
            ("grad-cam", &maps.cam),
        ] {
            writer.npy(name, format!("{name}, all images"), tensor)?;
        }
        let caption = format!(
            "Five ways to find the pixels that matter for a class. Gradient: how much the logit of the class changes with each pixel, largest over color channels; bright means a strong effect. SmoothGrad: the gradient averaged over {} noisy copies, with noise of {} of the range of the image. Guided: guided backpropagation, which passes only positive gradients through each ReLU. Integrated gradients: the contribution of each pixel relative to the mean color, in {} steps; orange supports the class, blue opposes it. Grad-CAM: where {layer} supports the class. Each map has its own scale; the largest 0.5 % of values may be clipped.",
            self.samples, self.noise, self.steps
        );
        Ok(ViewOutput::new(writer.finish(caption)?, figures))
    }
}

impl Saliency {
    fn compute(&self, context: &ViewContext<'_>, classes: &[usize], layer: &str) -> Result<Maps> {
        let (lens, images) = (&context.network.lens, &context.images.values);
        let smooth = SmoothGrad { samples: self.samples, noise: self.noise, seed: self.seed };
        context.progress.begin("saliency", 5);
        let done = |map| {
            context.progress.step();
            map
        };
        Ok(Maps {
            gradient: done(input_gradients(lens, images, classes, ReluRule::Exact)?),
            guided: done(input_gradients(lens, images, classes, ReluRule::Guided)?),
            cam: done(grad_cam(lens, images, classes, layer)?),
            smooth: done(smooth_grad(lens, images, classes, &smooth)?),
            integrated: done(integrated_gradients(lens, images, classes, self.steps)?.contributions),
        })
    }
}

/// The class given, or the most likely one of each image.
pub fn classes(lens: &Lens, images: &Images, given: Option<usize>) -> Result<Vec<usize>> {
    if let Some(class) = given {
        return Ok(vec![class; images.len()]);
    }
    let logits = lens.activations(&images.values, &[Lens::LOGITS])?.swap_remove(0);
    Ok(logits.as_f32().chunks_exact(lens.classes()).map(|logits| top(logits, 1)[0].class).collect())
}

/// The outermost of the last layers with height and width.
pub fn last_with_pixels(lens: &Lens) -> Result<String> {
    let name = lens.last_with_pixels().map(|layer| layer.name.clone());
    name.ok_or_else(|| Error::argument("--layer", "no layer of this network has height and width"))
}

/// The image, followed by its maps.
fn draw(context: &ViewContext<'_>, maps: &Maps, index: usize) -> [Figure; 6] {
    let (network, images) = (context.network, context.images);
    let [channels, height, width] = network.lens.image_shape();
    let (len, pixels) = (network.lens.image_len(), height * width);
    let part = |tensor: &Tensor| tensor.as_f32()[index * len..][..len].to_vec();
    let over_channels = |tensor: &Tensor, of: fn(&mut dyn Iterator<Item = f32>) -> f32| -> Vec<f32> {
        let values = part(tensor);
        (0..pixels).map(|p| of(&mut (0..channels).map(|c| values[c * pixels + p]))).collect()
    };
    let magnitude = |tensor: &Tensor| over_channels(tensor, |all| all.fold(0.0, |m, n| m.max(n.abs())));
    let contributions = over_channels(&maps.integrated, |all| all.sum());
    let photo = network.photo(images, index);
    let cam_len = maps.cam.len() / images.len();
    let cam = &maps.cam.as_f32()[index * cam_len..][..cam_len];
    let cam_scale = ColorScale::min_max(cam);
    let drawn_cam = drawing::overlay(&photo, &cam_scale.draw(cam, maps.cam.shape()[2]), 0.6);
    let figure = |image, label: &str| Figure::new(Subject::Image(index), "Saliency", image, label);
    let heat = |tensor, label| {
        let plane = magnitude(tensor);
        let scale = ColorScale::clipped(&[&plane[..], &[0.0]].concat());
        figure(scale.draw(&plane, width), label)
            .with_scale(scale, "change of the score (logit) per pixel")
            .with_evidence(label, plane, width)
    };
    let signed = ColorScale::diverging(&contributions);
    [
        figure(photo, label(&images.names[index])),
        heat(&maps.gradient, "gradient"),
        heat(&maps.smooth, "SmoothGrad"),
        heat(&maps.guided, "guided backpropagation"),
        figure(signed.draw(&contributions, width), "integrated gradients")
            .with_scale(signed, "part of the score (logit)")
            .with_evidence("integrated gradients", contributions, width),
        figure(drawn_cam, "Grad-CAM, over the image")
            .with_scale(cam_scale, "support of the class")
            .with_evidence("Grad-CAM", cam.to_vec(), maps.cam.shape()[2]),
    ]
}
