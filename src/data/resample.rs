//! Image scaling that matches Pillow, which torchvision and timm use, bit for bit.
//!
//! A separable filter, widened when downscaling, is applied along rows and then along columns. Weights are fixed-point numbers
//! with 22 fractional bits, and the intermediate image has bytes. Since version 13, Pillow begins with the columns where the
//! height shrinks much more than the width, which changes some bytes by 1.

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

    /// Computes the output pixel of one row.
    fn pixel(&self, row: &[u8]) -> u8 {
        let inputs = &row[self.from as usize..][..self.weights.len()];
        let sum: i32 = inputs.iter().zip(&self.weights).map(|(&byte, weight)| i32::from(byte) * weight).sum();
        rounded(sum + HALF)
    }
}

const HALF: i32 = 1 << (PRECISION - 1);

/// A sum as a byte; it includes [`HALF`].
fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Scales channels of one size.
pub struct Scaler {
    across: Vec<Tap>,
    down: Vec<Tap>,
}

impl Scaler {
    /// Computes parts of images of `size` `[height, width]`, given by ranges of the scaled width and height.
    pub fn new([height, width]: [u32; 2], columns: Part, rows: Part, filter: Interpolation) -> Self {
        Self { across: Tap::all(width, columns, filter), down: Tap::all(height, rows, filter) }
    }

    /// Scales one channel; `row` returns a row of the input.
    pub fn plane<'p>(&self, row: impl Fn(usize) -> &'p [u8], output: &mut [u8]) {
        let width = self.across.len();
        let first = self.down.iter().map(|tap| tap.from as usize).min().unwrap_or(0);
        let last = self.down.iter().map(|tap| tap.from as usize + tap.weights.len()).max().unwrap_or(0);
        let mut between = vec![0; (last - first) * width];
        for (y, between) in (first..last).zip(between.chunks_exact_mut(width)) {
            let row = row(y);
            between.iter_mut().zip(&self.across).for_each(|(pixel, tap)| *pixel = tap.pixel(row));
        }
        let mut sums = vec![0; width];
        for (tap, output) in self.down.iter().zip(output.chunks_exact_mut(width)) {
            sums.fill(HALF);
            let rows = between[(tap.from as usize - first) * width..].chunks_exact(width);
            for (row, weight) in rows.zip(&tap.weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &byte)| *sum += i32::from(byte) * weight);
            }
            output.iter_mut().zip(&sums).for_each(|(pixel, &sum)| *pixel = rounded(sum));
        }
    }
}

/// Computes a part of the scaled image, given by ranges of its width and height.
pub fn resample(image: &RgbImage, columns: Part, rows: Part, filter: Interpolation) -> RgbImage {
    let (width, height) = image.dimensions();
    let scaler = Scaler::new([height, width], columns, rows, filter);
    let mut scaled = RgbImage::new(columns.len, rows.len);
    let mut plane = vec![0; columns.len as usize * rows.len as usize];
    for channel in 0..3 {
        let input: Vec<u8> = image.as_raw()[channel..].iter().copied().step_by(3).collect();
        scaler.plane(|y| &input[y * width as usize..][..width as usize], &mut plane);
        scaled.pixels_mut().zip(&plane).for_each(|(pixel, &byte)| pixel.0[channel] = byte);
    }
    scaled
}
