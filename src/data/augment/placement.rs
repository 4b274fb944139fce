//! Shifts and flips of images as they are normalized.

/// Where a crop with padding takes an image, and whether it is flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Shift down in pixels; negative is up.
    pub down: isize,
    /// Shift right in pixels, before the flip; negative is left.
    pub right: isize,
    /// Whether it is flipped horizontally.
    pub flip: bool,
}

impl Placement {
    /// No change.
    pub const IDENTITY: Self = Self { down: 0, right: 0, flip: false };

    /// Writes the shifted and flipped image to `output`; both are CHW. `tables[channel][byte]` is the normalized value of a
    /// byte, see [`Normalization::tables`](crate::data::Normalization::tables). Pixels outside the image become 0.
    ///
    /// # Panics
    ///
    /// If the lengths do not match the shape.
    pub fn write(
        self,
        image: &[u8],
        [channels, height, width]: [usize; 3],
        tables: &[[f32; 256]],
        output: &mut [f32],
    ) {
        assert_eq!((image.len(), output.len()), (channels * height * width, channels * height * width));
        assert_eq!(tables.len(), channels);
        let planes = image.chunks_exact(height * width).zip(output.chunks_exact_mut(height * width));
        for ((plane, output), table) in planes.zip(tables) {
            for (y, output) in output.chunks_exact_mut(width).enumerate() {
                let row = y.checked_add_signed(-self.down).filter(|&row| row < height);
                match row {
                    Some(row) => self.write_row(&plane[row * width..][..width], table, output),
                    None => output.fill(0.0),
                }
            }
        }
    }

    fn write_row(self, row: &[u8], table: &[f32; 256], output: &mut [f32]) {
        let width = row.len();
        let shift = self.right.unsigned_abs().min(width);
        let kept = width - shift;
        let (source, target) = if self.right < 0 { (shift, 0) } else { (0, shift) };
        output[..target].fill(0.0);
        output[target + kept..].fill(0.0);
        for (value, &pixel) in output[target..][..kept].iter_mut().zip(&row[source..][..kept]) {
            *value = table[usize::from(pixel)];
        }
        if self.flip {
            output.reverse();
        }
    }
}
