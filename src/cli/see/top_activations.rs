//! `striate see peaks`: the images and patches that excite the channels of a layer most.

use super::channels::{ChannelFlag, channels_of};
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use image::{Rgb, RgbImage, imageops};
use serde::Serialize;
use std::ops::Range;
use striate::Result;
use striate::graph::ReceptiveField;
use striate::interpret::{Images, Lens, TopActivation, drawing, effective_receptive_field, top_activations};

#[derive(clap::Args)]
pub struct TopActivations {
    /// Layers, one sheet for each
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    layer: Vec<String>,
    /// Channels to draw, such as 3 of all layers or layer1:3 of one [default: the first --most]
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS")]
    channel: Vec<ChannelFlag>,
    /// Draw at most COUNT channels per layer if none are given
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    most: usize,
    /// Images per channel
    #[arg(long, default_value_t = 9, value_name = "COUNT")]
    top: usize,
}

/// Width of images and patches, in pixels.
const SIDE: u32 = 144;
pub const FRAME: Rgb<u8> = Rgb([230, 0, 120]);
/// Color of the padding that a field reaches into.
const PADDING: Rgb<u8> = Rgb([200; 3]);

#[derive(Serialize)]
struct Found<'a> {
    layer: &'a str,
    /// Receptive field, vertically and horizontally.
    receptive_field: [ReceptiveField; 2],
    /// Side of the patches drawn, if the receptive field is larger than the image.
    patch: Option<usize>,
    #[serde(rename = "pictures")]
    images: &'a [String],
    /// For every channel, its top activations.
    channels: &'a [Vec<TopActivation>],
}

impl View for TopActivations {
    const NAME: &str = "peaks";
    const ON_PAGE: &str = "For each channel, the patches that excite it most, then the images they come from, with the patch in a frame.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (lens, images) = (&context.network.lens, context.images);
        let channels = |name: &String| channels_of(lens, name, &self.channel, self.most);
        let channels = self.layer.iter().map(channels).collect::<Result<Vec<_>>>()?;
        context.progress.begin("top activations", self.layer.len());
        let layers: Vec<&str> = self.layer.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        for (name, tops) in layers.iter().zip(top_activations(lens, &images.values, &layers, self.top)?) {
            found.push((name, FieldOfView::of(lens, images, name)?, tops));
            context.progress.step();
        }
        let names = self.layer.join(", ");
        let mut writer =
            context.writer(Self::NAME, format!("Top activations of {names} in {}", lens.model()));
        let mut caption = format!(
            "For each channel, the {} of {} images with the largest activations, in decreasing order. Above: the pixels that \
             the unit can see, its receptive field, with gray for padding. Below: the whole image, with that field in a \
             frame. A field larger than the image is cut down to its effective part. Labels give the channel with its \
             activation, and the class or name of the image.",
            self.top,
            images.len()
        );
        let mut figures = Vec::new();
        for ((name, view, tops), channels) in found.iter().zip(&channels) {
            let own: Vec<Figure> = channels
                .iter()
                .flat_map(|channel| draw(context, name, view, *channel, &tops.channels()[*channel]))
                .collect();
            let heading = format!("{name} of {}: top activations of each channel", lens.model());
            let about =
                format!("{name}: for each channel, the patches with the top activations and their images");
            writer.png(name, about, &figure_grid(&heading, &own, SIDE as usize, self.top))?;
            let result = Found {
                layer: name,
                receptive_field: view.axes,
                patch: view.patch,
                images: &images.names,
                channels: tops.channels(),
            };
            let about = format!("{name}: top activations of all channels");
            writer.json(&format!("{name}-found"), about, &result)?;
            caption.push_str(&format!(" {name} sees {}.", view.describe()));
            figures.extend(own);
        }
        Ok(ViewOutput::new(writer.finish(caption)?, figures))
    }
}

/// The part of an image that the units of a layer see.
pub struct FieldOfView {
    axes: [ReceptiveField; 2],
    /// Height and width of the image.
    image: [usize; 2],
    /// Side of the effective receptive field, if the theoretical one is larger than the image.
    patch: Option<usize>,
}

impl FieldOfView {
    /// Measures the effective receptive field on one batch of images.
    pub fn of(lens: &Lens, images: &Images, layer: &str) -> Result<Self> {
        let axes = lens.receptive_field(layer)?;
        let [_, height, width] = lens.image_shape();
        let patch = match axes[0].size >= height || axes[1].size >= width {
            true => {
                let few = &images.values[..lens.batch().min(images.len()) * lens.image_len()];
                let side = effective_receptive_field(lens, few, layer, None)?.size().round() as usize;
                Some(side.clamp(1, height.min(width)))
            }
            false => None,
        };
        Ok(Self { axes, image: [height, width], patch })
    }

    /// Rows and columns that the unit at a position sees; some may lie in the padding.
    pub fn at(&self, position: [usize; 2]) -> [Range<isize>; 2] {
        std::array::from_fn(|i| {
            let field = self.axes[i].pixels(position[i]);
            let Some(patch) = self.patch.map(|side| side as isize) else { return field };
            let start = (field.start + field.end - patch) / 2;
            let start = start.clamp(0, self.image[i] as isize - patch);
            start..start + patch
        })
    }

    /// The pixels that the unit at a position sees, scaled to about `side`.
    pub fn patch(&self, photo: &RgbImage, position: [usize; 2], side: u32) -> RgbImage {
        drawing::scale_to_width(&crop(photo, self.at(position)), side)
    }

    pub fn describe(&self) -> String {
        let cut = self.patch.map_or(String::new(), |side| format!(", {side} x {side} of them drawn"));
        format!("{} x {} pixels{cut}", self.axes[0].size, self.axes[1].size)
    }
}

/// The patches that excite a channel most, then their images.
fn draw(
    context: &ViewContext<'_>,
    layer: &str,
    view: &FieldOfView,
    channel: usize,
    tops: &[TopActivation],
) -> Vec<Figure> {
    let photo = |top: &TopActivation| context.network.photo(context.images, top.image);
    let figure =
        |group, image, label| Figure::new(Subject::Unit(layer.to_owned(), channel), group, image, label);
    let patches = tops.iter().map(|top| {
        let patch = view.patch(&photo(top), top.position, SIDE);
        figure("Top patches", patch, format!("{channel}: {:.2}", top.value))
    });
    let whole = tops.iter().map(|top| {
        let image = framed(&photo(top), view.at(top.position), SIDE, FRAME);
        figure("Their images", image, context.network.called(context.images, top.image))
    });
    patches.chain(whole).collect()
}

/// Crops a field, filling in the padding.
fn crop(image: &RgbImage, [rows, columns]: [Range<isize>; 2]) -> RgbImage {
    let mut patch = RgbImage::from_pixel(columns.len() as u32, rows.len() as u32, PADDING);
    imageops::replace(&mut patch, image, -(columns.start as i64), -(rows.start as i64));
    patch
}

/// Scales an image to at most `across` pixels and frames a field.
pub fn framed(image: &RgbImage, field: [Range<isize>; 2], across: u32, color: Rgb<u8>) -> RgbImage {
    let mut drawn = drawing::scale_to_width(image, across);
    let [down, right] = [(drawn.height(), image.height()), (drawn.width(), image.width())]
        .map(|(drawn, image)| f64::from(drawn) / f64::from(image));
    let scaled = |range: &Range<isize>, times: f64, side: u32| {
        let [start, end] = [range.start, range.end].map(|x| (x as f64 * times).round() as isize);
        // A field that reaches into the padding is framed along the edge.
        start.max(0)..end.min(side as isize)
    };
    let field = [scaled(&field[0], down, drawn.height()), scaled(&field[1], right, drawn.width())];
    drawing::outline(&mut drawn, field, 2, color);
    drawn
}
