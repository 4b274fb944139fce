//! `striate see peaks`: what excites the channels of a layer the most.

use super::view::{Of, Plate, Scene, Shown, View, sheet};
use image::{Rgb, RgbImage, imageops};
use serde::Serialize;
use std::ops::Range;
use striate::Result;
use striate::graph::Axis;
use striate::see::canvas;
use striate::see::{Peak, peaks};

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
    /// Pictures for each channel
    #[arg(long, default_value_t = 9, value_name = "COUNT")]
    top: usize,
}

/// Pixels across that pictures and patches are drawn with.
const SIDE: u32 = 144;
const FRAME: Rgb<u8> = Rgb([230, 0, 120]);
/// What a field sees of the padding.
const PADDING: Rgb<u8> = Rgb([200; 3]);

#[derive(Serialize)]
struct Found<'a> {
    layer: &'a str,
    /// What each unit sees, vertically and horizontally.
    receptive_field: [Axis; 2],
    pictures: &'a [String],
    /// By channel, all of them, the highest peaks.
    channels: &'a [Vec<Peak>],
}

impl View for Peaks {
    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (lens, pictures) = (&scene.subject.lens, scene.pictures);
        for name in &self.layer {
            let layer = lens.layer(name)?;
            self.channel.iter().try_for_each(|channel| layer.check_channel(*channel))?;
        }
        scene.progress.begin("peaks", self.layer.len());
        let mut found = Vec::new();
        for name in &self.layer {
            found.push((name, lens.receptive_field(name)?, peaks(lens, &pictures.images, name, self.top)?));
            scene.progress.step();
        }
        let names = self.layer.join(", ");
        let mut album = scene.album("peaks", format!("What excites {names} of {} the most", lens.model()))?;
        let mut caption = format!(
            "For each channel, the {} of {} pictures in which it gives the most anywhere, the most first. Above, the pixels \
             that the unit can see there, its receptive field, with grey for padding; below, the picture with that field \
             framed. Labels: the channel, and what it gives; the picture's class, or name.",
            self.top,
            pictures.len()
        );
        let mut plates = Vec::new();
        for (name, axes, peaks) in &found {
            let channels = match self.channel.is_empty() {
                true => (0..peaks.channels().len().min(self.most)).collect(),
                false => self.channel.clone(),
            };
            let of_this: Vec<Plate> = channels
                .iter()
                .flat_map(|channel| draw(scene, name, *axes, *channel, &peaks.channels()[*channel]))
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
                receptive_field: *axes,
                pictures: &pictures.names,
                channels: peaks.channels(),
            };
            let about = format!("{name}: the highest peaks of all channels");
            album.json(&format!("peaks-{name}-found.json"), about, &numbers)?;
            caption.push_str(&format!(" {name} sees {} x {} pixels.", axes[0].size, axes[1].size));
            plates.extend(of_this);
        }
        Ok(Shown { record: album.finish(caption)?, plates })
    }
}

/// What a channel sees at its peaks, and then where they are.
fn draw(scene: &Scene<'_>, layer: &str, axes: [Axis; 2], channel: usize, peaks: &[Peak]) -> Vec<Plate> {
    let field = |peak: &Peak| [0, 1].map(|i| axes[i].field(peak.place[i]));
    let photo = |peak: &Peak| scene.subject.photo(scene.pictures, peak.picture);
    let plate =
        |group, picture, label| Plate::new(Of::Unit(layer.to_owned(), channel), group, picture, label);
    let seen = peaks.iter().map(|peak| {
        let patch = canvas::fit(&crop(&photo(peak), field(peak)), SIDE);
        plate("What excites it the most", patch, format!("{channel}: {:.2}", peak.value))
    });
    let whole = peaks.iter().map(|peak| {
        let picture = framed(&photo(peak), field(peak), SIDE, FRAME);
        plate("Where that is", picture, scene.subject.called(scene.pictures, peak.picture))
    });
    seen.chain(whole).collect()
}

/// The pixels of a field, of which some may lie in the padding. A field larger than the picture is cut to the picture.
fn crop(picture: &RgbImage, field: [Range<isize>; 2]) -> RgbImage {
    let sides = [picture.height(), picture.width()].map(|side| side as isize);
    let [rows, columns]: [Range<isize>; 2] =
        std::array::from_fn(|i| match field[i].len() as isize >= sides[i] {
            true => 0..sides[i],
            false => field[i].clone(),
        });
    let mut patch = RgbImage::from_pixel(columns.len() as u32, rows.len() as u32, PADDING);
    imageops::replace(&mut patch, picture, -(columns.start as i64), -(rows.start as i64));
    patch
}

/// A picture drawn about so many pixels across, with a field framed.
pub fn framed(picture: &RgbImage, field: [Range<isize>; 2], across: u32, color: Rgb<u8>) -> RgbImage {
    let mut drawn = canvas::fit(picture, across);
    let [down, right] = [(drawn.height(), picture.height()), (drawn.width(), picture.width())]
        .map(|(drawn, picture)| f64::from(drawn) / f64::from(picture));
    let scaled = |range: &Range<isize>, times: f64, side: u32| {
        let [start, end] = [range.start, range.end].map(|x| (x as f64 * times).round() as isize);
        // What lies in the padding is drawn along the edge.
        start.max(0)..end.min(side as isize)
    };
    let field = [scaled(&field[0], down, drawn.height()), scaled(&field[1], right, drawn.width())];
    canvas::outline(&mut drawn, field, 2, color);
    drawn
}
