//! Decodes image files and brings them to a size.

use std::io::Cursor;
use std::path::Path;

use image::error::DecodingError;
use image::imageops::crop_imm;
use image::{
    ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits,
    RgbImage,
};

use super::resample::{Interpolation, Part, resample};
use crate::file::read_up_to;
use crate::{Error, Result};

/// Longest side of an image in a file.
const MAX_FILE_SIDE: u32 = 16_384;
const MAX_FILE_BYTES: u64 = 512 << 20;

// Memory for decoding: a base amount plus some per byte of the file, up to a maximum, so that small files cannot expand to
// huge images.
const BASE_DECODE_BYTES: u64 = 64 << 20;
const DECODE_BYTES_PER_BYTE: u64 = 16;
const MAX_DECODE_BYTES: u64 = 256 << 20;

/// Longest side of a scaled image.
const MAX_SIDE: usize = 4096;

/// Reads one image as RGB bytes, CHW, of `size` = `[height, width]`.
///
/// Rotates the image as its EXIF orientation says, crops the largest centered part with the aspect ratio of `size`, and
/// scales it bilinearly with antialiasing. Transparency is dropped.
///
/// # Errors
///
/// [`Error::Argument`] if a side is 0 or more than 4096; [`Error::Io`] if the file cannot be read; [`Error::Data`] if it is
/// not an image, is damaged or truncated, has a side of more than 16,384 pixels, or needs too much memory to decode: more
/// than 64 MiB plus 16 times the file's size, or than 256 MiB.
pub fn read_image(path: &Path, size: [usize; 2]) -> Result<Vec<u8>> {
    check_size(size)?;
    let mut image = vec![0; 3 * size[0] * size[1]];
    planes(&cover(&decode(path, true)?, size, Interpolation::Bilinear), &mut image);
    Ok(image)
}

/// Width and height of an image file, from its header; `None` if it cannot be read. Its EXIF orientation is ignored.
pub fn image_dimensions(path: &Path) -> Option<[u32; 2]> {
    let reader = ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let (width, height) = reader.into_dimensions().ok()?;
    (width > 0 && height > 0).then_some([width, height])
}

/// Checks a requested size.
pub(super) fn check_size(size: [usize; 2]) -> Result<()> {
    if size.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        return Ok(());
    }
    let [height, width] = size;
    let problem = format!("sides must be between 1 and {MAX_SIDE} pixels, got {height} x {width}");
    Err(Error::argument("image_size", problem))
}

/// Writes an image to `output`, CHW.
pub(super) fn planes(image: &RgbImage, output: &mut [u8]) {
    let pixels = output.len() / 3;
    for (channel, plane) in output.chunks_exact_mut(pixels).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(image.pixels()) {
            *value = pixel.0[channel];
        }
    }
}

/// Decodes a file; `upright` applies its EXIF orientation.
pub(super) fn decode(path: &Path, upright: bool) -> Result<RgbImage> {
    let large = || Error::data(path, format!("is larger than {} MiB", MAX_FILE_BYTES >> 20));
    let bytes = read_up_to(path, MAX_FILE_BYTES)?.ok_or_else(large)?;
    let budget = MAX_DECODE_BYTES.min(BASE_DECODE_BYTES + DECODE_BYTES_PER_BYTE * bytes.len() as u64);
    decode_within(&bytes, upright, budget).map_err(|error| explain(path, budget, error))
}

/// Decodes an image if it fits the memory budget, including the conversion to RGB.
fn decode_within(bytes: &[u8], upright: bool, budget: u64) -> ImageResult<RgbImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format() == Some(ImageFormat::Jpeg) && !has_end(bytes) {
        return Err(broken(ImageFormat::Jpeg, "it is truncated"));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_FILE_SIDE);
    limits.max_image_height = Some(MAX_FILE_SIDE);
    limits.max_alloc = Some(budget);
    reader.limits(limits.clone());
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(broken(format.unwrap_or(ImageFormat::Png), "it has no pixels"));
    }
    limits.check_dimensions(width, height)?;
    limits.reserve(decoder.total_bytes())?;
    let extra = match decoder.color_type() {
        // The decoder of lossless WebP works on a copy.
        _ if format == Some(ImageFormat::WebP) && bytes.windows(4).any(|name| name == b"VP8L") => 4,
        ColorType::Rgb8 | ColorType::Rgba8 => 0,
        _ => 3,
    };
    limits.reserve(extra * u64::from(width) * u64::from(height))?;
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    if upright {
        image.apply_orientation(orientation);
    }
    Ok(into_rgb(image))
}

/// Drops transparency, in place for 8-bit color.
fn into_rgb(image: DynamicImage) -> RgbImage {
    let DynamicImage::ImageRgba8(image) = image else { return image.into_rgb8() };
    let (width, height) = image.dimensions();
    let mut bytes = image.into_raw();
    let pixels = bytes.len() / 4;
    for pixel in 0..pixels {
        bytes.copy_within(4 * pixel..4 * pixel + 3, 3 * pixel);
    }
    bytes.truncate(3 * pixels);
    RgbImage::from_raw(width, height, bytes).expect("three bytes per pixel remain")
}

/// Whether a JPEG has an end marker after its segments and scans. Without this check, the decoder would fill the missing
/// part of a truncated image with gray.
fn has_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut at = 0;
    loop {
        // Within a scan, 0xff is followed by 0 or a restart marker.
        let marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff | 0xd0..=0xd7);
        let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(2).position(marker)) else {
            return false;
        };
        at += found + 2;
        match (bytes[at - 1], bytes.get(at..at + 2)) {
            (END, _) => return true,
            // Start of image and the temporary marker have no payload.
            (0xd8 | 0x01, _) => {}
            (_, Some(length)) => at += usize::from(u16::from_be_bytes([length[0], length[1]])),
            (_, None) => return false,
        }
    }
}

fn broken(format: ImageFormat, problem: &str) -> ImageError {
    ImageError::Decoding(DecodingError::new(format.into(), problem))
}

fn explain(path: &Path, budget: u64, error: ImageError) -> Error {
    match error {
        ImageError::Limits(_) => Error::data(
            path,
            format!(
                "exceeds {MAX_FILE_SIDE} pixels per side or {} MiB when decoded, the limits for a file of its size; \
                 make it smaller",
                budget >> 20
            ),
        ),
        other => Error::data(path, format!("cannot be decoded as an image ({other}); replace or remove it")),
    }
}

/// Crops the largest centered part with the right aspect ratio, and scales it. Cropping first bounds the work for very long or
/// wide images.
pub(super) fn cover(image: &RgbImage, size: [usize; 2], filter: Interpolation) -> RgbImage {
    let [height, width] = size.map(|side| side as u32);
    let (full_width, full_height) = image.dimensions();
    let crop_width = scaled(full_height, width, height).clamp(1, full_width);
    let crop_height = scaled(full_width, height, width).clamp(1, full_height);
    let (x, y) = (before(full_width, crop_width), before(full_height, crop_height));
    let part = crop_imm(image, x, y, crop_width, crop_height).to_image();
    if part.dimensions() == (width, height) {
        return part;
    }
    let whole = |scaled| Part { scaled, from: 0, len: scaled };
    resample(&part, whole(width), whole(height), filter)
}

/// Scales the shorter side to `shorter` and crops the center, exactly as torchvision's `Resize` and `CenterCrop`.
pub(super) fn center_crop(
    image: &RgbImage,
    shorter: usize,
    size: [usize; 2],
    filter: Interpolation,
) -> RgbImage {
    let [height, width] = size.map(|side| side as u32);
    let (full_width, full_height) = image.dimensions();
    let short = full_width.min(full_height);
    let part = |full: u32, len: u32| {
        // PyTorch rounds the longer side down.
        let scaled = shorter as u32 * full / short;
        Part { scaled, from: before(scaled, len), len }
    };
    let (columns, rows) = (part(full_width, width), part(full_height, height));
    if (columns.scaled, rows.scaled) == (full_width, full_height) {
        return crop_imm(image, columns.from, rows.from, width, height).to_image();
    }
    resample(image, columns, rows, filter)
}

/// Offset of a centered range of `len` pixels. Halves are rounded to even, as in Python.
fn before(side: u32, len: u32) -> u32 {
    let twice = side - len;
    twice / 2 + u32::from(twice % 4 == 3)
}

/// The luma of each pixel, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
pub(super) fn gray(image: &RgbImage) -> impl Iterator<Item = u8> {
    image.pixels().map(|pixel| {
        let [red, green, blue] = pixel.0.map(u32::from);
        ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
    })
}

/// `length * numerator / denominator`, rounded. Sides are at most 2^14, so nothing overflows.
fn scaled(length: u32, numerator: u32, denominator: u32) -> u32 {
    (length * numerator + denominator / 2) / denominator
}
