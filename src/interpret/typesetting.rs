//! Text in images.

use super::drawing::mix;
use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};
use std::sync::LazyLock;

/// Its origin and license are in `data/font/README.md`.
static TYPEFACE: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    let file = include_bytes!("../../data/font/DejaVuSansCondensed.ttf");
    FontRef::try_from_slice(file).expect("the built-in font is valid")
});

/// Heights of lines, in pixels.
pub(super) const LABEL: f32 = 16.0;
pub(super) const TITLE: f32 = 20.0;

const INK: Rgb<u8> = Rgb([40; 3]);
/// Ends text that was shortened.
const ELLIPSIS: char = '\u{2026}';

/// A line of text with the position of each glyph.
pub(super) struct Typeset {
    text: String,
    line: f32,
    glyphs: Vec<Glyph>,
    /// Exact width, in pixels.
    width: f32,
}

impl Typeset {
    /// Places the glyphs of a text. Characters that the typeface lacks become boxes.
    pub fn new(text: &str, line: f32) -> Self {
        let font = TYPEFACE.as_scaled(PxScale::from(line));
        let mut width = 0.0;
        let mut place = |character: char| {
            let id: GlyphId = font.glyph_id(character);
            let glyph = id.with_scale_and_position(line, point(width, font.ascent()));
            width += font.h_advance(id);
            glyph
        };
        let glyphs = text.chars().map(&mut place).collect();
        Self { text: text.to_owned(), line, glyphs, width }
    }

    /// The text, with an ellipsis in the place of what is beyond `most` pixels.
    pub fn shortened(self, most: u32) -> Self {
        let mut short = self;
        let mut kept = short.text.clone();
        while short.width() > most && kept.pop().is_some() {
            short = Self::new(&format!("{}{ELLIPSIS}", kept.trim_end()), short.line);
        }
        short
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width.ceil() as u32
    }

    /// Height of the line in pixels; 0 if there is no text.
    pub fn height(&self) -> u32 {
        if self.text.is_empty() { 0 } else { self.line.ceil() as u32 }
    }

    /// Draws the text from its upper-left corner `[x, y]`; what is outside the canvas is clipped.
    pub fn draw(&self, canvas: &mut RgbImage, [x, y]: [u32; 2]) {
        for outline in self.glyphs.iter().filter_map(|glyph| TYPEFACE.outline_glyph(glyph.clone())) {
            let corner = outline.px_bounds().min;
            outline.draw(|column, row, coverage| {
                let [x, y] = [x as f32 + corner.x + column as f32, y as f32 + corner.y + row as f32];
                if let Some(pixel) = canvas.get_pixel_mut_checked(x as u32, y as u32) {
                    *pixel = mix(*pixel, INK, f64::from(coverage.min(1.0)));
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{INK, LABEL, TITLE, Typeset};
    use image::{Rgb, RgbImage};

    fn drawn(text: &str) -> RgbImage {
        let text = Typeset::new(text, LABEL);
        let mut canvas = RgbImage::from_pixel(text.width() + 4, text.height() + 4, Rgb([255; 3]));
        text.draw(&mut canvas, [2, 2]);
        canvas
    }

    #[test]
    fn widths_are_measured() {
        let width = |text| Typeset::new(text, LABEL).width();
        assert!(width("iiii") < width("nnnn") && width("nnnn") < width("WWWW"));
        assert!(Typeset::new("nnnn", TITLE).width() > width("nnnn"));
        assert_eq!((width(""), Typeset::new("", LABEL).height()), (0, 0));
    }

    #[test]
    fn text_is_antialiased_and_stays_within_its_size() {
        for text in ["Ankle boot 12.34", "gjpqy|\u{c5}\u{11e}", "\u{416}\u{3a9} \u{d7} \u{2026}", "\u{72ac}"]
        {
            let canvas = drawn(text);
            let (width, height) = canvas.dimensions();
            let dark = |(x, y, pixel): (u32, u32, &Rgb<u8>)| (pixel[0] < 200).then_some((x, y));
            let inked: Vec<(u32, u32)> = canvas.enumerate_pixels().filter_map(dark).collect();
            assert!(!inked.is_empty(), "{text} is blank");
            assert!(
                inked.iter().all(|(x, y)| (1..width - 1).contains(x) && (1..height - 1).contains(y)),
                "{text}"
            );
            assert!(
                canvas.pixels().any(|pixel| (INK[0] + 30..225).contains(&pixel[0])),
                "{text}: edges are hard"
            );
            assert_eq!(canvas, drawn(text), "{text}: two drawings differ");
        }
    }

    #[test]
    fn long_text_ends_with_an_ellipsis() {
        let whole = Typeset::new("Ankle boot, called Sneaker", LABEL);
        let most = whole.width();
        assert_eq!(whole.shortened(most).text, "Ankle boot, called Sneaker");
        let short = Typeset::new("Ankle boot, called Sneaker", LABEL).shortened(80);
        assert!(short.width() <= 80 && short.width() > 60, "{}", short.width());
        assert!(short.text.starts_with("Ankle boot") && short.text.ends_with('\u{2026}'), "{}", short.text);
        assert_eq!(Typeset::new("WWW", LABEL).shortened(3).text.chars().count(), 1);
    }
}
