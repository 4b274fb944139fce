//! Operations on images of bytes, exactly as Pillow computes them for torchvision.

use super::color::{auto_contrast, blend_with, contrast, equalize, hue, map_bytes, saturation, sharpness};

/// An operation on an image of bytes. Those that move pixels fill with black and use the nearest pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ImageOp {
    /// No change.
    Identity,
    /// Rotates counterclockwise around the center, by degrees.
    Rotate(f64),
    /// Moves each row left by this fraction of its position from the top.
    ShearX(f64),
    /// Moves each column up by this fraction of its position from the left.
    ShearY(f64),
    /// Moves right by whole pixels.
    TranslateX(i32),
    /// Moves down by whole pixels.
    TranslateY(i32),
    /// Blends with black; 0 is black, 1 the image.
    Brightness(f64),
    /// Blends with the mean gray; 0 is gray, 1 the image.
    Contrast(f64),
    /// Blends with the image in gray; 0 is gray, 1 the image.
    Saturation(f64),
    /// Shifts the hue by this fraction of the color circle, -0.5 to 0.5.
    Hue(f64),
    /// Blends with the smoothed image; 0 is smooth, 1 the image.
    Sharpness(f64),
    /// Keeps this many of the highest bits, 0 to 8.
    Posterize(u32),
    /// Inverts bytes that are not below this threshold.
    Solarize(f64),
    /// Stretches each channel to the range 0 to 255.
    AutoContrast,
    /// Makes the histogram of each channel uniform.
    Equalize,
}

impl ImageOp {
    /// Applies this to a CHW image of `shape` `[channels, height, width]`. Saturation and hue change only images of three
    /// channels.
    ///
    /// ```
    /// use striate::data::ImageOp;
    /// let mut image = [10, 200, 30];
    /// ImageOp::TranslateX(1).apply(&mut image, [1, 1, 3]);
    /// assert_eq!(image, [0, 10, 200]);
    /// ```
    ///
    /// # Panics
    ///
    /// If the length does not match the shape, or a number of bits exceeds 8.
    pub fn apply(self, image: &mut [u8], shape: [usize; 3]) {
        assert_eq!(image.len(), shape.iter().product::<usize>());
        let [_, height, width] = shape.map(|side| side as f64);
        match self {
            ImageOp::Identity => {}
            ImageOp::Rotate(degrees) => Affine::rotation(degrees, [height, width]).apply(image, shape),
            ImageOp::ShearX(by) => Affine([1.0, by, 0.0, 0.0, 1.0, 0.0]).apply(image, shape),
            ImageOp::ShearY(by) => Affine([1.0, 0.0, 0.0, by, 1.0, 0.0]).apply(image, shape),
            ImageOp::TranslateX(by) => Affine([1.0, 0.0, -f64::from(by), 0.0, 1.0, 0.0]).apply(image, shape),
            ImageOp::TranslateY(by) => Affine([1.0, 0.0, 0.0, 0.0, 1.0, -f64::from(by)]).apply(image, shape),
            ImageOp::Brightness(factor) => blend_with(image, 0, factor),
            ImageOp::Contrast(factor) => contrast(image, shape, factor),
            ImageOp::Saturation(factor) => saturation(image, shape, factor),
            ImageOp::Hue(by) => hue(image, shape, by),
            ImageOp::Sharpness(factor) => sharpness(image, shape, factor),
            ImageOp::Posterize(bits) => {
                assert!(bits <= 8, "a byte has no {bits} bits");
                let mask = (0xff00u32 >> bits) as u8;
                map_bytes(image, |byte| byte & mask);
            }
            ImageOp::Solarize(threshold) => {
                map_bytes(image, |byte| if f64::from(byte) < threshold { byte } else { 255 - byte });
            }
            ImageOp::AutoContrast => auto_contrast(image, shape),
            ImageOp::Equalize => equalize(image, shape),
        }
    }
}

/// Where each pixel comes from: `[a, b, c, d, e, f]` takes the pixel at x, y from `a x + b y + c`, `d x + e y + f`.
#[derive(Clone, Copy)]
struct Affine([f64; 6]);

impl Affine {
    fn rotation(degrees: f64, [height, width]: [f64; 2]) -> Self {
        let (sin, cos) = (-degrees.to_radians()).sin_cos();
        let (x, y) = (width / 2.0, height / 2.0);
        Self([cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y])
    }

    /// Moves the pixels. Coordinates have 16 fractional bits, as in Pillow.
    fn apply(self, image: &mut [u8], [_, height, width]: [usize; 3]) {
        let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
        let Self([a, b, c, d, e, f]) = self;
        // From the centers of pixels.
        let [x0, y0] = [fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5)];
        let [a, b, d, e] = [a, b, d, e].map(fixed);
        let source = |y: usize, x: usize| {
            let (x, y) = (x as i64, y as i64);
            let column = usize::try_from((x0 + b * y + a * x) >> 16).ok().filter(|column| *column < width)?;
            let row = usize::try_from((y0 + e * y + d * x) >> 16).ok().filter(|row| *row < height)?;
            Some(row * width + column)
        };
        let sources: Vec<Option<usize>> =
            (0..height).flat_map(|y| (0..width).map(move |x| source(y, x))).collect();
        for plane in image.chunks_exact_mut(height * width) {
            let from = plane.to_vec();
            for (pixel, source) in plane.iter_mut().zip(&sources) {
                *pixel = source.map_or(0, |at| from[at]);
            }
        }
    }
}
