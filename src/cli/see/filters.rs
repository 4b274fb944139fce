//! `striate see filters`: what convolutions look for.

use super::flags::{LensFlags, OutFlags};
use striate::Result;
use striate::see::canvas::{self, Scale, Tile};
use striate::see::{Album, FilterBank, Record, filters};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    /// Convolutions whose filters are drawn [default: the first]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Draw at most so many filters where they are no pictures, and so many channels of each
    #[arg(long, default_value_t = 24, value_name = "COUNT")]
    most: usize,
    #[command(flatten)]
    out: OutFlags,
}

/// Pixels that a filter is enlarged to, one in colour or one channel of many.
const COLOUR: usize = 56;
const CHANNEL: usize = 24;

pub fn run(args: &Args) -> Result<Record> {
    let lens = args.lens.open()?.lens;
    let banks = filters(&lens, &args.layer)?;
    let mut album = Album::new(&args.out.out, "filters", format!("Filters of {}", lens.model()))?;
    let mut caption = String::new();
    for bank in &banks {
        let [all, channels, height, width] = bank.shape();
        let about = format!("{}: {all} filters of {channels} x {height} x {width}", bank.layer);
        let (picture, how) =
            if bank.is_colour() { in_colour(bank, &about) } else { by_channel(bank, &about, args.most) };
        album.png(&format!("filters-{}.png", bank.layer), &about, &picture)?;
        album.npy(&format!("filters-{}.npy", bank.layer), format!("{about}, all of them"), &bank.weights)?;
        caption.push_str(&format!("{about}. {how} "));
    }
    album.finish(caption.trim_end())
}

/// Filters of three channels as pictures: red, green and blue are what they weigh these by.
fn in_colour(bank: &FilterBank, about: &str) -> (image::RgbImage, String) {
    let [_, _, height, width] = bank.shape();
    let pixels = height * width;
    let largest = bank.largest();
    let byte = |weight: f32| (127.5 + 127.5 * weight / largest).round() as u8;
    let draw = |filter: &[f32]| {
        image::RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let place = y as usize * width + x as usize;
            image::Rgb(std::array::from_fn(|c| byte(filter[c * pixels + place])))
        })
    };
    let tiles: Vec<Tile> = bank
        .filters()
        .enumerate()
        .map(|(i, filter)| {
            Tile::new(canvas::enlarge(&draw(filter), canvas::times_to(width, COLOUR)), i.to_string())
        })
        .collect();
    let scale = format!("grey is 0, full colour +{largest:.3}, none -{largest:.3}");
    let how = format!("Each tile is a filter in the colours it responds to; one scale for all: {scale}.");
    (canvas::grid(&format!("{about}; {scale}"), &tiles, canvas::square(tiles.len())), how)
}

/// Filters as rows of their channels.
fn by_channel(bank: &FilterBank, about: &str, most: usize) -> (image::RgbImage, String) {
    let [all, channels, height, width] = bank.shape();
    let (rows, columns) = (all.min(most), channels.min(most));
    let scale = Scale::signed(bank.weights.as_f32());
    let times = canvas::times_to(width, CHANNEL);
    let row = |(number, filter): (usize, &[f32])| {
        let plane = |(channel, plane): (usize, &[f32])| {
            let label = if channel == 0 { number.to_string() } else { String::new() };
            Tile::new(canvas::enlarge(&scale.draw(plane, width), times), label)
        };
        filter.chunks(height * width).take(columns).enumerate().map(plane).collect::<Vec<_>>()
    };
    let tiles: Vec<Tile> = bank.filters().take(rows).enumerate().flat_map(row).collect();
    let shown = match rows < all || columns < channels {
        true => format!(" The first {rows} filters and {columns} channels are drawn."),
        false => String::new(),
    };
    let how = format!(
        "Each row is a filter under its number, each tile what it weighs one channel of its input by; one scale for all: {}.{shown}",
        scale.describe()
    );
    (canvas::grid(&format!("{about}; {}", scale.describe()), &tiles, columns), how)
}
