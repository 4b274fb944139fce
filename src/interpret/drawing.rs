//! Drawing: color scales, scaling of images, and grids of labeled tiles.

use super::typesetting::{LABEL, TITLE, Typeset};
use crate::data::Normalization;
use colorous::Color;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use std::ops::Range;

const WHITE: Rgb<u8> = Rgb([255; 3]);
/// The gap between tiles.
const GAP: u32 = 6;
/// A column gets as wide as its labels, but no wider than this unless its images are.
const WIDEST_LABEL: u32 = 160;

/// Ends and middle of the diverging scale. Its middle is dark, so that bright means strong on every scale.
const NEGATIVE: Rgb<u8> = Rgb([110, 180, 255]);
const ZERO: Rgb<u8> = Rgb([18, 18, 22]);
const POSITIVE: Rgb<u8> = Rgb([255, 150, 80]);

/// Maps values to colors, the brighter the stronger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorScale {
    low: f32,
    high: f32,
    diverging: bool,
    /// Whether some values lie beyond the ends.
    clipped: bool,
}

impl ColorScale {
    /// Viridis from `low` (dark) to `high` (bright).
    pub fn new(low: f32, high: f32) -> Self {
        Self { low, high, diverging: false, clipped: false }
    }

    /// Viridis from the smallest to the largest value.
    pub fn min_max(values: &[f32]) -> Self {
        let [low, high] = min_max(values);
        Self::new(low, high)
    }

    /// Viridis from the smallest value to the 99.5th percentile, so that a few outliers do not hide the rest.
    pub fn clipped(values: &[f32]) -> Self {
        let ([low, high], end) = (min_max(values), percentile_99_5(values.to_vec()));
        match end > low {
            true => Self { clipped: end < high, ..Self::new(low, end) },
            false => Self::new(low, high),
        }
    }

    /// Blue for negative values, black for 0, orange for positive ones, the brighter the larger; symmetric and clipped at the
    /// 99.5th percentile of the magnitudes.
    pub fn diverging(values: &[f32]) -> Self {
        let magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
        let Self { high, clipped, .. } = Self::clipped(&magnitudes);
        Self { low: -high, high, diverging: true, clipped }
    }

    /// The color of a value; values beyond the ends get the color of the end.
    pub fn color(&self, value: f32) -> Rgb<u8> {
        let t = match self.high > self.low {
            true => f64::from((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0),
            false => 0.5,
        };
        if self.diverging {
            let strong = if t < 0.5 { NEGATIVE } else { POSITIVE };
            return mix(ZERO, strong, (2.0 * t - 1.0).abs());
        }
        let Color { r, g, b } = colorous::VIRIDIS.eval_continuous(t);
        Rgb([r, g, b])
    }

    /// The values with the darkest and the brightest color, or of a diverging scale, with the two brightest.
    pub fn ends(&self) -> [f32; 2] {
        [self.low, self.high]
    }

    /// Whether values have signs, so that 0 is in the middle.
    pub fn is_diverging(&self) -> bool {
        self.diverging
    }

    /// Draws a row-major plane, one pixel per value.
    pub fn draw(&self, plane: &[f32], width: usize) -> RgbImage {
        let height = plane.len() / width;
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            self.color(plane[y as usize * width + x as usize])
        })
    }

    /// The ends of the scale in words.
    pub fn describe(&self) -> String {
        let more = if self.clipped { " and beyond" } else { "" };
        match self.diverging {
            true => format!("blue {:.3}, black 0, orange {:.3}{more}", self.low, self.high),
            false => format!("dark {:.3}, bright {:.3}{more}", self.low, self.high),
        }
    }
}

/// A color between two others.
pub(super) fn mix(from: Rgb<u8>, to: Rgb<u8>, t: f64) -> Rgb<u8> {
    let between = |from: u8, to: u8| (f64::from(from) + t * (f64::from(to) - f64::from(from))).round() as u8;
    Rgb(std::array::from_fn(|c| between(from[c], to[c])))
}

/// The value that one in 200 exceeds.
fn percentile_99_5(mut values: Vec<f32>) -> f32 {
    let index = (values.len() * 199 / 200).min(values.len().saturating_sub(1));
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(index, f32::total_cmp).1 }
}

/// The smallest and largest value; zeros if there are none.
pub fn min_max(values: &[f32]) -> [f32; 2] {
    let first = values.first().copied().unwrap_or(0.0);
    values.iter().fold([first; 2], |[low, high], n| [low.min(*n), high.max(*n)])
}

/// An image of CHW data. `byte` returns the byte for a channel and an index into the data; one channel gives a gray image.
pub fn planar_image([channels, height, width]: [usize; 3], byte: impl Fn(usize, usize) -> u8) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let channel = |color: usize| color.min(channels - 1);
        let index = |channel: usize| (channel * height + y as usize) * width + x as usize;
        Rgb(std::array::from_fn(|color| byte(channel(color), index(channel(color)))))
    })
}

/// Turns a normalized CHW image back into pixels; one channel gives a gray image.
pub fn denormalize(image: &[f32], normalization: &Normalization, width: usize) -> RgbImage {
    let Normalization { mean, std } = normalization;
    let height = image.len() / mean.len() / width;
    planar_image([mean.len(), height, width], |channel, index| {
        let value = image[index] * std[channel] + mean[channel];
        (value * 255.0).round().clamp(0.0, 255.0) as u8
    })
}

/// Draws signed CHW data of one or three channels with mid-gray as 0, clipped at the 99.5th percentile of the magnitudes.
pub fn signed_image(image: &[f32], channels: usize, width: usize) -> RgbImage {
    let ColorScale { high, .. } = ColorScale::diverging(image);
    let std = if high > 0.0 { 2.0 * high } else { 1.0 };
    let normalization = Normalization { mean: vec![0.5; channels], std: vec![1.0 / std; channels] };
    denormalize(image, &normalization, width)
}

/// Blends `above` over `below` with opacity `alpha`, after resizing it to match.
pub fn overlay(below: &RgbImage, above: &RgbImage, alpha: f32) -> RgbImage {
    let above = resize(above, below.width(), below.height());
    RgbImage::from_fn(below.width(), below.height(), |x, y| {
        let (a, b) = (below.get_pixel(x, y), above.get_pixel(x, y));
        Rgb(std::array::from_fn(|c| {
            (f32::from(a[c]) * (1.0 - alpha) + f32::from(b[c]) * alpha).round() as u8
        }))
    })
}

/// Scales up by an integer factor, keeping pixels sharp.
pub fn upscale(image: &RgbImage, factor: u32) -> RgbImage {
    imageops::resize(image, image.width() * factor, image.height() * factor, FilterType::Nearest)
}

/// Resizes with bilinear interpolation.
pub fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    imageops::resize(image, width, height, FilterType::Triangle)
}

/// Scales a map of cells up to `side` pixels per cell and crops it to the size of `below`, as the last cells may reach beyond.
pub fn upscale_cells(map: &RgbImage, side: u32, below: &RgbImage) -> RgbImage {
    imageops::crop_imm(&upscale(map, side), 0, 0, below.width(), below.height()).to_image()
}

/// The integer factor that brings `side` closest to `pixels` without exceeding it, at least 1.
pub fn upscale_factor(side: usize, pixels: usize) -> u32 {
    (pixels / side.max(1)).max(1) as u32
}

/// Scales an image to at most `pixels` across: small ones by an integer factor with sharp pixels, large ones smoothly.
pub fn scale_to_width(image: &RgbImage, pixels: u32) -> RgbImage {
    match image.width() <= pixels {
        true => upscale(image, pixels / image.width().max(1)),
        false => {
            let height = (image.height() * pixels / image.width()).max(1);
            resize(image, pixels, height)
        }
    }
}

/// Outlines a box of rows and columns, `thick` pixels inwards; parts outside the image are clipped.
pub fn outline(image: &mut RgbImage, [rows, columns]: [Range<isize>; 2], thick: isize, color: Rgb<u8>) {
    let inside = |range: &Range<isize>, x: isize| range.start + thick <= x && x < range.end - thick;
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (x, y) = (x as isize, y as isize);
        if rows.contains(&y) && columns.contains(&x) && !(inside(&rows, y) && inside(&columns, x)) {
            *pixel = color;
        }
    }
}

/// An image with a label above it.
pub struct Tile {
    /// The image.
    pub image: RgbImage,
    /// Text above the image, shortened if it is much wider.
    pub label: String,
}

impl Tile {
    /// An image with a label.
    pub fn new(image: RgbImage, label: impl Into<String>) -> Self {
        Self { image, label: label.into() }
    }
}

/// Tiles in rows of `columns` on a white background, below a title.
pub fn image_grid(title: &str, tiles: &[Tile], columns: usize) -> RgbImage {
    let columns = columns.clamp(1, tiles.len().max(1)) as u32;
    let rows = (tiles.len() as u32).div_ceil(columns);
    let image_width = tiles.iter().map(|tile| tile.image.width()).max().unwrap_or(1);
    let height = tiles.iter().map(|tile| tile.image.height()).max().unwrap_or(1);
    let most = image_width.max(WIDEST_LABEL);
    let labels: Vec<Typeset> =
        tiles.iter().map(|tile| Typeset::new(&tile.label, LABEL).shortened(most)).collect();
    let width = labels.iter().map(Typeset::width).max().unwrap_or(0).max(image_width);
    let label_height = labels.iter().map(Typeset::height).max().unwrap_or(0);
    let title = Typeset::new(title, TITLE);
    let top = title.height() + 2 * GAP;
    let (across, down) = (width + GAP, label_height + height + GAP);
    let wide = (GAP + columns * across).max(title.width() + 2 * GAP);
    let mut canvas = RgbImage::from_pixel(wide, top + rows * down, WHITE);
    title.draw(&mut canvas, [GAP, GAP]);
    for (index, (tile, label)) in tiles.iter().zip(&labels).enumerate() {
        let (column, row) = (index as u32 % columns, index as u32 / columns);
        let (x, y) = (GAP + column * across, top + row * down);
        label.draw(&mut canvas, [x, y]);
        imageops::replace(&mut canvas, &tile.image, i64::from(x), i64::from(y + label_height));
    }
    canvas
}

/// The number of columns that makes a grid of `tiles` about square.
pub fn square_columns(tiles: usize) -> usize {
    (tiles as f64).sqrt().ceil() as usize
}
