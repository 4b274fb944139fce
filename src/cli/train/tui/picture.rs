//! Pictures in characters: two pixels, one above the other, in each.

use super::colors::Colors;
use image::{DynamicImage, Rgb, RgbImage, Rgba, RgbaImage, imageops};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::widgets::Widget;
use striate::interpret::drawing::upscale;

/// A picture of at most the widget's size; transparent pixels show the background.
pub struct Picture {
    pub image: RgbaImage,
    pub colors: Colors,
}

impl Widget for Picture {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let (width, height) = self.image.dimensions();
        let pixel = |x: u16, y: u32| match self.image.get_pixel_checked(u32::from(x), y) {
            Some(Rgba([r, g, b, 255])) => Some(Rgb([*r, *g, *b])),
            _ => None,
        };
        for y in 0..area.height.min(height.div_ceil(2) as u16) {
            for x in 0..area.width.min(width as u16) {
                let [top, bottom] = [0, 1].map(|row| pixel(x, 2 * u32::from(y) + row));
                paint(&mut buffer[(area.x + x, area.y + y)], top, bottom, self.colors);
            }
        }
    }
}

/// Without enough colors, characters of different density stand for the brightness.
fn paint(cell: &mut Cell, top: Option<Rgb<u8>>, bottom: Option<Rgb<u8>>, colors: Colors) {
    let color = |pixel: Rgb<u8>| colors.pixel(pixel);
    match (top, bottom) {
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) if color(one).is_none() => drop(cell.set_char(shade(one, one))),
        (Some(top), Some(bottom)) if color(top).is_none() => drop(cell.set_char(shade(top, bottom))),
        (top, bottom) => {
            let [top, bottom] = [top, bottom].map(|pixel| pixel.and_then(color));
            let (character, above, below) = match top {
                Some(top) => ('▀', top, bottom.unwrap_or(Color::Reset)),
                None => ('▄', bottom.unwrap_or(Color::Reset), Color::Reset),
            };
            cell.set_char(character).set_fg(above).set_bg(below);
        }
    }
}

/// The character for the mean brightness of two pixels.
fn shade(top: Rgb<u8>, bottom: Rgb<u8>) -> char {
    let brightness = top.0.iter().chain(&bottom.0).map(|byte| usize::from(*byte)).sum::<usize>() / 6;
    [' ', '░', '▒', '▓', '█'][brightness * 5 / 256]
}

/// Most pixels per pixel of a grid's image.
const MAX_SCALE: u32 = 8;

/// A grid of small images with gaps of a pixel, in a picture of at most `size` (width and height). They are enlarged as far
/// as all fit; if they do not fit, the first ones are shown. Returns their number, too.
pub fn grid(images: &[RgbImage], size: [u32; 2]) -> (RgbaImage, usize) {
    let Some(first) = images.first() else { return (RgbaImage::default(), 0) };
    let (width, height) = first.dimensions();
    let cells = |scale: u32| [(size[0] + 1) / (width * scale + 1), (size[1] + 1) / (height * scale + 1)];
    let fits = |scale: &u32| cells(*scale)[0] as usize * cells(*scale)[1] as usize >= images.len();
    let scale = (1..=MAX_SCALE).rev().find(fits).unwrap_or(1);
    let [columns, rows] = cells(scale);
    let columns = columns.min(images.len() as u32);
    let shown = images.len().min((columns * rows) as usize);
    let [across, down] = [width * scale + 1, height * scale + 1];
    let rows = (shown as u32).div_ceil(columns.max(1));
    let mut canvas = RgbaImage::new(columns * across, rows * down);
    for (index, image) in (0..).zip(&images[..shown]) {
        let image = opaque(&upscale(image, scale));
        let (x, y) = (index % columns * across, index / columns * down);
        imageops::replace(&mut canvas, &image, i64::from(x), i64::from(y));
    }
    (canvas, shown)
}

/// The image as a picture.
pub fn opaque(image: &RgbImage) -> RgbaImage {
    DynamicImage::from(image.clone()).to_rgba8()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(image: RgbaImage, colors: Colors) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 2, 2));
        Picture { image, colors }.render(buffer.area, &mut buffer);
        buffer
    }

    #[test]
    fn a_cell_has_the_colors_of_two_pixels() {
        let mut image = RgbaImage::new(2, 3);
        image.put_pixel(0, 0, Rgba([255, 0, 0, 255]));
        image.put_pixel(0, 1, Rgba([0, 0, 255, 255]));
        image.put_pixel(1, 1, Rgba([255, 255, 255, 255]));
        image.put_pixel(0, 2, Rgba([0, 0, 0, 255]));
        let cell = |buffer: &Buffer, x: u16, y: u16| {
            let cell = &buffer[(x, y)];
            (cell.symbol().to_owned(), cell.fg, cell.bg)
        };
        let buffer = drawn(image.clone(), Colors::True);
        assert_eq!(cell(&buffer, 0, 0), ("▀".into(), Color::Rgb(255, 0, 0), Color::Rgb(0, 0, 255)));
        assert_eq!(cell(&buffer, 1, 0), ("▄".into(), Color::Rgb(255, 255, 255), Color::Reset));
        assert_eq!(cell(&buffer, 0, 1), ("▀".into(), Color::Rgb(0, 0, 0), Color::Reset));
        assert_eq!(cell(&buffer, 1, 1), (" ".into(), Color::Reset, Color::Reset));
        let buffer = drawn(image.clone(), Colors::Indexed);
        assert_eq!(cell(&buffer, 0, 0), ("▀".into(), Color::Indexed(196), Color::Indexed(21)));
        for colors in [Colors::Named, Colors::None] {
            let buffer = drawn(image.clone(), colors);
            assert_eq!(cell(&buffer, 0, 0), ("░".into(), Color::Reset, Color::Reset));
            assert_eq!(cell(&buffer, 1, 0), ("█".into(), Color::Reset, Color::Reset));
        }
    }

    #[test]
    fn a_grid_is_as_large_as_fits() {
        let images = vec![RgbImage::from_pixel(3, 3, Rgb([9; 3])); 16];
        for (size, scale, columns, shown) in
            [([64, 36], 3, 6, 16), ([25, 14], 1, 6, 16), ([12, 6], 1, 3, 3), ([2, 2], 1, 0, 0)]
        {
            let (canvas, count) = grid(&images, size);
            assert_eq!(count, shown, "{size:?}");
            assert_eq!(canvas.width(), columns * (3 * scale + 1), "{size:?}");
            let filled = canvas.pixels().filter(|pixel| pixel.0[3] == 255).count();
            assert_eq!(filled, shown * 9 * (scale * scale) as usize, "{size:?}");
        }
    }
}
