//! TrivialAugmentWide (Müller and Hutter 2021): one operation, uniformly drawn, of uniformly drawn strength.

use super::ImageOp;
use crate::rng::SplitMix64;

/// Number of strengths.
const BINS: u32 = 31;
/// Number of operations.
const OPERATIONS: u32 = 14;

/// Draws an operation from torchvision's `_augmentation_space`.
pub fn draw(rng: &mut SplitMix64) -> ImageOp {
    let operation = rng.below(OPERATIONS);
    let bin = rng.below(BINS);
    let sign = if rng.below(2) == 1 { -1.0 } else { 1.0 };
    let signed = |most: f32| sign * f64::from(strength(bin, most));
    match operation {
        0 => ImageOp::Identity,
        1 => ImageOp::ShearX(signed(0.99)),
        2 => ImageOp::ShearY(signed(0.99)),
        3 => ImageOp::TranslateX(signed(32.0) as i32),
        4 => ImageOp::TranslateY(signed(32.0) as i32),
        5 => ImageOp::Rotate(signed(135.0)),
        6 => ImageOp::Brightness(1.0 + signed(0.99)),
        7 => ImageOp::Saturation(1.0 + signed(0.99)),
        8 => ImageOp::Contrast(1.0 + signed(0.99)),
        9 => ImageOp::Sharpness(1.0 + signed(0.99)),
        // From 8 bits to 2.
        10 => ImageOp::Posterize(8 - (f64::from(bin) / 5.0).round() as u32),
        // From 255 down to 0.
        11 => ImageOp::Solarize(f64::from(strength(BINS - 1 - bin, 255.0))),
        12 => ImageOp::AutoContrast,
        _ => ImageOp::Equalize,
    }
}

/// The strength of a bin, evenly spaced from 0 to `most`, in the arithmetic of PyTorch's `linspace`: 15.999999 of 32 in the middle,
/// which translates by 15 pixels.
fn strength(bin: u32, most: f32) -> f32 {
    let step = most / (BINS - 1) as f32;
    let left = (BINS - 1 - bin) as f32;
    if bin < BINS / 2 { step * bin as f32 } else { (-step).mul_add(left, most) }
}
