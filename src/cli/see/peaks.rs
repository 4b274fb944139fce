//! `striate see peaks`: what excites the channels of a layer the most.

use super::view::{Of, Plate, Scene, Shown, View, sheet};
use image::{Rgb, RgbImage, imageops};
use serde::Serialize;
use std::ops::Range;
use striate::Result;
use striate::graph::Axis;
use striate::see::{Images, Lens, Peak, canvas, effective_field, peaks};

#[derive(clap::Args)]
pub struct Peaks {
    /// Layers. Each becomes a sheet of its own
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    layer: Vec<String>,
    /// Draw these channels [default: the first ones, as many as --most]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    channel: Vec<usize>,
    /// Draw at most so many channels of a layer, where none are given
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    most: usize,
    /// Images for each channel
    #[arg(long, default_value_t = 9, value_name = "COUNT")]
    top: usize,
}

/// Pixels across that images and patches are drawn with.
const SIDE: u32 = 144;
const FRAME: Rgb<u8> = Rgb([230, 0, 120]);
/// What a field sees of the padding.
const PADDING: Rgb<u8> = Rgb([200; 3]);

#[derive(Serialize)]
struct Found<'a> {
    layer: &'a str,
    /// What each unit sees, vertically and horizontally.
    receptive_field: [Axis; 2],
    /// Side of the patches that are drawn, where the receptive field is larger than an image.
    patch: Option<usize>,
    #[serde(rename = "pictures")]
    images: &'a [String],
    /// By channel, all of them, the highest peaks.
    channels: &'a [Vec<Peak>],
}

impl View for Peaks {
    const NAME: &str = "peaks";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (lens, images) = (&scene.subject.lens, scene.images);
        for name in &self.layer {
            let layer = lens.layer(name)?;
            self.channel.iter().try_for_each(|channel| layer.check_channel(*channel))?;
        }
        scene.progress.begin("peaks", self.layer.len());
        let mut found = Vec::new();
        for name in &self.layer {
            found.push((name, Sight::of(lens, images, name)?, peaks(lens, &images.values, name, self.top)?));
            scene.progress.step();
        }
        let names = self.layer.join(", ");
        let mut album = scene.album(Self::NAME, format!("What excites {names} of {} the most", lens.model()));
        let mut caption = format!(
            "For each channel, the {} of {} images in which it gives the most anywhere, the most first. Above, the pixels \
             that the unit can see there, its receptive field, with grey for padding; below, the image with that field \
             framed. A field larger than an image is cut down to its effective part, around its middle. Labels: the channel, \
             and what it gives; the image's class, or name.",
            self.top,
            images.len()
        );
        let mut plates = Vec::new();
        for (name, sight, peaks) in &found {
            let channels = match self.channel.is_empty() {
                true => (0..peaks.channels().len().min(self.most)).collect(),
                false => self.channel.clone(),
            };
            let of_this: Vec<Plate> = channels
                .iter()
                .flat_map(|channel| draw(scene, name, sight, *channel, &peaks.channels()[*channel]))
                .collect();
            let heading =
                format!("{name} of {}: what each channel sees at its highest, and where", lens.model());
            let about = format!("{name}: by channel, what its units see at their highest, and where that is");
            album.png(
                &format!("peaks-{name}.png"),
                about,
                &sheet(&heading, &of_this, SIDE as usize, self.top),
            )?;
            let numbers = Found {
                layer: name,
                receptive_field: sight.axes,
                patch: sight.patch,
                images: &images.names,
                channels: peaks.channels(),
            };
            let about = format!("{name}: the highest peaks of all channels");
            album.json(&format!("peaks-{name}-found.json"), about, &numbers)?;
            caption.push_str(&format!(" {name} sees {}.", sight.in_words()));
            plates.extend(of_this);
        }
        Ok(Shown { record: album.finish(caption)?, plates, drawing: None })
    }
}

/// What units of a layer see of an image.
struct Sight {
    axes: [Axis; 2],
    /// Height and width of the images.
    image: [usize; 2],
    /// Side of what they see in effect, where their field is larger than the image.
    patch: Option<usize>,
}

impl Sight {
    /// The effective part is measured on a batch of images.
    fn of(lens: &Lens, images: &Images, layer: &str) -> Result<Self> {
        let axes = lens.receptive_field(layer)?;
        let [_, height, width] = lens.image_shape();
        let patch = match axes[0].size >= height || axes[1].size >= width {
            true => {
                let few = &images.values[..lens.batch().min(images.len()) * lens.image_len()];
                let side = effective_field(lens, few, layer, None)?.size().round() as usize;
                Some(side.clamp(1, height.min(width)))
            }
            false => None,
        };
        Ok(Self { axes, image: [height, width], patch })
    }

    /// Rows and columns that the unit at a place sees; some may lie in the padding.
    fn at(&self, place: [usize; 2]) -> [Range<isize>; 2] {
        std::array::from_fn(|i| {
            let field = self.axes[i].field(place[i]);
            let Some(patch) = self.patch.map(|side| side as isize) else { return field };
            let start = (field.start + field.end - patch) / 2;
            let start = start.clamp(0, self.image[i] as isize - patch);
            start..start + patch
        })
    }

    fn in_words(&self) -> String {
        let cut = self.patch.map_or(String::new(), |side| format!(", of which {side} x {side} are drawn"));
        format!("{} x {} pixels{cut}", self.axes[0].size, self.axes[1].size)
    }
}

/// What a channel sees at its peaks, and then where they are.
fn draw(scene: &Scene<'_>, layer: &str, sight: &Sight, channel: usize, peaks: &[Peak]) -> Vec<Plate> {
    let photo = |peak: &Peak| scene.subject.photo(scene.images, peak.image);
    let plate = |group, image, label| Plate::new(Of::Unit(layer.to_owned(), channel), group, image, label);
    let seen = peaks.iter().map(|peak| {
        let patch = canvas::fit(&crop(&photo(peak), sight.at(peak.place)), SIDE);
        plate("What excites it the most", patch, format!("{channel}: {:.2}", peak.value))
    });
    let whole = peaks.iter().map(|peak| {
        let image = framed(&photo(peak), sight.at(peak.place), SIDE, FRAME);
        plate("Where that is", image, scene.subject.called(scene.images, peak.image))
    });
    seen.chain(whole).collect()
}

/// The pixels of a field, of which some may lie in the padding.
fn crop(image: &RgbImage, [rows, columns]: [Range<isize>; 2]) -> RgbImage {
    let mut patch = RgbImage::from_pixel(columns.len() as u32, rows.len() as u32, PADDING);
    imageops::replace(&mut patch, image, -(columns.start as i64), -(rows.start as i64));
    patch
}

/// An image drawn about so many pixels across, with a field framed.
pub fn framed(image: &RgbImage, field: [Range<isize>; 2], across: u32, color: Rgb<u8>) -> RgbImage {
    let mut drawn = canvas::fit(image, across);
    let [down, right] = [(drawn.height(), image.height()), (drawn.width(), image.width())]
        .map(|(drawn, image)| f64::from(drawn) / f64::from(image));
    let scaled = |range: &Range<isize>, times: f64, side: u32| {
        let [start, end] = [range.start, range.end].map(|x| (x as f64 * times).round() as isize);
        // What lies in the padding is drawn along the edge.
        start.max(0)..end.min(side as isize)
    };
    let field = [scaled(&field[0], down, drawn.height()), scaled(&field[1], right, drawn.width())];
    canvas::outline(&mut drawn, field, 2, color);
    drawn
}
