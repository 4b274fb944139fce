//! `striate see ascent`: images that excite units, by activation maximization.

use super::channels::{ChannelFlag, channels_of};
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use crate::cli::json::value;
use serde_json::json;
use std::borrow::Cow;
use striate::interpret::drawing;
use striate::interpret::{self, Distortion, Lens, MaximizedImages, Start, top_activations};
use striate::{Error, Result};

#[derive(clap::Args)]
pub struct ActivationMaximization {
    /// Layers, one sheet for each; `logits` stands for the classes
    #[arg(long, required = true, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Channels or classes, such as 3 of all layers or layer1:3 of one [default: the first --most]
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',')]
    channel: Vec<ChannelFlag>,
    /// Make images for at most COUNT channels per layer if none are given
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    most: usize,
    /// Images per channel, which differ as much as possible
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    variants: usize,
    /// Start from the images that excite the channels most, instead of noise
    #[arg(long)]
    from_images: bool,
    /// Make images of the size that the network expects, even if it is large [default: half of it from 192 pixels]
    #[arg(long)]
    full_size: bool,
    /// Number of steps
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().steps)]
    steps: usize,
    /// Learning rate of the first step; it decays to 0
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().rate)]
    rate: f32,
    /// Shift the image by up to this fraction of its side before each step
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().distortion.shift)]
    shift: f32,
    /// Rotate it by up to this many degrees before each step
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().distortion.rotation)]
    rotation: f32,
    /// Enlarge or reduce it by up to this factor before each step
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().distortion.zoom)]
    zoom: f32,
    /// Weight of the similarity that images of one channel avoid
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().diversity)]
    diversity: f32,
    /// Seed of the noise and the changes
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Approximate side to which images are scaled up, in pixels.
const SIDE: usize = 160;
/// Side from which images of half the size show as much, in a quarter of the time.
const LARGE: usize = 192;

impl View for ActivationMaximization {
    const NAME: &str = "ascent";
    const ON_PAGE: &str = "One of these images for each channel or class.";
    const NEEDS_IMAGES: bool = false;

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let lens = &context.network.lens;
        let Self { steps, rate, shift, rotation, zoom, diversity, seed, .. } = *self;
        let distortion = Distortion { shift, rotation, zoom };
        let ascent = interpret::ActivationMaximization { steps, rate, distortion, diversity, seed };
        context.progress.begin("gradient ascent", self.layer.len() * steps);
        if self.variants == 0 {
            return Err(Error::argument("variants", "must be at least 1, found 0"));
        }
        if self.from_images && context.images.is_empty() {
            return Err(Error::argument("from-images", "needs images; give --data or --dataset"));
        }
        let mut made = Vec::new();
        for layer in &self.layer {
            made.push((layer, self.make(&ascent, context, layer)?));
        }
        let mut writer = context.writer(Self::NAME, format!("Images that excite units of {}", lens.model()));
        let mut figures = Vec::new();
        for (layer, (channels, made)) in &made {
            let own = draw(context, layer, channels, made);
            let title = format!("{} {layer}", lens.model());
            let drawn = figure_grid(&title, &own, SIDE, drawing::square_columns(own.len()));
            writer.png(layer, format!("{} images for channels of {layer}", channels.len()), &drawn)?;
            writer.npy(layer, format!("{layer}: the images, normalized"), &made.images)?;
            let unit = |i: usize| {
                let [before, after, largest] =
                    [&made.before, &made.after, &made.largest].map(|responses| value(&responses[i]));
                json!({ "channel": channels[i], "before": before, "after": after, "largest": largest })
            };
            let units: Vec<serde_json::Value> = (0..channels.len()).map(unit).collect();
            writer.json(
                layer,
                format!("{layer}: mean activation of each channel before and after, and the largest at any position"),
                &units,
            )?;
            figures.extend(own);
        }
        Ok(ViewOutput::new(writer.finish(self.caption(context))?, figures))
    }
}

impl ActivationMaximization {
    /// The channels of a layer, one for each image, and the images.
    fn make(
        &self,
        ascent: &interpret::ActivationMaximization,
        context: &ViewContext<'_>,
        layer: &str,
    ) -> Result<(Vec<usize>, MaximizedImages)> {
        let lens = &context.network.lens;
        let channels = channels_of(lens, layer, &self.channel, self.most)?;
        let channels: Vec<usize> =
            channels.iter().flat_map(|channel| vec![*channel; self.variants]).collect();
        // Batches that are all full.
        let batch = channels.len().div_ceil(channels.len().div_ceil(lens.batch()).max(1)).max(1);
        let (lens, typical) = self.scaled(context, batch)?;
        let starts = match self.from_images {
            true => Some(strongest(&lens, &typical, layer, &channels)?),
            false => None,
        };
        let start = Start { typical: &typical, images: starts.as_deref() };
        let made = ascent.run_from(start, &lens, layer, &channels, &mut || context.progress.step())?;
        Ok((channels, made))
    }

    /// The network and the images at the size of the images to make.
    fn scaled<'a>(&self, context: &ViewContext<'a>, batch: usize) -> Result<(Lens, Cow<'a, [f32]>)> {
        let (network, images) = (context.network, &context.images.values);
        let [_, height, width] = network.lens.image_shape();
        if !self.full_size && height.min(width) >= LARGE {
            // A network whose linear layers fix its input size has no smaller version.
            if let Ok(lens) = network.resized([height / 2, width / 2], batch) {
                return Ok((lens, halved(images, [height, width]).into()));
            }
        }
        Ok((network.resized([height, width], batch)?, images.into()))
    }

    fn caption(&self, context: &ViewContext<'_>) -> String {
        let Self { steps, rate, shift, rotation, zoom, seed, .. } = self;
        let start = match context.images.len() {
            0 => "faint noise with the colors of photographs".to_owned(),
            count if self.from_images => format!("the one of {count} images that excites it most"),
            count => format!("faint noise around the mean of {count} images"),
        };
        format!(
            "Each image was changed in small steps to increase the mean activation of one channel, or the logit of one class \
             (gradient ascent), starting from {start}. The numbers with it are the activation reached: the largest at any \
             position (max), as for top activations, and the mean. Where a ReLU holds a \
             channel at 0, the input of the ReLU is increased instead. Images are spectra whose amplitudes fall with frequency \
             as in photographs. {steps} steps of Adam with a learning rate of {rate}; before each, the image is shifted by up \
             to {:.0} % of its side, rotated by up to {rotation} degrees and scaled by up to {zoom}; seed {seed}.",
            100.0 * shift
        )
    }
}

/// For each channel, the image with its largest activation; for its variants, the next ones.
fn strongest(lens: &Lens, images: &[f32], layer: &str, channels: &[usize]) -> Result<Vec<f32>> {
    let len = lens.image_len();
    let rank = |index: usize| channels[..index].iter().filter(|other| **other == channels[index]).count();
    let ranks = (0..channels.len()).map(rank).max().unwrap_or(0) + 1;
    let top = top_activations(lens, images, &[layer], ranks.min(images.len() / len))?.swap_remove(0);
    let image = |index: usize| {
        let best = &top.channels()[channels[index]];
        &images[best[rank(index) % best.len()].image * len..][..len]
    };
    Ok((0..channels.len()).flat_map(image).copied().collect())
}

/// Planes at half the size, each value the mean of four.
fn halved(planes: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let halve = |plane: &[f32]| -> Vec<f32> {
        let at = |y: usize, x: usize| plane[y * width + x];
        let mean = |y: usize, x: usize| (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4.0;
        let positions = (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (2 * y, 2 * x)));
        positions.map(|(y, x)| mean(y, x)).collect()
    };
    planes.chunks_exact(height * width).flat_map(halve).collect()
}

/// One figure per image.
fn draw(context: &ViewContext<'_>, layer: &str, channels: &[usize], made: &MaximizedImages) -> Vec<Figure> {
    let lens = &context.network.lens;
    let [_, height, width] = lens.image_shape();
    let [_, colors, rows, columns] = *made.images.shape() else { unreachable!("images are NCHW") };
    let figure = |(index, image): (usize, &[f32])| {
        let photo = drawing::denormalize(image, &lens.preprocessing().normalization, columns);
        let photo = match [rows, columns] == [height, width] {
            true => photo,
            false => drawing::resize(&photo, width as u32, height as u32),
        };
        let unit = match layer == Lens::LOGITS {
            true => format!("{}, score", context.network.class(channels[index])),
            false => channels[index].to_string(),
        };
        let (largest, mean) = (made.largest[index], made.after[index]);
        let label = match lens.layer(layer).is_ok_and(|layer| layer.pixels() == 1) {
            true => format!("{unit}: {mean:.2}"),
            false => format!("{unit}: max {largest:.2}, mean {mean:.2}"),
        };
        Figure::new(Subject::Unit(layer.to_owned(), channels[index]), "Synthetic image", photo, label)
    };
    made.images.as_f32().chunks_exact(colors * rows * columns).enumerate().map(figure).collect()
}
