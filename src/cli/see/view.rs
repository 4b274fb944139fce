//! What all views have in common: they look at a scene, write files and a record of them, and give the images in them one by one.

use super::flags::{ImageFlags, LensFlags, OutFlags, Subject};
use super::progress::Progress;
use crate::cli::flags::as_flag;
use crate::cli::images::SKIPPED;
use crate::cli::output::print;
use image::RgbImage;
use std::path::Path;
use striate::see::canvas::{self, Tile};
use striate::see::{Album, Images, Record};
use striate::{OutputFolder, Result};

/// A way to look into a network, with its settings as flags.
pub trait View: clap::Args {
    /// What it is called, and its record.
    const NAME: &str;

    /// Looks, and writes what is seen.
    fn show(&self, scene: &Scene<'_>) -> Result<Shown>;
}

/// What a view looks at, and where its files go.
pub struct Scene<'a> {
    pub subject: &'a Subject,
    /// None for views that need none.
    pub images: &'a Images,
    pub out: &'a OutputFolder,
    /// Before the names of its files: the subfolder, with a `/`, or nothing.
    pub prefix: &'a str,
    pub progress: &'a Progress,
}

impl Scene<'_> {
    /// The view's files.
    pub fn album(&self, view: &str, title: impl Into<String>) -> Album<'_> {
        Album::new(self.out, self.prefix, view, title)
    }
}

/// What a view wrote, and its images one by one.
pub struct Shown {
    pub record: Record,
    pub plates: Vec<Plate>,
    /// An SVG, where it has one.
    pub drawing: Option<String>,
}

/// What a plate is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The network as a whole.
    Network,
    /// An image by its number.
    Image(usize),
    /// A channel of a layer.
    Unit(String, usize),
}

/// An image that can stand by itself.
pub struct Plate {
    pub of: Of,
    /// Plates of one group belong side by side.
    pub group: &'static str,
    pub image: RgbImage,
    pub label: String,
}

impl Plate {
    pub fn new(of: Of, group: &'static str, image: RgbImage, label: impl Into<String>) -> Self {
        Self { of, group, image, label: label.into() }
    }

    /// For a grid, enlarged to about so many pixels across.
    pub fn tile(&self, side: usize) -> Tile {
        let times = canvas::times_to(self.image.width() as usize, side);
        Tile::new(canvas::enlarge(&self.image, times), self.label.as_str())
    }
}

/// Plates side by side under a line of words.
pub fn sheet(title: &str, plates: &[Plate], side: usize, columns: usize) -> RgbImage {
    let tiles: Vec<Tile> = plates.iter().map(|plate| plate.tile(side)).collect();
    canvas::grid(title, &tiles, columns)
}

/// A view with images, from the command line.
#[derive(clap::Args)]
pub struct WithImages<V: View> {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    images: ImageFlags,
    #[command(flatten)]
    view: V,
    #[command(flatten)]
    out: OutFlags,
}

/// A view of the network alone, from the command line.
#[derive(clap::Args)]
pub struct Alone<V: View> {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    view: V,
    #[command(flatten)]
    out: OutFlags,
}

impl<V: View> WithImages<V> {
    pub fn run(&self) -> Result<i32> {
        self.lens
            .open_with(&self.images)
            .and_then(|(subject, images)| look(&self.view, &subject, &images, &self.out.out))
            .map_err(as_flag::<Self>)
    }
}

impl<V: View> Alone<V> {
    pub fn run(&self) -> Result<i32> {
        self.lens
            .open()
            .and_then(|subject| look(&self.view, &subject, &Images::default(), &self.out.out))
            .map_err(as_flag::<Self>)
    }
}

/// Shows a view and tells what it wrote; the result is the exit code.
fn look<V: View>(view: &V, subject: &Subject, images: &Images, out: &Path) -> Result<i32> {
    // Refused before the work.
    let out = OutputFolder::open(out, "see")?;
    out.check(&[&format!("{}.json", V::NAME)])?;
    let progress = Progress::new();
    let scene = Scene { subject, images, out: &out, prefix: "", progress: &progress };
    let Record { title, caption, files, .. } = view.show(&scene)?.record;
    out.commit()?;
    drop(progress);
    let files: String = files.iter().map(|file| format!("  {}  {}\n", file.name, file.about)).collect();
    let looked_at = match images.len() {
        0 => String::new(),
        count => format!("{count} images {}\n\n", subject.data),
    };
    print(&format!("{title}\n\n{looked_at}{caption}\n\n{files}"))?;
    Ok(exit_code(images))
}

/// Of a view that is done.
pub fn exit_code(images: &Images) -> i32 {
    if images.skipped.is_empty() { 0 } else { SKIPPED }
}
