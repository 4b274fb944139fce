//! `striate see neighbours`: which images a network finds alike.

use super::view::{Of, Plate, Scene, Shown, View, sheet};
use image::{Rgb, RgbImage};
use serde::Serialize;
use striate::see::canvas;
use striate::see::{Agreement, Images, Neighbour, agreement, nearest_others};
use striate::{Result, Tensor};

#[derive(clap::Args)]
pub struct Neighbours {
    /// Neighbours of each image
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    neighbours: usize,
    /// Draw the neighbours of the first so many images
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    rows: usize,
}

/// Pixels across that an image is drawn with, and of the frame around it.
const SIDE: u32 = 144;
const FRAME: isize = 4;
/// Frames of neighbours of the image's class and of others: colours that all eyes tell apart.
const SAME: Rgb<u8> = Rgb([31, 119, 180]);
const OTHER: Rgb<u8> = Rgb([230, 130, 10]);

/// A way to say how far images are from each other.
#[derive(Serialize)]
struct Space {
    name: &'static str,
    /// How often neighbours are of the same class, where classes are known.
    agreement: Option<Agreement>,
    /// By image.
    neighbours: Vec<Vec<Neighbour>>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(rename = "pictures")]
    images: &'a [String],
    classes: Option<&'a [usize]>,
    spaces: &'a [Space],
}

impl View for Neighbours {
    const NAME: &str = "neighbours";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (lens, images) = (&scene.subject.lens, scene.images);
        scene.progress.begin("neighbours", 2);
        let features = lens.features(&images.values)?;
        scene.progress.step();
        let pixels = Tensor::f32([images.len(), lens.image_len()], images.values.clone())?;
        let spaces = [
            Space::search("features", &features, self.neighbours, images)?,
            Space::search("pixels", &pixels, self.neighbours, images)?,
        ];
        let title = format!("Images that {} finds alike", lens.model());
        let mut album = scene.album(Self::NAME, title);
        let plates = self.draw(scene, &spaces);
        let about = "each image, and its nearest others: by features, and under them by pixels";
        let heading = "Left an image; then its nearest others, by features and (second row) by pixels";
        album.png("neighbours.png", about, &sheet(heading, &plates, SIDE as usize, self.neighbours + 1))?;
        let found = Found { images: &images.names, classes: images.labels.as_deref(), spaces: &spaces };
        album.json("neighbours-found.json", "all neighbours with their distances", &found)?;
        Ok(Shown { record: album.finish(self.caption(images, &spaces))?, plates, drawing: None })
    }
}

impl Space {
    fn search(name: &'static str, rows: &Tensor, k: usize, images: &Images) -> Result<Self> {
        let neighbours = nearest_others(rows, k)?;
        let agreement = images.labels.as_ref().map(|labels| agreement(&neighbours, labels, labels));
        Ok(Self { name, agreement, neighbours })
    }
}

impl Neighbours {
    fn caption(&self, images: &Images, spaces: &[Space]) -> String {
        let mut text = format!(
            "Each of {} images beside the {} others nearest to it by what the last linear layer sees (features), and by \
             normalised pixels; exact, distances are roots of summed squared differences. Drawn are the first {}.",
            images.len(),
            self.neighbours,
            self.rows.min(images.len())
        );
        for Space { name, agreement, .. } in spaces {
            if let Some(Agreement { nearest, all, majority }) = agreement {
                text.push_str(&format!(
                    " By {name}, {:.1} % of the nearest and {:.1} % of all neighbours have the image's class; the class \
                     of most is right for {:.1} %.",
                    100.0 * nearest,
                    100.0 * all,
                    100.0 * majority
                ));
            }
        }
        if images.labels.is_some() {
            text.push_str(" Blue frames: the image's class, orange: another.");
        }
        text
    }

    /// For each of the first images a row by features and one by pixels, itself first.
    fn draw(&self, scene: &Scene<'_>, spaces: &[Space; 2]) -> Vec<Plate> {
        let mut plates = Vec::new();
        for query in 0..self.rows.min(scene.images.len()) {
            for (space, group) in spaces.iter().zip(["Nearest to it by features", "Nearest to it by pixels"])
            {
                let plate = |image, label| Plate::new(Of::Image(query), group, image, label);
                let called = |index| scene.subject.called(scene.images, index);
                plates.push(plate(thumbnail(scene, query), called(query)));
                plates.extend(space.neighbours[query].iter().map(|near| {
                    let label = format!("{:.1} {}", near.distance, called(near.index));
                    plate(framed(scene, query, near.index), label)
                }));
            }
        }
        plates
    }
}

/// A neighbour in the colour that says whether it is of the image's class, where classes are known.
fn framed(scene: &Scene<'_>, query: usize, index: usize) -> RgbImage {
    let mut image = thumbnail(scene, index);
    if let Some(labels) = &scene.images.labels {
        let color = if labels[index] == labels[query] { SAME } else { OTHER };
        let all = [image.height(), image.width()].map(|side| 0..side as isize);
        canvas::outline(&mut image, all, FRAME, color);
    }
    image
}

fn thumbnail(scene: &Scene<'_>, index: usize) -> RgbImage {
    canvas::fit(&scene.subject.photo(scene.images, index), SIDE)
}
