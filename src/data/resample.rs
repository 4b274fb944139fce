//! Images scaled as Pillow scales them, bit for bit, which is what torchvision and timm prepare images with.
//!
//! A filter as wide as the pixels it makes is laid over the pixels it reads, along rows first and then along columns; its
//! weights are whole numbers of 22 bits after the point, and what lies between the passes is bytes.

use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the pixels of a scaled image come from those around them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A triangle over the nearest pixels.
    #[default]
    Bilinear,
    /// Catmull and Rom's cubic, which goes over the edges' contrast a little.
    Bicubic,
}

impl Interpolation {
    /// The names that [`named`](Self::named) knows.
    pub const NAMES: [&str; 2] = ["bilinear", "bicubic"];

    /// An interpolation by its name; `None` if there is none.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "bilinear" => Some(Interpolation::Bilinear),
            "bicubic" => Some(Interpolation::Bicubic),
            _ => None,
        }
    }

    /// How many pixels to each side count, where nothing is made smaller.
    fn support(self) -> f64 {
        match self {
            Interpolation::Bilinear => 1.0,
            Interpolation::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Interpolation::Bilinear if x < 1.0 => 1.0 - x,
            Interpolation::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

/// Bits after the point of a weight.
const PRECISION: u32 = 22;

/// A range of pixels along one side of a scaled image.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What the whole side is scaled to.
    pub scaled: u32,
    /// The first pixel that is wanted of it.
    pub from: u32,
    /// How many are wanted.
    pub len: u32,
}

/// What one pixel is made of: the first pixel it reads, and the weights of it and those after.
struct Tap {
    from: u32,
    weights: Vec<i32>,
}

impl Tap {
    /// Those of a part of a side that has `side` pixels.
    fn all(side: u32, part: Part, filter: Interpolation) -> Vec<Tap> {
        let scale = f64::from(side) / f64::from(part.scaled);
        let width = scale.max(1.0);
        let support = filter.support() * width;
        let tap = |pixel: u32| {
            let centre = (f64::from(pixel) + 0.5) * scale;
            // Conversions round towards 0 and end at it.
            let from = (centre - support + 0.5) as u32;
            let to = ((centre + support + 0.5) as u32).min(side);
            let weight = |x: u32| filter.weight((f64::from(x) - centre + 0.5) * (1.0 / width));
            let weights: Vec<f64> = (from..to).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let whole = |weight: f64| {
                let share = if sum == 0.0 { weight } else { weight / sum };
                // Half away from 0, as Pillow has it.
                (share * f64::from(1u32 << PRECISION) + 0.5f64.copysign(share)) as i32
            };
            Tap { from, weights: weights.into_iter().map(whole).collect() }
        };
        (part.from..part.from + part.len).map(tap).collect()
    }

    /// The pixel of this tap; `at` gives the pixels that it reads.
    fn pixel<'p>(&self, at: impl Fn(u32) -> &'p [u8]) -> [u8; 3] {
        let mut sums = [1i32 << (PRECISION - 1); 3];
        for (pixel, weight) in (self.from..).zip(&self.weights) {
            let pixel = at(pixel);
            for (sum, channel) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(*channel) * weight;
            }
        }
        sums.map(|sum| (sum >> PRECISION).clamp(0, 255) as u8)
    }
}

/// The part of an image after it was scaled: `columns` of its width and `rows` of its height. Only that part, and what
/// it is made of, is computed.
pub fn resample(image: &RgbImage, columns: Part, rows: Part, filter: Interpolation) -> RgbImage {
    let (width, height) = image.dimensions();
    let across = Tap::all(width, columns, filter);
    let down = Tap::all(height, rows, filter);
    let first = down.iter().map(|tap| tap.from).min().unwrap_or(0);
    let last = down.iter().map(|tap| tap.from + tap.weights.len() as u32).max().unwrap_or(0);
    let row_len = 3 * width as usize;
    let between: Vec<u8> = image.as_raw()[first as usize * row_len..last as usize * row_len]
        .chunks_exact(row_len)
        .flat_map(|row| across.iter().flat_map(|tap| tap.pixel(|x| &row[3 * x as usize..][..3])))
        .collect();
    let row_len = 3 * columns.len as usize;
    let pixels = down.iter().flat_map(|tap| {
        let between = &between;
        (0..columns.len as usize)
            .flat_map(move |x| tap.pixel(|y| &between[(y - first) as usize * row_len + 3 * x..][..3]))
    });
    RgbImage::from_raw(columns.len, rows.len, pixels.collect()).expect("each pixel was made")
}
