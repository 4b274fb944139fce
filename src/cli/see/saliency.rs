//! `striate see saliency`: what in a picture speaks for a class, by gradients.

use super::flags::{LensFlags, OutFlags, PictureFlags, Subject, label};
use image::RgbImage;
use striate::graph::ReluRule;
use striate::infer::top;
use striate::see::canvas::{self, Scale, Tile};
use striate::see::{
    Album, Lens, Pictures, Record, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad,
};
use striate::{Error, Result, Tensor};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    pictures: PictureFlags,
    /// Number of the class [default: the likeliest of each picture]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
    /// Layer for Grad-CAM [default: the last with height and width]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Noisy copies of a picture for SmoothGrad
    #[arg(long, default_value_t = 24)]
    samples: usize,
    /// Deviation of the noise, as a share of a picture's range
    #[arg(long, default_value_t = 0.15)]
    noise: f32,
    /// Steps of integrated gradients
    #[arg(long, default_value_t = 32)]
    steps: usize,
    /// Of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    out: OutFlags,
}

/// Pixels that a picture is about enlarged to.
const SIDE: usize = 224;

/// What the methods gave, each for all pictures.
struct Maps {
    gradient: Tensor,
    smooth: Tensor,
    guided: Tensor,
    integrated: Tensor,
    cam: Tensor,
}

pub fn run(args: &Args) -> Result<(Record, Pictures)> {
    let (subject, pictures) = args.lens.open_with(&args.pictures)?;
    let lens = &subject.lens;
    let classes = classes(lens, &pictures, args.class)?;
    let layer = match &args.layer {
        Some(name) => name.clone(),
        None => last_with_places(lens)?,
    };
    let smooth = SmoothGrad { samples: args.samples, noise: args.noise, seed: args.seed };
    let images = &pictures.images;
    let integrated = integrated_gradients(lens, images, &classes, args.steps)?;
    let maps = Maps {
        gradient: input_gradients(lens, images, &classes, ReluRule::Exact)?,
        smooth: smooth_grad(lens, images, &classes, &smooth)?,
        guided: input_gradients(lens, images, &classes, ReluRule::Guided)?,
        integrated: integrated.contributions,
        cam: grad_cam(lens, images, &classes, &layer)?,
    };
    let mut album = Album::new(
        &args.out.out,
        "saliency",
        format!("What speaks for a class: gradients of {}", lens.model()),
    )?;
    for (number, class) in classes.iter().enumerate() {
        let class = subject.class(*class);
        let about = format!("{}: {class}", pictures.names[number]);
        album.png(
            &format!("saliency-{number}.png"),
            about,
            &draw(&subject, &pictures, &maps, number, &class),
        )?;
    }
    for (name, tensor) in [
        ("gradient", &maps.gradient),
        ("smoothgrad", &maps.smooth),
        ("guided", &maps.guided),
        ("integrated", &maps.integrated),
        ("grad-cam", &maps.cam),
    ] {
        album.npy(&format!("saliency-{name}.npy"), format!("{name}, all pictures"), tensor)?;
    }
    let caption = format!(
        "Gradient: how much each pixel changes the class's logit (the largest of its channels), bright is much. SmoothGrad: the mean of {} such, with noise of {} of the picture's range. Guided: guided backpropagation in colour, grey is 0. Integrated: what each pixel contributes beside the mean colour, {} steps, red for the class and blue against it. Grad-CAM: where {layer} speaks for the class. Each map has a scale of its own; one pixel in 200 may be beyond it.",
        args.samples, args.noise, args.steps
    );
    Ok((album.finish(caption)?, pictures))
}

/// The class asked for, or the likeliest of each picture.
fn classes(lens: &Lens, pictures: &Pictures, asked: Option<usize>) -> Result<Vec<usize>> {
    if let Some(class) = asked {
        return Ok(vec![class; pictures.len()]);
    }
    let logits = lens.activations(&pictures.images, &[Lens::LOGITS])?.swap_remove(0);
    Ok(logits.as_f32().chunks_exact(lens.classes()).map(|logits| top(logits, 1)[0].class).collect())
}

fn last_with_places(lens: &Lens) -> Result<String> {
    let last = lens.layers().iter().rev().filter(|layer| layer.shape.len() == 3 && layer.pixels() > 1);
    // Of layers that end with the same value, the block.
    let last = last.min_by_key(|layer| layer.name.matches('.').count());
    let name = last.map(|layer| layer.name.clone());
    name.ok_or_else(|| Error::argument("--layer", "no layer of this network has height and width"))
}

/// The picture and its maps, side by side.
fn draw(subject: &Subject, pictures: &Pictures, maps: &Maps, number: usize, class: &str) -> RgbImage {
    let lens = &subject.lens;
    let [channels, height, width] = lens.image_shape();
    let (len, pixels) = (lens.image_len(), height * width);
    let times = canvas::times_to(width, SIDE);
    let part = |tensor: &Tensor| tensor.as_f32()[number * len..][..len].to_vec();
    let over_channels = |tensor: &Tensor, of: fn(&mut dyn Iterator<Item = f32>) -> f32| -> Vec<f32> {
        let numbers = part(tensor);
        (0..pixels).map(|p| of(&mut (0..channels).map(|c| numbers[c * pixels + p]))).collect()
    };
    let magnitude = |tensor: &Tensor| over_channels(tensor, |all| all.fold(0.0, |m, n| m.max(n.abs())));
    let heat = |plane: Vec<f32>| canvas::enlarge(&Scale::of_most(&plane).draw(&plane, width), times);
    let contributions = over_channels(&maps.integrated, |all| all.sum());
    let photo = canvas::photo(pictures.image(number), &lens.preprocessing().normalization, width);
    let photo = canvas::enlarge(&photo, times);
    let cam_len = maps.cam.len() / pictures.len();
    let cam = &maps.cam.as_f32()[number * cam_len..][..cam_len];
    let cam = Scale::of(cam).draw(cam, maps.cam.shape()[2]);
    let tiles = [
        Tile::new(photo.clone(), label(&pictures.names[number])),
        Tile::new(heat(magnitude(&maps.gradient)), "gradient"),
        Tile::new(heat(magnitude(&maps.smooth)), "SmoothGrad"),
        Tile::new(
            canvas::enlarge(&canvas::signed_photo(&part(&maps.guided), channels, width), times),
            "guided",
        ),
        Tile::new(
            canvas::enlarge(&Scale::signed(&contributions).draw(&contributions, width), times),
            "integrated gradients",
        ),
        Tile::new(canvas::overlay(&photo, &cam, 0.6), "Grad-CAM, overlaid"),
    ];
    canvas::grid(&format!("what speaks for {class}"), &tiles, 3)
}
