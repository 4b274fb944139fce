//! `striate see activations`: the output of layers, channel by channel.

use super::flags::label;
use super::view::{Figure, Subject, View, ViewContext, ViewOutput};
use image::RgbImage;
use striate::Result;
use striate::interpret::drawing::{self, ColorScale, Tile};
use striate::interpret::{self, ChannelStats, activations};

#[derive(clap::Args)]
pub struct Activations {
    /// Layers to draw
    #[arg(long, required = true, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Draw at most COUNT channels
    #[arg(long, default_value_t = 64, value_name = "COUNT")]
    most: usize,
}

/// Channels per image and layer on the page.
const STRONGEST: usize = 6;

/// Approximate side to which channels are scaled up, in pixels.
const SIDE: usize = 64;

impl View for Activations {
    const NAME: &str = "activations";
    const ON_PAGE: &str =
        "For each image and layer, the six channels with the largest activations in it, on one color scale.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (lens, images) = (&context.network.lens, context.images);
        context.progress.begin("activations", self.layer.len() * images.len());
        let layers: Vec<&str> = self.layer.iter().map(String::as_str).collect();
        let seen = activations(lens, &images.values, &layers)?;
        let mut writer = context.writer(Self::NAME, format!("Activations of {}", lens.model()));
        let mut caption = format!("{} images. ", images.len());
        let mut figures = Vec::new();
        for layer in &seen {
            let name = &layer.layer;
            for image in 0..images.len() {
                let about = format!("{name} on {}", images.names[image]);
                let drawn = self.draw(context, layer, image);
                writer.png(&format!("{name}-{image}"), about, &drawn)?;
                figures.extend(strongest(layer, image));
                context.progress.step();
            }
            writer.npy(name, format!("{name}: activations of all channels on all images"), &layer.values)?;
            let about = format!("{name}: statistics of each channel over all images");
            writer.json(&format!("{name}-units"), about, &layer.channels)?;
            caption.push_str(&self.describe(layer));
        }
        caption.push_str(
            "A channel is dead if it is never above 0 on these images, and saturated if it always is. Each image has its own color scale, given above it.",
        );
        Ok(ViewOutput::new(writer.finish(caption)?, figures))
    }
}

impl Activations {
    fn describe(&self, layer: &interpret::Activations) -> String {
        let (name, channels) = (&layer.layer, layer.channels.len());
        let [dead, saturated] = [ChannelStats::is_dead, ChannelStats::is_saturated]
            .map(|is: fn(&ChannelStats) -> bool| layer.channels.iter().filter(|unit| is(unit)).count());
        let shown = match self.most < channels {
            true => format!(", the first {} of them drawn", self.most),
            false => String::new(),
        };
        format!(
            "{name} has {channels} channels{shown}, one tile each below its index; {dead} are dead (d) and {saturated} saturated (s). "
        )
    }

    /// The image, followed by its channels.
    fn draw(&self, context: &ViewContext<'_>, layer: &interpret::Activations, image: usize) -> RgbImage {
        let Output { values, width, pixels } = Output::of(layer, image);
        let scale = ColorScale::clipped(values);
        let factor = drawing::upscale_factor(width, SIDE);
        let height = pixels / width;
        let photo = context.network.photo(context.images, image);
        let photo = drawing::resize(&photo, width as u32 * factor, height as u32 * factor);
        let channel = |(stats, plane): (&ChannelStats, &[f32])| {
            let mark = match (stats.is_dead(), stats.is_saturated()) {
                (true, _) => "d",
                (_, true) => "s",
                _ => "",
            };
            Tile::new(drawing::upscale(&scale.draw(plane, width), factor), format!("{}{mark}", stats.channel))
        };
        let channels = layer.channels.iter().zip(values.chunks_exact(pixels)).take(self.most).map(channel);
        let tiles: Vec<Tile> = std::iter::once(Tile::new(photo, "image")).chain(channels).collect();
        let name = label(&context.images.names[image]);
        let title = format!("{} on {name}; {}", layer.layer, scale.describe());
        drawing::image_grid(&title, &tiles, drawing::square_columns(tiles.len()))
    }
}

/// The output of a layer for one image.
struct Output<'a> {
    values: &'a [f32],
    width: usize,
    /// Values per channel.
    pixels: usize,
}

impl<'a> Output<'a> {
    fn of(layer: &'a interpret::Activations, image: usize) -> Self {
        let len = layer.values.len() / layer.values.shape()[0];
        // Features have no height and width, and are drawn as one pixel each.
        let width = layer.values.shape().get(3).copied().unwrap_or(1);
        let values = &layer.values.as_f32()[image * len..][..len];
        Self { values, width, pixels: len / layer.channels.len() }
    }
}

/// The channels with the largest activations in an image, on one color scale.
fn strongest(layer: &interpret::Activations, image: usize) -> Vec<Figure> {
    let Output { values, width, pixels } = Output::of(layer, image);
    let plane = |channel: usize| &values[channel * pixels..][..pixels];
    let largest = |channel: usize| drawing::min_max(plane(channel))[1];
    let mut channels: Vec<usize> = (0..layer.channels.len()).collect();
    channels.sort_by(|a, b| largest(*b).total_cmp(&largest(*a)));
    channels.truncate(STRONGEST);
    let shown: Vec<f32> = channels.iter().flat_map(|channel| plane(*channel)).copied().collect();
    let scale = ColorScale::clipped(&shown);
    let figure = |channel: usize| {
        let drawn = scale.draw(plane(channel), width);
        let label = format!("channel {channel}");
        Figure::new(Subject::Image(image), &layer.layer, drawn, label).with_scale(scale, "activation")
    };
    channels.into_iter().map(figure).collect()
}
