//! The colors of the terminal.

use crate::cli::terminal::colored;
use console::Term;
use image::Rgb;
use ratatui::style::{Color, Style};

/// The colors that the terminal has, and the user wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Colors {
    None,
    /// The 16 named ones: pictures are gray.
    Named,
    /// The usual palette of 256.
    Indexed,
    True,
}

impl Colors {
    pub fn of_terminal() -> Self {
        let has_palette = std::env::var("TERM").is_ok_and(|term| term.contains("256"));
        match Term::stdout().features().true_colors_supported() {
            _ if !colored() => Self::None,
            true => Self::True,
            false if has_palette => Self::Indexed,
            false => Self::Named,
        }
    }

    /// The style of colored text or lines.
    pub fn style(self, color: Color) -> Style {
        if self == Self::None { Style::new() } else { Style::new().fg(color) }
    }

    /// The nearest color to that of a pixel; `None` if there are too few for pictures.
    pub fn pixel(self, Rgb([r, g, b]): Rgb<u8>) -> Option<Color> {
        match self {
            Self::None | Self::Named => None,
            Self::Indexed => {
                Some(Color::Indexed(anstyle_lossy::rgb_to_xterm(anstyle::RgbColor(r, g, b)).index()))
            }
            Self::True => Some(Color::Rgb(r, g, b)),
        }
    }
}
