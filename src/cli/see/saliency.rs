//! `striate see saliency`: what in an image speaks for a class, by gradients.

use super::flags::label;
use super::view::{Of, Plate, Scene, Shown, View, sheet};
use striate::graph::ReluRule;
use striate::infer::top;
use striate::see::canvas::{self, Scale};
use striate::see::{Images, Lens, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad};
use striate::{Error, Result, Tensor};

#[derive(clap::Args)]
pub struct Saliency {
    /// Number of the class [default: the likeliest of each image]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
    /// Layer for Grad-CAM [default: the last with height and width]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Noisy copies of an image for SmoothGrad
    #[arg(long, default_value_t = 32)]
    samples: usize,
    /// Deviation of the noise, as a share of an image's range
    #[arg(long, default_value_t = 0.15)]
    noise: f32,
    /// Steps of integrated gradients
    #[arg(long, default_value_t = 32)]
    steps: usize,
    /// Of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Pixels that an image is about enlarged to.
const SIDE: usize = 224;

/// What the methods gave, each for all images.
struct Maps {
    gradient: Tensor,
    smooth: Tensor,
    guided: Tensor,
    integrated: Tensor,
    cam: Tensor,
}

impl View for Saliency {
    const NAME: &str = "saliency";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (subject, images) = (scene.subject, scene.images);
        subject.check_class(self.class)?;
        let lens = &subject.lens;
        let classes = classes(lens, images, self.class)?;
        let layer = self.layer.clone().map_or_else(|| last_with_places(lens), Ok)?;
        let maps = self.look(scene, &classes, &layer)?;
        let title = format!("What speaks for a class: gradients of {}", lens.model());
        let mut album = scene.album(Self::NAME, title);
        let mut plates = Vec::new();
        for (number, class) in classes.iter().enumerate() {
            let of_this = draw(scene, &maps, number);
            let class = subject.class(*class);
            let about = format!("{}: {class}", images.names[number]);
            let drawn = sheet(&format!("what speaks for {class}"), &of_this, SIDE, 3);
            album.png(&format!("saliency-{number}.png"), about, &drawn)?;
            plates.extend(of_this.into_iter().skip(1));
        }
        for (name, tensor) in [
            ("gradient", &maps.gradient),
            ("smoothgrad", &maps.smooth),
            ("guided", &maps.guided),
            ("integrated", &maps.integrated),
            ("grad-cam", &maps.cam),
        ] {
            album.npy(&format!("saliency-{name}.npy"), format!("{name}, all images"), tensor)?;
        }
        let caption = format!(
            "Gradient: how much each pixel changes the class's logit (the largest of its channels), bright is much. SmoothGrad: the mean of {} such, with noise of {} of the image's range. Guided: guided backpropagation in colour, grey is 0. Integrated: what each pixel contributes beside the mean colour, {} steps, red for the class and blue against it. Grad-CAM: where {layer} speaks for the class. Each map has a scale of its own; one pixel in 200 may be beyond it.",
            self.samples, self.noise, self.steps
        );
        Ok(Shown { record: album.finish(caption)?, plates, drawing: None })
    }
}

impl Saliency {
    fn look(&self, scene: &Scene<'_>, classes: &[usize], layer: &str) -> Result<Maps> {
        let (lens, images) = (&scene.subject.lens, &scene.images.values);
        let smooth = SmoothGrad { samples: self.samples, noise: self.noise, seed: self.seed };
        scene.progress.begin("saliency", 5);
        let done = |map| {
            scene.progress.step();
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

/// The class asked for, or the likeliest of each image.
fn classes(lens: &Lens, images: &Images, asked: Option<usize>) -> Result<Vec<usize>> {
    if let Some(class) = asked {
        return Ok(vec![class; images.len()]);
    }
    let logits = lens.activations(&images.values, &[Lens::LOGITS])?.swap_remove(0);
    Ok(logits.as_f32().chunks_exact(lens.classes()).map(|logits| top(logits, 1)[0].class).collect())
}

fn last_with_places(lens: &Lens) -> Result<String> {
    let last = lens.layers().iter().rev().filter(|layer| layer.shape.len() == 3 && layer.pixels() > 1);
    // Of layers that end with the same value, the block.
    let last = last.min_by_key(|layer| layer.name.matches('.').count());
    let name = last.map(|layer| layer.name.clone());
    name.ok_or_else(|| Error::argument("--layer", "no layer of this network has height and width"))
}

/// The image and its maps.
fn draw(scene: &Scene<'_>, maps: &Maps, number: usize) -> [Plate; 6] {
    let (subject, images) = (scene.subject, scene.images);
    let [channels, height, width] = subject.lens.image_shape();
    let (len, pixels) = (subject.lens.image_len(), height * width);
    let part = |tensor: &Tensor| tensor.as_f32()[number * len..][..len].to_vec();
    let over_channels = |tensor: &Tensor, of: fn(&mut dyn Iterator<Item = f32>) -> f32| -> Vec<f32> {
        let numbers = part(tensor);
        (0..pixels).map(|p| of(&mut (0..channels).map(|c| numbers[c * pixels + p]))).collect()
    };
    let magnitude = |tensor: &Tensor| over_channels(tensor, |all| all.fold(0.0, |m, n| m.max(n.abs())));
    let heat = |plane: Vec<f32>| Scale::of_most(&plane).draw(&plane, width);
    let contributions = over_channels(&maps.integrated, |all| all.sum());
    let photo = subject.photo(images, number);
    let cam_len = maps.cam.len() / images.len();
    let cam = &maps.cam.as_f32()[number * cam_len..][..cam_len];
    let cam = canvas::overlay(&photo, &Scale::of(cam).draw(cam, maps.cam.shape()[2]), 0.6);
    let plate = |image, label: &str| Plate::new(Of::Image(number), "What speaks for the class", image, label);
    [
        plate(photo, label(&images.names[number])),
        plate(heat(magnitude(&maps.gradient)), "gradient"),
        plate(heat(magnitude(&maps.smooth)), "SmoothGrad"),
        plate(canvas::signed_photo(&part(&maps.guided), channels, width), "guided"),
        plate(Scale::signed(&contributions).draw(&contributions, width), "integrated gradients"),
        plate(cam, "Grad-CAM, overlaid"),
    ]
}
