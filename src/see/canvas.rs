//! Drawing: numbers as colours, tiles in a grid, and words.

use crate::data::Normalization;
use colorous::{Color, Gradient};
use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use std::ops::Range;

const WHITE: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([40; 3]);
/// Side of a letter.
const LETTER: u32 = 8;
/// Height of a line of words, and pixels between tiles.
const LINE: u32 = 12;
const GAP: u32 = 4;

/// From numbers to colours, evenly to the eye.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f32,
    high: f32,
    signed: bool,
    /// Whether there are numbers beyond the ends.
    open: bool,
}

impl Scale {
    /// From `low` to `high`, viridis: dark to bright.
    pub fn range(low: f32, high: f32) -> Self {
        Self { low, high, signed: false, open: false }
    }

    /// From the smallest to the largest of the numbers, viridis.
    pub fn of(numbers: &[f32]) -> Self {
        let [low, high] = extremes(numbers);
        Self::range(low, high)
    }

    /// From the smallest number to what one in 200 exceeds, viridis: a few large numbers leave the rest visible.
    pub fn of_most(numbers: &[f32]) -> Self {
        let ([low, high], end) = (extremes(numbers), exceeded_by_few(numbers.to_vec()));
        match end > low {
            true => Self { open: end < high, ..Self::range(low, end) },
            false => Self::range(low, high),
        }
    }

    /// The same for magnitudes, on both sides of 0: blue through white, which is 0, to red.
    pub fn signed(numbers: &[f32]) -> Self {
        let magnitudes: Vec<f32> = numbers.iter().map(|number| number.abs()).collect();
        let Self { high, open, .. } = Self::of_most(&magnitudes);
        Self { low: -high, high, signed: true, open }
    }

    /// The colour of a number; what is beyond the ends is as the ends.
    pub fn color(&self, number: f32) -> Rgb<u8> {
        let share = match self.high > self.low {
            true => f64::from((number - self.low) / (self.high - self.low)).clamp(0.0, 1.0),
            false => 0.5,
        };
        let gradient: Gradient = if self.signed { colorous::RED_BLUE } else { colorous::VIRIDIS };
        // Red is the map's beginning, and is to be for numbers above 0.
        let Color { r, g, b } = gradient.eval_continuous(if self.signed { 1.0 - share } else { share });
        Rgb([r, g, b])
    }

    /// A plane of numbers, row by row, as an image.
    pub fn draw(&self, plane: &[f32], width: usize) -> RgbImage {
        let height = plane.len() / width;
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            self.color(plane[y as usize * width + x as usize])
        })
    }

    /// The scale in words.
    pub fn describe(&self) -> String {
        let more = if self.open { " and beyond" } else { "" };
        match self.signed {
            true => format!("blue {:.3}, white 0, red {:.3}{more}", self.low, self.high),
            false => format!("dark {:.3}, bright {:.3}{more}", self.low, self.high),
        }
    }
}

/// The number that one in 200 exceeds.
fn exceeded_by_few(mut numbers: Vec<f32>) -> f32 {
    let place = (numbers.len() * 199 / 200).min(numbers.len().saturating_sub(1));
    if numbers.is_empty() { 0.0 } else { *numbers.select_nth_unstable_by(place, f32::total_cmp).1 }
}

/// The smallest and the largest of numbers; 0 and 0 if there are none.
pub fn extremes(numbers: &[f32]) -> [f32; 2] {
    let first = numbers.first().copied().unwrap_or(0.0);
    numbers.iter().fold([first; 2], |[low, high], n| [low.min(*n), high.max(*n)])
}

/// What a normalised image, CHW, looks like; grey where it has one channel.
pub fn photo(image: &[f32], normalization: &Normalization, width: usize) -> RgbImage {
    let channels = normalization.mean.len();
    let pixels = image.len() / channels;
    RgbImage::from_fn(width as u32, (pixels / width) as u32, |x, y| {
        let place = y as usize * width + x as usize;
        Rgb(std::array::from_fn(|color| {
            let channel = color.min(channels - 1);
            let share =
                image[channel * pixels + place] * normalization.std[channel] + normalization.mean[channel];
            (share * 255.0).round().clamp(0.0, 255.0) as u8
        }))
    })
}

/// What numbers of both signs, CHW of three channels or one, look like as an image: 0 is grey, and most of the numbers fill the scale.
pub fn signed_photo(image: &[f32], channels: usize, width: usize) -> RgbImage {
    let Scale { high, .. } = Scale::signed(image);
    let std = if high > 0.0 { 2.0 * high } else { 1.0 };
    let normalization = Normalization { mean: vec![0.5; channels], std: vec![1.0 / std; channels] };
    photo(image, &normalization, width)
}

/// An image with another laid over it, `share` of it from 0 to 1; the second is stretched to the first.
pub fn overlay(below: &RgbImage, above: &RgbImage, share: f32) -> RgbImage {
    let above = resize(above, below.width(), below.height());
    RgbImage::from_fn(below.width(), below.height(), |x, y| {
        let (a, b) = (below.get_pixel(x, y), above.get_pixel(x, y));
        Rgb(std::array::from_fn(|c| {
            (f32::from(a[c]) * (1.0 - share) + f32::from(b[c]) * share).round() as u8
        }))
    })
}

/// An image with every pixel as a square of `times` pixels.
pub fn enlarge(image: &RgbImage, times: u32) -> RgbImage {
    imageops::resize(image, image.width() * times, image.height() * times, FilterType::Nearest)
}

/// An image scaled smoothly.
pub fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    imageops::resize(image, width, height, FilterType::Triangle)
}

/// A map with each cell as a square of `side` pixels, as much of it as covers `below`: the last cells may reach beyond it.
pub fn cover(map: &RgbImage, side: u32, below: &RgbImage) -> RgbImage {
    imageops::crop_imm(&enlarge(map, side), 0, 0, below.width(), below.height()).to_image()
}

/// How many times a side is to be enlarged so that it has about so many pixels, and 1 at least.
pub fn times_to(side: usize, pixels: usize) -> u32 {
    (pixels / side.max(1)).max(1) as u32
}

/// An image brought to about so many pixels across: a small one with every pixel as a square, a large one smoothly.
pub fn fit(image: &RgbImage, pixels: u32) -> RgbImage {
    match image.width() <= pixels {
        true => enlarge(image, pixels / image.width().max(1)),
        false => {
            let height = (image.height() * pixels / image.width()).max(1);
            imageops::resize(image, pixels, height, FilterType::Triangle)
        }
    }
}

/// Draws the edge of a box of rows and columns, as far as it lies in the image, `thick` pixels inwards.
pub fn outline(image: &mut RgbImage, [rows, columns]: [Range<isize>; 2], thick: isize, color: Rgb<u8>) {
    let inside = |range: &Range<isize>, x: isize| range.start + thick <= x && x < range.end - thick;
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (x, y) = (x as isize, y as isize);
        if rows.contains(&y) && columns.contains(&x) && !(inside(&rows, y) && inside(&columns, x)) {
            *pixel = color;
        }
    }
}

/// An image to look at, with what is written over it.
pub struct Tile {
    /// The image.
    pub image: RgbImage,
    /// Words over it; cut off where it ends.
    pub label: String,
}

impl Tile {
    /// An image with words over it.
    pub fn new(image: RgbImage, label: impl Into<String>) -> Self {
        Self { image, label: label.into() }
    }
}

/// Tiles side by side, `columns` in a row, on white, under a line of words.
pub fn grid(title: &str, tiles: &[Tile], columns: usize) -> RgbImage {
    let columns = columns.clamp(1, tiles.len().max(1)) as u32;
    let rows = (tiles.len() as u32).div_ceil(columns);
    let width = tiles.iter().map(|tile| tile.image.width()).max().unwrap_or(1);
    let height = tiles.iter().map(|tile| tile.image.height()).max().unwrap_or(1);
    let labelled = tiles.iter().any(|tile| !tile.label.is_empty());
    let (across, down) = (width + GAP, height + GAP + if labelled { LINE } else { 0 });
    let wide = (columns * across + GAP).max(title.chars().count() as u32 * LETTER + 2 * GAP);
    let mut canvas = RgbImage::from_pixel(wide, LINE + GAP + rows * down + GAP, WHITE);
    write(&mut canvas, title, [GAP, GAP], wide);
    for (number, tile) in tiles.iter().enumerate() {
        let (column, row) = (number as u32 % columns, number as u32 / columns);
        let (x, mut y) = (GAP + column * across, GAP + LINE + row * down);
        if labelled {
            write(&mut canvas, &tile.label, [x, y + 2], width);
            y += LINE;
        }
        imageops::replace(&mut canvas, &tile.image, i64::from(x), i64::from(y));
    }
    canvas
}

/// The columns that make so many tiles about square.
pub fn square(tiles: usize) -> usize {
    (tiles as f64).sqrt().ceil() as usize
}

/// Writes words from a corner on, as far as `width` goes.
fn write(canvas: &mut RgbImage, words: &str, [x, y]: [u32; 2], width: u32) {
    for (number, letter) in words.chars().take((width / LETTER) as usize).enumerate() {
        // What the font has not is a question mark, as everywhere.
        let rows = BASIC_FONTS.get(letter).or(BASIC_FONTS.get('?')).expect("the font has ASCII");
        for (row, bits) in rows.iter().enumerate() {
            for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                let (x, y) = (x + number as u32 * LETTER + column, y + row as u32);
                if x < canvas.width() && y < canvas.height() {
                    canvas.put_pixel(x, y, INK);
                }
            }
        }
    }
}
