//! Originals of image files, kept in memory within a limit.

use std::path::Path;

use image::RgbImage;

use super::Original;
use super::image_file::{image_dimensions, planes};
use super::resample::{Interpolation, Part, resample};
use crate::plan::format_bytes;

/// How large originals may be, so that all of them fit the memory.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Longest shorter side, in pixels.
    side: u32,
    /// Whether some images are larger.
    pub scales: bool,
}

impl Limit {
    /// The largest limit at which the originals of these files take at most `bytes`; `None` if some would have to be smaller than
    /// the prepared images of `size`. Files that cannot be read count as empty.
    pub fn find<'p>(files: impl Iterator<Item = &'p Path>, size: [usize; 2], bytes: u64) -> Option<Self> {
        let sizes: Vec<[u32; 2]> = files.filter_map(image_dimensions).collect();
        let fits = |side: u32| {
            let each = sizes.iter().map(|size| scaled(*size, side));
            each.map(|[width, height]| 3 * u64::from(width) * u64::from(height)).sum::<u64>() <= bytes
        };
        let longest = sizes.iter().map(|[width, height]| *width.min(height)).max().unwrap_or(1);
        let sides: Vec<u32> = (1..=longest).collect();
        let side = sides.partition_point(|side| fits(*side)) as u32;
        let needed = size[0].max(size[1]) as u32;
        (side >= needed.min(longest)).then_some(Self { side, scales: side < longest })
    }

    /// Makes an original of a decoded image.
    pub fn original(self, image: &RgbImage) -> Original {
        let (width, height) = image.dimensions();
        let [across, down] = scaled([width, height], self.side);
        let whole = |scaled: u32| Part { scaled, from: 0, len: scaled };
        let mut bytes = vec![0; 3 * across as usize * down as usize];
        match (across, down) == (width, height) {
            true => planes(image, &mut bytes),
            false => {
                planes(&resample(image, whole(across), whole(down), Interpolation::Bilinear), &mut bytes)
            }
        }
        Original { size: [down as usize, across as usize], bytes }
    }

    /// A note for the user on how images are kept for crops.
    pub fn note(limit: Option<Self>, bytes: u64) -> Option<String> {
        let kept = match limit {
            Some(Self { scales: false, .. }) => return None,
            Some(Self { side, .. }) => format!("with shorter sides of at most {side} pixels"),
            None => "in the size of the network's input only".to_owned(),
        };
        let bytes = format_bytes(bytes);
        Some(format!("to fit {bytes}, training images are kept {kept}; --image-memory can allow more"))
    }
}

/// Width and height scaled to a shorter side of at most `most`.
fn scaled([width, height]: [u32; 2], most: u32) -> [u32; 2] {
    let shorter = width.min(height);
    let scale = |side: u32| (u64::from(side) * u64::from(most) / u64::from(shorter)) as u32;
    if shorter <= most { [width, height] } else { [scale(width), scale(height)] }
}
