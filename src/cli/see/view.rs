//! What all views share: flags, the context they draw in, and the files and figures they produce.

use super::flags::{ImageFlags, InspectedNetwork, LensFlags, OutFlags};
use super::progress::Progress;
use crate::cli::flags::as_flag;
use crate::cli::images::SKIPPED;
use crate::cli::output::print;
use image::RgbImage;
use std::path::Path;
use striate::interpret::drawing::{self, ColorScale, Tile};
use striate::interpret::{Images, Manifest, ViewWriter};
use striate::{OutputFolder, Result};

/// A way of looking into a network, with its settings as flags.
pub trait View: clap::Args {
    /// Name of the view, its files and its manifest.
    const NAME: &str;
    /// What the page shows of the view, where its files show more or are arranged otherwise.
    const ON_PAGE: &str = "";
    /// Whether there is nothing to draw without images.
    const NEEDS_IMAGES: bool = true;

    /// Draws the view and stages its files.
    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput>;
}

/// What a view draws from, and where its files go.
pub struct ViewContext<'a> {
    pub network: &'a InspectedNetwork,
    /// Empty for views that need no images.
    pub images: &'a Images,
    pub out: &'a OutputFolder,
    /// Put before file names: a subfolder with a `/`, or nothing.
    pub prefix: &'a str,
    pub progress: &'a Progress,
}

impl ViewContext<'_> {
    /// A writer for the view's files.
    pub fn writer(&self, view: &str, title: impl Into<String>) -> ViewWriter<'_> {
        ViewWriter::new(self.out, self.prefix, view, title)
    }
}

/// What a view produced: its files, and its figures one by one for the page.
pub struct ViewOutput {
    pub manifest: Manifest,
    pub figures: Vec<Figure>,
    /// What was found, in one sentence.
    pub finding: Option<String>,
    /// A point per image, for t-SNE.
    pub points: Vec<[f64; 2]>,
    /// Results for the terminal; empty if there are only files.
    pub table: String,
}

impl ViewOutput {
    pub fn new(manifest: Manifest, figures: Vec<Figure>) -> Self {
        Self { manifest, figures, finding: None, points: Vec::new(), table: String::new() }
    }
}

/// What a figure shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The network as a whole.
    Network,
    /// An image by index.
    Image(usize),
    /// A channel of a layer.
    Unit(String, usize),
}

/// An image that can be shown on its own.
pub struct Figure {
    pub subject: Subject,
    /// Figures of one group are shown side by side.
    pub group: String,
    pub image: RgbImage,
    pub label: String,
    /// The color scale of a map, and what its values are.
    pub scale: Option<(ColorScale, &'static str)>,
    /// Of a map that explains an answer, how much each part of the image matters.
    pub evidence: Option<Evidence>,
}

/// How much each part of an image speaks for an answer, by some method.
pub struct Evidence {
    pub method: &'static str,
    /// Rows of cells that cover the image.
    pub values: Vec<f32>,
    /// Cells in a row.
    pub width: usize,
}

impl Figure {
    pub fn new(
        subject: Subject,
        group: impl Into<String>,
        image: RgbImage,
        label: impl Into<String>,
    ) -> Self {
        Self { subject, group: group.into(), image, label: label.into(), scale: None, evidence: None }
    }

    /// The figure with a color bar, whose values are `unit`.
    pub fn with_scale(self, scale: ColorScale, unit: &'static str) -> Self {
        Self { scale: Some((scale, unit)), ..self }
    }

    /// The figure with the values that it shows, to compare methods by.
    pub fn with_evidence(self, method: &'static str, values: Vec<f32>, width: usize) -> Self {
        Self { evidence: Some(Evidence { method, values, width }), ..self }
    }

    /// As a tile of a grid, scaled up to about `side` pixels.
    pub fn tile(&self, side: usize) -> Tile {
        let factor = drawing::upscale_factor(self.image.width() as usize, side);
        Tile::new(drawing::upscale(&self.image, factor), self.label.as_str())
    }
}

/// Figures in a grid below a title.
pub fn figure_grid(title: &str, figures: &[Figure], side: usize, columns: usize) -> RgbImage {
    let tiles: Vec<Tile> = figures.iter().map(|figure| figure.tile(side)).collect();
    drawing::image_grid(title, &tiles, columns)
}

/// Rows of figures below a title; shorter rows are filled up with white.
pub fn figure_rows(title: &str, rows: &[Vec<Figure>], side: usize) -> RgbImage {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let filled = |row: &Vec<Figure>| {
        let mut tiles: Vec<Tile> = row.iter().map(|figure| figure.tile(side)).collect();
        tiles.resize_with(columns, || Tile::new(RgbImage::new(0, 0), ""));
        tiles
    };
    drawing::image_grid(title, &rows.iter().flat_map(filled).collect::<Vec<Tile>>(), columns)
}

/// Command line of a view that needs images.
#[derive(clap::Args)]
pub struct WithImages<V: View> {
    #[command(flatten)]
    images: ImageFlags,
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    view: V,
    #[command(flatten)]
    out: OutFlags,
}

/// Command line of a view of the network alone.
#[derive(clap::Args)]
pub struct WithoutImages<V: View> {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    view: V,
    #[command(flatten)]
    out: OutFlags,
}

impl<V: View> WithImages<V> {
    pub fn run(&self) -> Result<i32> {
        let opened = match V::NEEDS_IMAGES {
            true => self.lens.open_with(&self.images),
            false => self.lens.open_with_any(&self.images),
        };
        opened
            .and_then(|(network, images)| run(&self.view, &network, &images, &self.out.out))
            .map_err(as_flag::<Self>)
    }
}

impl<V: View> WithoutImages<V> {
    pub fn run(&self) -> Result<i32> {
        self.lens
            .open()
            .and_then(|network| run(&self.view, &network, &Images::default(), &self.out.out))
            .map_err(as_flag::<Self>)
    }
}

/// Draws a view and prints what it wrote; returns the exit code.
fn run<V: View>(view: &V, network: &InspectedNetwork, images: &Images, out: &Path) -> Result<i32> {
    // Fail before the work if the folder cannot be used.
    let out = OutputFolder::open(out, "see")?;
    out.check(&[&format!("{}.json", V::NAME)])?;
    let progress = Progress::new();
    let context = ViewContext { network, images, out: &out, prefix: "", progress: &progress };
    let ViewOutput { manifest: Manifest { title, caption, files, .. }, table, .. } = view.render(&context)?;
    out.commit()?;
    drop(progress);
    let files: String = files.iter().map(|file| format!("  {}  {}\n", file.name, file.about)).collect();
    let looked_at = match images.len() {
        0 => String::new(),
        count => format!("{count} images {}\n\n", network.data),
    };
    print(&format!("{title}\n\n{looked_at}{table}{caption}\n\n{files}"))?;
    Ok(exit_code(images))
}

/// The exit code of a finished view.
pub fn exit_code(images: &Images) -> i32 {
    if images.skipped.is_empty() { 0 } else { SKIPPED }
}
