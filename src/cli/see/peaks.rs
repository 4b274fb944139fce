//! `striate see peaks`: what excites the channels of a layer the most.

use super::flags::{LensFlags, OutFlags, PictureFlags, Subject};
use image::{Rgb, RgbImage, imageops};
use serde::Serialize;
use std::ops::Range;
use striate::Result;
use striate::graph::Axis;
use striate::see::canvas::{self, Tile};
use striate::see::{Album, Peak, Pictures, Record, peaks};

#[derive(clap::Args)]
#[command(mut_arg("pictures", |arg| arg.default_value("1000")))]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    pictures: PictureFlags,
    /// The layer
    #[arg(long, value_name = "NAME")]
    layer: String,
    /// Draw these channels [default: the first eight]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    channel: Vec<usize>,
    /// Pictures for each channel
    #[arg(long, default_value_t = 9, value_name = "COUNT")]
    top: usize,
    #[command(flatten)]
    out: OutFlags,
}

/// Pixels across that pictures and patches are drawn with.
const SIDE: u32 = 144;
const CHANNELS: usize = 8;
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

pub fn run(args: &Args) -> Result<(Record, Pictures)> {
    let (subject, pictures) = args.lens.open_with(&args.pictures)?;
    let lens = &subject.lens;
    let layer = lens.layer(&args.layer)?;
    args.channel.iter().try_for_each(|channel| layer.check_channel(*channel))?;
    let axes = lens.receptive_field(&args.layer)?;
    let found = peaks(lens, &pictures.images, &args.layer, args.top)?;
    let channels = match args.channel.is_empty() {
        true => (0..layer.channels().min(CHANNELS)).collect(),
        false => args.channel.clone(),
    };
    let name = &args.layer;
    let title = format!("What excites {name} of {} the most", lens.model());
    let mut album = Album::new(&args.out.out, "peaks", title)?;
    let drawn = draw(args, &subject, &pictures, axes, &channels, found.channels());
    album.png(
        &format!("peaks-{name}.png"),
        "by channel, what its units see at their highest, and where that is",
        &drawn,
    )?;
    let numbers =
        Found { layer: name, receptive_field: axes, pictures: &pictures.names, channels: found.channels() };
    album.json(&format!("peaks-{name}-found.json"), "the highest peaks of all channels", &numbers)?;
    let caption = format!(
        "For each channel of {name}, the {} of {} pictures in which it gives the most anywhere, the most first. Above, the \
         {} x {} pixels that the unit can see there, its receptive field, with grey for padding; below, the picture with \
         that field framed. Labels: the channel, and what it gives.",
        args.top,
        pictures.len(),
        axes[0].size,
        axes[1].size
    );
    Ok((album.finish(caption)?, pictures))
}

fn draw(
    args: &Args,
    subject: &Subject,
    pictures: &Pictures,
    axes: [Axis; 2],
    channels: &[usize],
    peaks: &[Vec<Peak>],
) -> RgbImage {
    let mut tiles = Vec::new();
    for channel in channels {
        let field = |peak: &Peak| [0, 1].map(|i| axes[i].field(peak.place[i]));
        tiles.extend(peaks[*channel].iter().map(|peak| {
            let patch = crop(&subject.photo(pictures, peak.picture), field(peak));
            Tile::new(canvas::fit(&patch, SIDE), format!("{channel}: {:.2}", peak.value))
        }));
        tiles.extend(peaks[*channel].iter().map(|peak| {
            let picture = framed(&subject.photo(pictures, peak.picture), field(peak), SIDE, FRAME);
            Tile::new(picture, subject.called(pictures, peak.picture))
        }));
    }
    let title = format!(
        "{} of {}: what each channel sees at its highest, and where",
        args.layer,
        subject.lens.model()
    );
    canvas::grid(&title, &tiles, args.top)
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
