//! `striate see map`: images laid out so that those a network finds alike lie together.

use super::flags::Subject;
use super::view::{Of, Plate, Scene, Shown, View};
use crate::cli::text;
use image::{Rgb, RgbImage, imageops};
use plotters::prelude::*;
use std::error::Error as StdError;
use striate::see::{Images, Map as Points, MapConfig, canvas, grid, map};
use striate::{Error, Result};

#[derive(clap::Args)]
pub struct Map {
    /// About how many neighbours each image shall keep
    #[arg(long, default_value_t = MapConfig::default().perplexity)]
    perplexity: f64,
    /// Steps of gradient descent
    #[arg(long, default_value_t = MapConfig::default().steps, value_name = "COUNT")]
    steps: usize,
    /// Principal components that features are reduced to first
    #[arg(long, default_value_t = MapConfig::default().components, value_name = "COUNT")]
    components: usize,
    /// Where images start
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Pixels across that an image of the mosaic is drawn with, and the mosaic's about.
const TILE: u32 = 32;
const MOSAIC: u32 = 1600;

impl View for Map {
    const NAME: &str = "map";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (subject, images) = (scene.subject, scene.images);
        let config = MapConfig {
            perplexity: self.perplexity,
            steps: self.steps,
            components: self.components,
            seed: self.seed,
            ..Default::default()
        };
        scene.progress.begin("map", 2);
        let features = subject.lens.features(&images.values)?;
        scene.progress.step();
        let map = map(&features, &config)?;
        // Half of the cells stay free, so that most images come near their place.
        let side = ((2 * images.len()) as f64).sqrt().ceil() as usize;
        let cells = grid(&map.points, side)?;

        let title = format!("A map of images by what {} sees in them", subject.lens.model());
        let svg = scatter(&title, subject, images, &map)
            .map_err(|e| Error::data(scene.out.path(), format!("map.svg cannot be drawn: {e}")))?;
        let mut album = scene.album(Self::NAME, title);
        album.file("map.svg", "the map, a point an image, coloured by class", svg.as_bytes())?;
        let drawn = mosaic(subject, images, &cells, side);
        let about = "the same map with the images, each in the free cell nearest to its place";
        album.png("map-images.png", about, &drawn)?;
        let table = table(subject, images, &map, &cells);
        album.file("map.csv", "place and cell of each image", table.as_bytes())?;
        let plate = Plate::new(Of::Network, "The map with the images", drawn, "the map with the images");
        let record = album.finish(caption(images, &config, &map))?;
        Ok(Shown { record, plates: vec![plate], drawing: Some(svg) })
    }
}

fn caption(images: &Images, config: &MapConfig, map: &Points) -> String {
    format!(
        "{} images by t-SNE (Barnes-Hut, theta {}) of the features that the last linear layer sees, reduced to {} principal \
         components with {:.1} % of their variance: perplexity {}, {} steps, seed {}; Kullback-Leibler divergence {:.3}. \
         Images close together are alike to the network; how far groups are apart, and how large they are, means little.",
        images.len(),
        config.theta,
        map.components,
        100.0 * map.variance,
        config.perplexity,
        config.steps,
        config.seed,
        map.divergence
    )
}

/// Points coloured by class, and a legend of the classes that there are.
fn scatter(
    title: &str,
    subject: &Subject,
    images: &Images,
    map: &Points,
) -> Result<String, Box<dyn StdError>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1000, 800)).into_drawing_area();
        root.fill(&WHITE)?;
        let [x, y] = [0, 1].map(|axis| {
            let along = || map.points.iter().map(|p| p[axis]);
            let (low, high) =
                (along().fold(f64::INFINITY, f64::min), along().fold(f64::NEG_INFINITY, f64::max));
            let margin = 0.03 * (high - low).max(1e-9);
            (low - margin)..(high + margin)
        });
        // The legend is beside the map: to its right, points have no place.
        let beyond = x.start..x.end + 0.25 * (x.end - x.start);
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 22))
            .margin(12)
            .build_cartesian_2d(beyond, y)?;
        let groups = groups(subject, images);
        let count = groups.len();
        for (number, (name, members)) in groups.into_iter().enumerate() {
            let color = color(number, count);
            let point = |index: &usize| {
                Circle::new((map.points[*index][0], map.points[*index][1]), 4, color.mix(0.75).filled())
            };
            chart
                .draw_series(members.iter().map(point))?
                .label(name)
                .legend(move |(x, y)| Circle::new((x + 9, y), 6, color.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(("sans-serif", (600 / count.max(1)).clamp(6, 18) as u32))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
    }
    Ok(text::lines(&svg).into_owned())
}

/// Names of the classes that images have, with the images; one group without a name's use where classes are unknown.
fn groups(subject: &Subject, images: &Images) -> Vec<(String, Vec<usize>)> {
    let Some(labels) = &images.labels else {
        return vec![("images".to_owned(), (0..images.len()).collect())];
    };
    let of_class = |class: usize| (0..labels.len()).filter(|i| labels[*i] == class).collect::<Vec<usize>>();
    let classes = (0..subject.lens.classes()).map(|class| (subject.class(class), of_class(class)));
    classes.filter(|(_, members)| !members.is_empty()).collect()
}

/// Ten colours that are easy to tell apart; with more classes, hues all around.
fn color(number: usize, count: usize) -> RGBColor {
    let colorous::Color { r, g, b } = match count <= colorous::TABLEAU10.len() {
        true => colorous::TABLEAU10[number],
        false => colorous::SINEBOW.eval_rational(number, count),
    };
    RGBColor(r, g, b)
}

fn mosaic(subject: &Subject, images: &Images, cells: &[[usize; 2]], side: usize) -> RgbImage {
    let tile = (MOSAIC / side as u32).max(TILE);
    let mut mosaic = RgbImage::from_pixel(tile * side as u32, tile * side as u32, Rgb([255; 3]));
    for (index, [row, column]) in cells.iter().enumerate() {
        // A tall image is cut off below, so that it does not reach into the next cell.
        let image = canvas::fit(&subject.photo(images, index), tile);
        let image = imageops::crop_imm(&image, 0, 0, tile, tile).to_image();
        imageops::replace(&mut mosaic, &image, (*column as u32 * tile).into(), (*row as u32 * tile).into());
    }
    mosaic
}

fn table(subject: &Subject, images: &Images, map: &Points, cells: &[[usize; 2]]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    const MEMORY: &str = "memory takes it";
    csv.write_record(["image", "class", "x", "y", "row", "column"]).expect(MEMORY);
    for (index, (point, cell)) in map.points.iter().zip(cells).enumerate() {
        let class = images.labels.as_ref().map(|labels| subject.class(labels[index])).unwrap_or_default();
        let [x, y, row, column] =
            [point[0].to_string(), point[1].to_string(), cell[0].to_string(), cell[1].to_string()];
        csv.write_record([&images.names[index], &class, &x, &y, &row, &column]).expect(MEMORY);
    }
    String::from_utf8(csv.into_inner().expect(MEMORY)).expect("only text was written")
}
