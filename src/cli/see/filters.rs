//! `striate see filters`: the filters of convolutions.

use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use image::RgbImage;
use striate::Result;
use striate::interpret::drawing::{self, ColorScale};
use striate::interpret::{FilterBank, filters};

#[derive(clap::Args)]
pub struct Filters {
    /// Convolutions to draw [default: the first]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Draw at most COUNT filters, and COUNT channels of each, where they cannot be drawn in color
    #[arg(long, default_value_t = MOST, value_name = "COUNT")]
    most: usize,
}

const MOST: usize = 24;

/// Approximate side to which filters are scaled up, in pixels: whole filters in color or gray, and single channels.
const WHOLE: usize = 56;
const CHANNEL: usize = 24;

impl View for Filters {
    const NAME: &str = "filters";
    const ON_PAGE: &str = "The filters of the convolution that works on the image.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let lens = &context.network.lens;
        let banks = filters(lens, &self.layer)?;
        let mut writer = context.writer(Self::NAME, format!("Filters of {}", lens.model()));
        let (mut caption, mut shown) = (String::new(), Vec::new());
        for bank in &banks {
            let about = about(bank);
            let (figures, image, how) = draw(bank, &about, self.most);
            writer.png(&bank.layer, &about, &image)?;
            writer.npy(&bank.layer, format!("{about}, all of them"), &bank.weights)?;
            caption.push_str(&format!("{about}. {how} "));
            shown.extend(figures);
        }
        Ok(ViewOutput::new(writer.finish(caption.trim_end())?, shown))
    }
}

/// All filters of a convolution in one image.
pub fn filter_sheet(bank: &FilterBank) -> RgbImage {
    draw(bank, &about(bank), MOST).1
}

fn about(bank: &FilterBank) -> String {
    let [all, channels, height, width] = bank.shape();
    format!("{}: {all} filters of {channels} x {height} x {width}", bank.layer)
}

fn draw(bank: &FilterBank, about: &str, most: usize) -> (Vec<Figure>, RgbImage, String) {
    match bank.shape() {
        [_, 1 | 3, ..] => whole(bank, about),
        _ => by_channel(bank, about, most),
    }
}

/// Filters of the image itself, drawn as images.
fn whole(bank: &FilterBank, about: &str) -> (Vec<Figure>, RgbImage, String) {
    let [_, channels, ..] = bank.shape();
    let largest = bank.largest();
    let figure = |(index, image): (usize, RgbImage)| {
        Figure::new(Subject::Unit(bank.layer.clone(), index), "Filter", image, index.to_string())
    };
    let figures: Vec<Figure> = bank.images().enumerate().map(figure).collect();
    let (scale, colors) = match channels {
        3 => (
            format!("gray is 0, full color +{largest:.3}, none -{largest:.3}"),
            "in the colors it responds to",
        ),
        _ => (
            format!("gray is 0, white +{largest:.3}, black -{largest:.3}"),
            "bright where it responds to light",
        ),
    };
    let how = format!("Each tile is a filter, {colors}. All share one scale: {scale}.");
    let image =
        figure_grid(&format!("{about}; {scale}"), &figures, WHOLE, drawing::square_columns(figures.len()));
    (figures, image, how)
}

/// Each filter as a row of its channels.
fn by_channel(bank: &FilterBank, about: &str, most: usize) -> (Vec<Figure>, RgbImage, String) {
    let [all, channels, height, width] = bank.shape();
    let (rows, columns) = (all.min(most), channels.min(most));
    let scale = ColorScale::diverging(bank.weights.as_f32());
    let row = |(index, filter): (usize, &[f32])| {
        let plane = |(channel, plane): (usize, &[f32])| {
            let label = if channel == 0 { index.to_string() } else { String::new() };
            let subject = Subject::Unit(bank.layer.clone(), index);
            Figure::new(subject, "Filter by channel", scale.draw(plane, width), label)
        };
        filter.chunks(height * width).take(columns).enumerate().map(plane).collect::<Vec<_>>()
    };
    let figures: Vec<Figure> = bank.filters().take(rows).enumerate().flat_map(row).collect();
    let shown = match rows < all || columns < channels {
        true => format!(" Only the first {rows} filters and {columns} channels are drawn."),
        false => String::new(),
    };
    let how = format!(
        "Each row is a filter, labeled with its index; each tile shows its weights for one input channel. All share one scale: {}.{shown}",
        scale.describe()
    );
    let image = figure_grid(&format!("{about}; {}", scale.describe()), &figures, CHANNEL, columns);
    (figures, image, how)
}
