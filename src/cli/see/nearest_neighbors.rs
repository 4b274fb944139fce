//! `striate see neighbours`: images that look alike to a network.

use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use image::{Rgb, RgbImage};
use serde::Serialize;
use striate::interpret::drawing;
use striate::interpret::{Images, LabelAgreement, Neighbor, label_agreement, nearest_neighbors_within};
use striate::{Result, Tensor};

#[derive(clap::Args)]
pub struct NearestNeighbors {
    /// Number of neighbors per image
    #[arg(long = "neighbours", alias = "neighbors", default_value_t = 8, value_name = "COUNT")]
    neighbors: usize,
    /// Draw the neighbors of the first COUNT images
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    rows: usize,
}

/// Width of an image, and of the frame around it, in pixels.
const SIDE: u32 = 144;
const FRAME: isize = 4;
/// Frames of neighbors with the same and with another class, in colors that are safe for color-blind readers.
const SAME: Rgb<u8> = Rgb([31, 119, 180]);
const OTHER: Rgb<u8> = Rgb([230, 130, 10]);

/// A space to measure distances in.
#[derive(Serialize)]
struct Space {
    name: &'static str,
    /// How often neighbors share a class, if classes are known.
    agreement: Option<LabelAgreement>,
    /// Neighbors of each image.
    #[serde(rename = "neighbours")]
    neighbors: Vec<Vec<Neighbor>>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(rename = "pictures")]
    images: &'a [String],
    classes: Option<&'a [usize]>,
    spaces: &'a [Space],
}

impl View for NearestNeighbors {
    const NAME: &str = "neighbours";
    const ON_PAGE: &str = "For each image, its nearest neighbors by features, then those by pixels.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (lens, images) = (&context.network.lens, context.images);
        context.progress.begin("nearest neighbors", 2);
        let features = lens.features(&images.values)?;
        context.progress.step();
        let pixels = Tensor::f32([images.len(), lens.image_len()], images.values.clone())?;
        let spaces = [
            Space::search("features", &features, self.neighbors, images)?,
            Space::search("pixels", &pixels, self.neighbors, images)?,
        ];
        let title = format!("Images that look alike to {}", lens.model());
        let mut writer = context.writer(Self::NAME, title);
        let figures = self.draw(context, &spaces);
        let about = "each image with its nearest neighbors: by features, and below by pixels";
        let heading = "An image, then its nearest neighbors by features and, below, by pixels";
        writer.png("", about, &figure_grid(heading, &figures, SIDE as usize, self.neighbors + 1))?;
        let found = Found { images: &images.names, classes: images.labels.as_deref(), spaces: &spaces };
        writer.json("found", "all neighbors with their distances", &found)?;
        let finding = finding(&spaces);
        Ok(ViewOutput { finding, ..ViewOutput::new(writer.finish(self.caption(images, &spaces))?, figures) })
    }
}

/// Which distances find the class, if classes are known.
fn finding([features, pixels]: &[Space; 2]) -> Option<String> {
    let nearest = |space: &Space| Some(100.0 * space.agreement.as_ref()?.nearest);
    Some(format!(
        "The nearest neighbor of an image has its class for {:.1} % of the images by the network's features, and for {:.1} % \
         by pixels.",
        nearest(features)?,
        nearest(pixels)?
    ))
}

impl Space {
    fn search(name: &'static str, rows: &Tensor, k: usize, images: &Images) -> Result<Self> {
        let neighbors = nearest_neighbors_within(rows, k)?;
        let agreement = images.labels.as_ref().map(|labels| label_agreement(&neighbors, labels, labels));
        Ok(Self { name, agreement, neighbors })
    }
}

impl NearestNeighbors {
    fn caption(&self, images: &Images, spaces: &[Space]) -> String {
        let mut text = format!(
            "Each of {} images with its {} nearest neighbors by features, the input of the last linear layer, and by \
             normalized pixels. The search is exact, and distances are Euclidean. The first {} images are drawn.",
            images.len(),
            self.neighbors,
            self.rows.min(images.len())
        );
        for Space { name, agreement, .. } in spaces {
            if let Some(LabelAgreement { nearest, all, majority }) = agreement {
                text.push_str(&format!(
                    " By {name}, {:.1} % of the nearest and {:.1} % of all neighbors have the class of the image; a majority \
                     vote of the neighbors is right for {:.1} %.",
                    100.0 * nearest,
                    100.0 * all,
                    100.0 * majority
                ));
            }
        }
        if images.labels.is_some() {
            text.push_str(" Blue frames mark the same class, orange ones another.");
        }
        text
    }

    /// For each of the first images a row by features and a row by pixels, starting with the image itself.
    fn draw(&self, context: &ViewContext<'_>, spaces: &[Space; 2]) -> Vec<Figure> {
        let mut figures = Vec::new();
        for query in 0..self.rows.min(context.images.len()) {
            for (space, group) in spaces.iter().zip(["Nearest by features", "Nearest by pixels"]) {
                let figure = |image, label| Figure::new(Subject::Image(query), group, image, label);
                let called = |index| context.network.called(context.images, index);
                figures.push(figure(thumbnail(context, query), called(query)));
                figures.extend(space.neighbors[query].iter().map(|near| {
                    let label = format!("{:.1} {}", near.distance, called(near.index));
                    figure(framed(context, query, near.index), label)
                }));
            }
        }
        figures
    }
}

/// A neighbor with a frame whose color tells whether it has the class of the query, if classes are known.
fn framed(context: &ViewContext<'_>, query: usize, index: usize) -> RgbImage {
    let mut image = thumbnail(context, index);
    if let Some(labels) = &context.images.labels {
        let color = if labels[index] == labels[query] { SAME } else { OTHER };
        let all = [image.height(), image.width()].map(|side| 0..side as isize);
        drawing::outline(&mut image, all, FRAME, color);
    }
    image
}

fn thumbnail(context: &ViewContext<'_>, index: usize) -> RgbImage {
    drawing::scale_to_width(&context.network.photo(context.images, index), SIDE)
}
