//! `striate see occlusion`: what a network relies on, found by covering it.

use super::flags::label;
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use striate::Result;
use striate::interpret::drawing::{self, ColorScale};
use striate::interpret::{self, Fill, OcclusionMap};

#[derive(clap::Args)]
pub struct Occlusion {
    /// Side of the patch in pixels [default: a quarter of the image, or up to half if that changes little]
    #[arg(long, value_name = "PIXELS")]
    patch: Option<usize>,
    /// Step of the patch in pixels [default: a quarter of the smallest patch]
    #[arg(long, value_name = "PIXELS")]
    stride: Option<usize>,
    /// What the patch is filled with
    #[arg(long, value_enum, default_value = "grey")]
    fill: FillFlag,
    /// Index of the class [default: the most likely one of each image]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FillFlag {
    #[value(name = "grey", alias = "gray")]
    Gray,
    Mean,
    Border,
    Blur,
}

/// Minimum range of a color scale, so that noise does not stand out where no patch matters.
const SPAN: f32 = 0.1;

/// The values of a map.
const DROP: &str = "drop of the probability, percentage points";

/// Approximate side to which images are scaled up, in pixels.
const SIDE: usize = 224;

impl View for Occlusion {
    const NAME: &str = "occlusion";
    const ON_PAGE: &str = "For each image, the map, and the map over the image.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (network, images) = (context.network, context.images);
        network.check_class(self.class)?;
        let lens = &network.lens;
        let [_, height, width] = lens.image_shape();
        let (fill, with) = match self.fill {
            FillFlag::Gray => (Fill::Gray, "gray"),
            FillFlag::Mean => (Fill::Mean, "the mean color of the image"),
            FillFlag::Border => (Fill::Border, "the mean color of the border of the image"),
            FillFlag::Blur => (Fill::Blur, "a blurred copy of the image"),
        };
        let mut patches = match self.patch {
            Some(patch) => vec![patch],
            None => [2, 3, 4].map(|eighths| (height.min(width) * eighths / 8).max(1)).to_vec(),
        };
        patches.dedup(); // tiny images
        let stride = self.stride.unwrap_or((patches[0] / 4).max(1));
        let occlusions: Vec<interpret::Occlusion> =
            patches.iter().map(|&patch| interpret::Occlusion { patch, stride, fill }).collect();
        context.progress.begin("occlusion", images.len());
        let mut classifier = lens.classifier()?;
        let mut maps = Vec::new();
        for index in 0..images.len() {
            maps.push(smallest_that_matters(&occlusions, |occlusion| {
                occlusion.map(lens, &mut classifier, images.image(index), self.class)
            })?);
            context.progress.step();
        }
        let mut writer = context.writer(Self::NAME, format!("Occlusion: what {} relies on", lens.model()));
        let mut figures = Vec::new();
        for (index, (interpret::Occlusion { patch, .. }, map)) in maps.iter().enumerate() {
            let (name, class) = (&images.names[index], network.class(map.class));
            let percent = 100.0 * map.uncovered;
            let title = format!("{class}: {percent:.1} % uncovered; {patch}-pixel patch every {stride}");
            let own = draw(context, [*patch, stride], map, index);
            let drawn = figure_grid(&title, &own, SIDE, own.len());
            writer.png(&index.to_string(), format!("{name}: {class}"), &drawn)?;
            let about = format!(
                "{name}: probability of {class} with the patch on each cell; {:.6} uncovered",
                map.uncovered
            );
            writer.npy(&index.to_string(), about, &map.probabilities)?;
            figures.extend(own.into_iter().skip(1));
        }
        let caption = format!(
            "A square patch filled with {with} slides over each image in steps of {stride} pixels. The color of a cell is how much the probability of the class drops with the patch centered there. Bright means a large drop: the network relies on what is there.{} The side of the patch is given with each map.{} Each image has its own color scale, spanning at least {SPAN}. ({} positions per image, {} at a time.)",
            match self.patch {
                None => " Where a small patch changes little, a larger one is used.",
                Some(_) => "",
            },
            match fill {
                Fill::Gray =>
                    " On a uniform background, gray adds an object rather than removing one; --fill border does not.",
                _ => "",
            },
            occlusions[0].cells([height, width]).iter().product::<usize>(),
            lens.batch()
        );
        Ok(ViewOutput::new(writer.finish(caption)?, figures))
    }
}

/// The map of the smallest patch that matters anywhere, or of the largest one.
fn smallest_that_matters(
    occlusions: &[interpret::Occlusion],
    mut map: impl FnMut(&interpret::Occlusion) -> Result<OcclusionMap>,
) -> Result<(interpret::Occlusion, OcclusionMap)> {
    let (last, smaller) = occlusions.split_last().expect("there is at least one patch");
    for occlusion in smaller {
        let map = map(occlusion)?;
        let [low, high] = drawing::min_max(map.probabilities.as_f32());
        if high - low >= SPAN {
            return Ok((*occlusion, map));
        }
    }
    Ok((*last, map(last)?))
}

/// The image, the map, and the map over the image.
fn draw(
    context: &ViewContext<'_>,
    [patch, stride]: [usize; 2],
    map: &OcclusionMap,
    index: usize,
) -> [Figure; 3] {
    // Where covering makes the class more likely, nothing is lost.
    let drop = |covered: &f32| 100.0 * (map.uncovered - covered).max(0.0);
    let drops: Vec<f32> = map.probabilities.as_f32().iter().map(drop).collect();
    let [_, largest] = drawing::min_max(&drops);
    let scale = ColorScale::new(0.0, largest.max(100.0 * SPAN));
    let before = 100.0 * map.uncovered;
    let photo = context.network.photo(context.images, index);
    let heat = scale.draw(&drops, map.probabilities.shape()[1]);
    let heat = drawing::upscale_cells(&heat, stride as u32, &photo);
    let overlaid = drawing::overlay(&photo, &heat, 0.6);
    let figure = |image, label: &str| Figure::new(Subject::Image(index), "Occlusion", image, label);
    [
        figure(photo, label(&context.images.names[index])),
        figure(heat, &format!("{patch}-px patch: {before:.1} to {:.1} %", before - largest))
            .with_scale(scale, DROP)
            .with_evidence("occlusion", drops, map.probabilities.shape()[1]),
        figure(overlaid, &format!("over the image: {}", context.network.class(map.class)))
            .with_scale(scale, DROP),
    ]
}
