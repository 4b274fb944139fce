//! `striate see filters`: what convolutions look for.

use super::view::{Of, Plate, Scene, Shown, View, sheet};
use image::{Rgb, RgbImage};
use striate::Result;
use striate::see::canvas::{self, Scale};
use striate::see::{FilterBank, filters};

#[derive(clap::Args)]
pub struct Filters {
    /// Convolutions whose filters are drawn [default: the first]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Draw at most so many filters where they are no images, and so many channels of each
    #[arg(long, default_value_t = 24, value_name = "COUNT")]
    most: usize,
}

/// Pixels that a filter is enlarged to: one that looks at images, or one channel of many.
const WHOLE: usize = 56;
const CHANNEL: usize = 24;

impl View for Filters {
    const NAME: &str = "filters";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let lens = &scene.subject.lens;
        let banks = filters(lens, &self.layer)?;
        let mut album = scene.album(Self::NAME, format!("Filters of {}", lens.model()));
        let (mut caption, mut shown) = (String::new(), Vec::new());
        for bank in &banks {
            let [all, channels, height, width] = bank.shape();
            let about = format!("{}: {all} filters of {channels} x {height} x {width}", bank.layer);
            let (plates, image, how) = match channels {
                1 | 3 => whole(bank, &about),
                _ => by_channel(bank, &about, self.most),
            };
            album.png(&format!("filters-{}.png", bank.layer), &about, &image)?;
            album.npy(
                &format!("filters-{}.npy", bank.layer),
                format!("{about}, all of them"),
                &bank.weights,
            )?;
            caption.push_str(&format!("{about}. {how} "));
            shown.extend(plates);
        }
        Ok(Shown { record: album.finish(caption.trim_end())?, plates: shown, drawing: None })
    }
}

/// Filters that look at images, as images: they respond to what looks like them.
fn whole(bank: &FilterBank, about: &str) -> (Vec<Plate>, RgbImage, String) {
    let [_, channels, height, width] = bank.shape();
    let pixels = height * width;
    let largest = bank.largest();
    let byte = |weight: f32| (127.5 + 127.5 * weight / largest).round() as u8;
    let draw = |filter: &[f32]| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let place = y as usize * width + x as usize;
            Rgb(std::array::from_fn(|c| byte(filter[c.min(channels - 1) * pixels + place])))
        })
    };
    let plate = |(number, filter): (usize, &[f32])| {
        Plate::new(Of::Unit(bank.layer.clone(), number), "Its filter", draw(filter), number.to_string())
    };
    let plates: Vec<Plate> = bank.filters().enumerate().map(plate).collect();
    let (scale, colours) = match channels {
        3 => (
            format!("grey is 0, full colour +{largest:.3}, none -{largest:.3}"),
            "in the colours it responds to",
        ),
        _ => (format!("grey is 0, white +{largest:.3}, black -{largest:.3}"), "bright where it wants light"),
    };
    let how = format!("Each tile is a filter, {colours}; one scale for all: {scale}.");
    let image = sheet(&format!("{about}; {scale}"), &plates, WHOLE, canvas::square(plates.len()));
    (plates, image, how)
}

/// Filters as rows of their channels.
fn by_channel(bank: &FilterBank, about: &str, most: usize) -> (Vec<Plate>, RgbImage, String) {
    let [all, channels, height, width] = bank.shape();
    let (rows, columns) = (all.min(most), channels.min(most));
    let scale = Scale::signed(bank.weights.as_f32());
    let row = |(number, filter): (usize, &[f32])| {
        let plane = |(channel, plane): (usize, &[f32])| {
            let label = if channel == 0 { number.to_string() } else { String::new() };
            let of = Of::Unit(bank.layer.clone(), number);
            Plate::new(of, "Its filter, channel by channel", scale.draw(plane, width), label)
        };
        filter.chunks(height * width).take(columns).enumerate().map(plane).collect::<Vec<_>>()
    };
    let plates: Vec<Plate> = bank.filters().take(rows).enumerate().flat_map(row).collect();
    let shown = match rows < all || columns < channels {
        true => format!(" The first {rows} filters and {columns} channels are drawn."),
        false => String::new(),
    };
    let how = format!(
        "Each row is a filter under its number, each tile what it weighs one channel of its input by; one scale for all: {}.{shown}",
        scale.describe()
    );
    let image = sheet(&format!("{about}; {}", scale.describe()), &plates, CHANNEL, columns);
    (plates, image, how)
}
