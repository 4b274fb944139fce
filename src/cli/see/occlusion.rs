//! `striate see occlusion`: where a network looks, by covering it.

use super::flags::label;
use super::view::{Of, Plate, Scene, Shown, View, sheet};
use striate::Result;
use striate::see::canvas::{self, Scale};
use striate::see::{Fill, Occlusion as Sliding, OcclusionMap};

#[derive(clap::Args)]
pub struct Occlusion {
    /// Side of the patch in pixels [default: a quarter of the image, or more, up to half, where that changes nothing]
    #[arg(long, value_name = "PIXELS")]
    patch: Option<usize>,
    /// Pixels from one place of the patch to the next [default: a quarter of the (smallest) patch]
    #[arg(long, value_name = "PIXELS")]
    stride: Option<usize>,
    /// What the patch covers with
    #[arg(long, value_enum, default_value = "grey")]
    fill: FillFlag,
    /// Number of the class [default: the likeliest of each image]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FillFlag {
    Grey,
    Mean,
    Blur,
}

/// A scale spans at least so much: where no patch matters, no cell stands out.
const SPAN: f32 = 0.1;

/// Pixels that an image is about enlarged to.
const SIDE: usize = 224;

impl View for Occlusion {
    const NAME: &str = "occlusion";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (subject, images) = (scene.subject, scene.images);
        subject.check_class(self.class)?;
        let lens = &subject.lens;
        let [_, height, width] = lens.image_shape();
        let (fill, with) = match self.fill {
            FillFlag::Grey => (Fill::Grey, "middle grey"),
            FillFlag::Mean => (Fill::Mean, "the image's mean colour"),
            FillFlag::Blur => (Fill::Blur, "the image itself, blurred"),
        };
        let mut patches = match self.patch {
            Some(patch) => vec![patch],
            None => [2, 3, 4].map(|eighths| (height.min(width) * eighths / 8).max(1)).to_vec(),
        };
        patches.dedup(); // of tiny images
        let stride = self.stride.unwrap_or((patches[0] / 4).max(1));
        let slidings: Vec<Sliding> = patches.iter().map(|&patch| Sliding { patch, stride, fill }).collect();
        scene.progress.begin("occlusion", images.len());
        let mut classifier = lens.classifier()?;
        let mut maps = Vec::new();
        for number in 0..images.len() {
            maps.push(slide(&slidings, |sliding| {
                sliding.map(lens, &mut classifier, images.image(number), self.class)
            })?);
            scene.progress.step();
        }
        let mut album = scene.album(Self::NAME, format!("Where {} looks: occlusion", lens.model()));
        let mut plates = Vec::new();
        for (number, (Sliding { patch, .. }, map)) in maps.iter().enumerate() {
            let (name, class) = (&images.names[number], subject.class(map.class));
            let percent = 100.0 * map.uncovered;
            let title = format!("{class}: {percent:.1} % uncovered; {patch}-pixel patch every {stride}");
            let of_this = draw(scene, [*patch, stride], map, number);
            let drawn = sheet(&title, &of_this, SIDE, of_this.len());
            album.png(&format!("occlusion-{number}.png"), format!("{name}: {class}"), &drawn)?;
            let about = format!(
                "{name}: probability of {class} with the patch on each cell; {:.6} uncovered",
                map.uncovered
            );
            album.npy(&format!("occlusion-{number}.npy"), about, &map.probabilities)?;
            plates.extend(of_this.into_iter().skip(1));
        }
        let caption = format!(
            "A square patch, its side in pixels given over each map, covers each image with {with}, on the middle of every cell of {stride} x {stride}; a cell's colour is how likely the class then is. Dark is where covering makes it unlikely: what it is told by. One scale for each image, over it, of at least {SPAN}.{} ({} places each, {} at a time.)",
            match self.patch {
                None => " Where a small patch makes no such difference, a larger one is taken.",
                Some(_) => "",
            },
            slidings[0].cells([height, width]).iter().product::<usize>(),
            lens.batch()
        );
        Ok(Shown { record: album.finish(caption)?, plates, drawing: None })
    }
}

/// What the first patch that matters somewhere did, or the last one.
fn slide(
    slidings: &[Sliding],
    mut map: impl FnMut(&Sliding) -> Result<OcclusionMap>,
) -> Result<(Sliding, OcclusionMap)> {
    let (last, smaller) = slidings.split_last().expect("there is a patch");
    for sliding in smaller {
        let map = map(sliding)?;
        let [low, high] = canvas::extremes(map.probabilities.as_f32());
        if high - low >= SPAN {
            return Ok((*sliding, map));
        }
    }
    Ok((*last, map(last)?))
}

/// The image, the map, and the map on the image.
fn draw(scene: &Scene<'_>, [patch, stride]: [usize; 2], map: &OcclusionMap, number: usize) -> [Plate; 3] {
    let numbers = map.probabilities.as_f32();
    let [low, high] = canvas::extremes(numbers);
    let low = low.min((high - SPAN).max(0.0));
    let scale = Scale::range(low, high);
    let photo = scene.subject.photo(scene.images, number);
    let heat = scale.draw(numbers, map.probabilities.shape()[1]);
    let heat = canvas::cover(&heat, stride as u32, &photo);
    let laid_over = canvas::overlay(&photo, &heat, 0.6);
    let plate = |image, label: &str| Plate::new(Of::Image(number), "Covered there", image, label);
    [
        plate(photo, label(&scene.images.names[number])),
        plate(heat, &format!("{low:.3} to {high:.3}, patch {patch}")),
        plate(laid_over, &format!("overlaid: {}", scene.subject.class(map.class))),
    ]
}
