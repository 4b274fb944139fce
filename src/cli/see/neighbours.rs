//! `striate see neighbours`: which pictures a network finds alike.

use super::flags::{LensFlags, OutFlags, PictureFlags, Subject};
use image::{Rgb, RgbImage};
use serde::Serialize;
use striate::see::canvas::{self, Tile};
use striate::see::{Agreement, Album, Neighbour, Pictures, Record, agreement, nearest_others};
use striate::{Result, Tensor};

#[derive(clap::Args)]
#[command(mut_arg("pictures", |arg| arg.default_value("1000")))]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    pictures: PictureFlags,
    /// Neighbours of each picture
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    neighbours: usize,
    /// Draw the neighbours of the first so many pictures
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    rows: usize,
    #[command(flatten)]
    out: OutFlags,
}

/// Pixels across that a picture is drawn with, and of the frame around it.
const SIDE: u32 = 144;
const FRAME: isize = 4;
/// Frames of neighbours of the picture's class and of others: colours that all eyes tell apart.
const SAME: Rgb<u8> = Rgb([31, 119, 180]);
const OTHER: Rgb<u8> = Rgb([230, 130, 10]);

/// A way to say how far pictures are from each other.
#[derive(Serialize)]
struct Space {
    name: &'static str,
    /// How often neighbours are of the same class, where classes are known.
    agreement: Option<Agreement>,
    /// By picture.
    neighbours: Vec<Vec<Neighbour>>,
}

#[derive(Serialize)]
struct Found<'a> {
    pictures: &'a [String],
    classes: Option<&'a [usize]>,
    spaces: &'a [Space],
}

pub fn run(args: &Args) -> Result<(Record, Pictures)> {
    let (subject, pictures) = args.lens.open_with(&args.pictures)?;
    let lens = &subject.lens;
    let features = lens.features(&pictures.images)?;
    let pixels = Tensor::f32([pictures.len(), lens.image_len()], pictures.images.clone())?;
    let spaces = [("features", &features), ("pixels", &pixels)];
    let spaces = spaces.map(|(name, rows)| Space::search(name, rows, args.neighbours, &pictures));
    let [features, pixels] = spaces;
    let spaces = [features?, pixels?];

    let title = format!("Pictures that {} finds alike", lens.model());
    let mut album = Album::new(&args.out.out, "neighbours", title)?;
    let about = "each picture, and its nearest others: by features, and under them by pixels";
    album.png("neighbours.png", about, &draw(&subject, &pictures, &spaces, args.rows))?;
    let found = Found { pictures: &pictures.names, classes: pictures.labels.as_deref(), spaces: &spaces };
    album.json("neighbours-found.json", "all neighbours with their distances", &found)?;
    Ok((album.finish(caption(args, &pictures, &spaces))?, pictures))
}

impl Space {
    fn search(name: &'static str, rows: &Tensor, k: usize, pictures: &Pictures) -> Result<Self> {
        let neighbours = nearest_others(rows, k)?;
        let agreement = pictures.labels.as_ref().map(|labels| agreement(&neighbours, labels, labels));
        Ok(Self { name, agreement, neighbours })
    }
}

fn caption(args: &Args, pictures: &Pictures, spaces: &[Space]) -> String {
    let mut text = format!(
        "Each of {} pictures beside the {} others nearest to it by what the last linear layer sees (features), and by \
         normalised pixels; exact, distances are roots of summed squared differences. Drawn are the first {}.",
        pictures.len(),
        args.neighbours,
        args.rows.min(pictures.len())
    );
    for Space { name, agreement, .. } in spaces {
        if let Some(Agreement { nearest, all, majority }) = agreement {
            text.push_str(&format!(
                " By {name}, {:.1} % of the nearest and {:.1} % of all neighbours have the picture's class; the class of most \
                 is right for {:.1} %.",
                100.0 * nearest,
                100.0 * all,
                100.0 * majority
            ));
        }
    }
    if pictures.labels.is_some() {
        text.push_str(" Blue frames: the picture's class, orange: another.");
    }
    text
}

fn draw(subject: &Subject, pictures: &Pictures, spaces: &[Space], rows: usize) -> RgbImage {
    let mut tiles = Vec::new();
    for query in 0..rows.min(pictures.len()) {
        for space in spaces {
            tiles.push(Tile::new(thumbnail(subject, pictures, query), subject.called(pictures, query)));
            for near in &space.neighbours[query] {
                let mut picture = thumbnail(subject, pictures, near.index);
                if let Some(labels) = &pictures.labels {
                    let color = if labels[near.index] == labels[query] { SAME } else { OTHER };
                    let all = [picture.height(), picture.width()].map(|side| 0..side as isize);
                    canvas::outline(&mut picture, all, FRAME, color);
                }
                let label = format!("{:.1} {}", near.distance, subject.called(pictures, near.index));
                tiles.push(Tile::new(picture, label));
            }
        }
    }
    let columns = spaces[0].neighbours[0].len() + 1;
    canvas::grid(
        "Left a picture; then its nearest others, by features and (second row) by pixels",
        &tiles,
        columns,
    )
}

fn thumbnail(subject: &Subject, pictures: &Pictures, index: usize) -> RgbImage {
    canvas::fit(&subject.photo(pictures, index), SIDE)
}
