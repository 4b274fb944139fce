//! Image scaling that matches Pillow, which torchvision and timm use, bit for bit.
//!
//! A separable filter, widened when downscaling, is applied along rows and then along columns. Weights are fixed-point numbers
//! with 22 fractional bits, and the intermediate image has bytes.

use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The filter used for scaling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle filter.
    #[default]
    Bilinear,
    /// Catmull-Rom cubic, which sharpens edges slightly.
    Bicubic,
}

impl Interpolation {
    /// The names for [`named`](Self::named).
    pub const NAMES: [&str; 2] = ["bilinear", "bicubic"];

    /// Finds an interpolation by name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "bilinear" => Some(Interpolation::Bilinear),
            "bicubic" => Some(Interpolation::Bicubic),
            _ => None,
        }
    }

    /// Radius of the filter in pixels when not downscaling.
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

/// Fractional bits of a weight.
const PRECISION: u32 = 22;

/// A range of pixels along one side of a scaled image.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Length of the whole scaled side.
    pub scaled: u32,
    /// First pixel of the range.
    pub from: u32,
    /// Length of the range.
    pub len: u32,
}

/// The inputs of one output pixel: the first input pixel, and the weights from there on.
struct Tap {
    from: u32,
    weights: Vec<i32>,
}

impl Tap {
    /// The taps for a part of a side of `side` pixels.
    fn all(side: u32, part: Part, filter: Interpolation) -> Vec<Tap> {
        let scale = f64::from(side) / f64::from(part.scaled);
        let width = scale.max(1.0);
        let support = filter.support() * width;
        let tap = |pixel: u32| {
            let center = (f64::from(pixel) + 0.5) * scale;
            // Float-to-integer casts truncate, and saturate at 0.
            let from = (center - support + 0.5) as u32;
            let to = ((center + support + 0.5) as u32).min(side);
            let weight = |x: u32| filter.weight((f64::from(x) - center + 0.5) * (1.0 / width));
            let weights: Vec<f64> = (from..to).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let whole = |weight: f64| {
                let weight = if sum == 0.0 { weight } else { weight / sum };
                // Half away from 0, as in Pillow.
                (weight * f64::from(1u32 << PRECISION) + 0.5f64.copysign(weight)) as i32
            };
            Tap { from, weights: weights.into_iter().map(whole).collect() }
        };
        (part.from..part.from + part.len).map(tap).collect()
    }

    /// Computes the output pixel; `at` returns input pixels.
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

/// Computes a part of the scaled image, given by ranges of its width and height.
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
    RgbImage::from_raw(columns.len, rows.len, pixels.collect()).expect("every pixel was computed")
}
