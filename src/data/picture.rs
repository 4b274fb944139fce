//! One picture from a file, as the network wants it: RGB, of one size.

use std::path::Path;

use image::imageops::{FilterType, crop_imm, resize};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};

use crate::{Error, Result};

/// No side of a picture in a file may be longer; no decoder may take more memory. What a small file
/// unpacks to is thereby bounded.
const MAX_FILE_SIDE: u32 = 16_384;
const MAX_DECODE_BYTES: u64 = 256 << 20;

/// No side of a picture in memory may be longer.
const MAX_SIDE: usize = 4096;

/// Reads one picture as RGB bytes, CHW, of `size` = `[height, width]`.
///
/// Of the picture, turned upright if its EXIF data say so, the largest centred part of the wanted
/// proportions is scaled to the size with a triangle filter: the same as scaling until the size is
/// just covered and cropping the centre. Transparency is dropped.
///
/// # Errors
///
/// [`Error::Argument`] if a side is 0 or more than 4096; [`Error::Io`] if the file cannot be read;
/// [`Error::Data`] if it is not a picture, is broken, has a side of more than 16,384 pixels, or needs
/// more than 256 MiB to decode.
pub fn read_picture(path: &Path, size: [usize; 2]) -> Result<Vec<u8>> {
    check_size(size)?;
    let mut image = vec![0; 3 * size[0] * size[1]];
    read_into(path, size, &mut image)?;
    Ok(image)
}

/// Whether pictures of this size can be asked for.
pub(super) fn check_size(size: [usize; 2]) -> Result<()> {
    if size.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        return Ok(());
    }
    let [height, width] = size;
    let problem = format!("expected sides from 1 to {MAX_SIDE} pixels, found {height} x {width}");
    Err(Error::argument("image_size", problem))
}

/// Writes the picture over `output`, which is CHW of 3 x `height` x `width`.
pub(super) fn read_into(path: &Path, [height, width]: [usize; 2], output: &mut [u8]) -> Result<()> {
    // `check_size` has bounded both sides.
    let image = cover(&decode(path)?, height as u32, width as u32);
    for (channel, plane) in output.chunks_exact_mut(height * width).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(image.pixels()) {
            *value = pixel.0[channel];
        }
    }
    Ok(())
}

/// The picture of a file, upright.
pub(super) fn decode(path: &Path) -> Result<RgbImage> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let mut reader = reader.map_err(Error::io(path, "read"))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_FILE_SIDE);
    limits.max_image_height = Some(MAX_FILE_SIDE);
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    reader.limits(limits.clone());
    let upright = || {
        let mut decoder = reader.into_decoder()?;
        limits.reserve(decoder.total_bytes())?;
        decoder.set_limits(limits)?;
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok(image.into_rgb8())
    };
    upright().map_err(|error: ImageError| explain(path, error))
}

fn explain(path: &Path, error: ImageError) -> Error {
    match error {
        ImageError::IoError(source) if source.raw_os_error().is_some() => Error::io(path, "read")(source),
        ImageError::Limits(_) => Error::data(
            path,
            format!(
                "expected a picture of at most {MAX_FILE_SIDE} pixels a side and {} MiB when decoded, \
                 found a larger one; make it smaller",
                MAX_DECODE_BYTES >> 20
            ),
        ),
        other => Error::data(path, format!("cannot be decoded as a picture ({other}); replace or remove it")),
    }
}

/// The largest centred part with the wanted proportions, scaled. Cropping first keeps the scaled
/// picture small however long and thin the original is.
pub(super) fn cover(image: &RgbImage, height: u32, width: u32) -> RgbImage {
    let (full_width, full_height) = image.dimensions();
    let crop_width = scaled(full_height, width, height).clamp(1, full_width);
    let crop_height = scaled(full_width, height, width).clamp(1, full_height);
    let part = crop_centre(image, crop_width, crop_height);
    if part.dimensions() == (width, height) {
        return part;
    }
    resize(&part, width, height, FilterType::Triangle)
}

/// The centre of the picture after its shorter side was scaled to `shorter`: torchvision's `Resize` and
/// `CenterCrop`. Of a picture more than four times as long as it is wide, only a centred part of these
/// proportions is scaled, so that what has to be computed is bounded.
pub(super) fn centre(image: &RgbImage, shorter: u32, height: u32, width: u32) -> RgbImage {
    let longest = 4 * image.width().min(image.height());
    let image = crop_centre(image, longest.min(image.width()), longest.min(image.height()));
    let (full_width, full_height) = image.dimensions();
    let short = full_width.min(full_height);
    // PyTorch rounds the longer side down.
    let [scaled_width, scaled_height] = [full_width, full_height].map(|side| shorter * side / short);
    let image = resize(&image, scaled_width, scaled_height, FilterType::Triangle);
    crop_centre(&image, width, height)
}

fn crop_centre(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (x, y) = ((image.width() - width) / 2, (image.height() - height) / 2);
    crop_imm(image, x, y, width, height).to_image()
}

/// The brightness of each pixel: 0.299, 0.587 and 0.114 of red, green and blue (ITU-R BT.601).
pub(super) fn grey(image: &RgbImage) -> impl Iterator<Item = u8> {
    image.pixels().map(|pixel| {
        let [red, green, blue] = pixel.0.map(u32::from);
        ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
    })
}

/// `length * numerator / denominator`, rounded. No side is over 2^14, so nothing overflows.
fn scaled(length: u32, numerator: u32, denominator: u32) -> u32 {
    (length * numerator + denominator / 2) / denominator
}
