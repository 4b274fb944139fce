//! `striate see map`: pictures laid out so that those a network finds alike lie together.

use super::flags::Subject;
use super::view::{Of, Plate, Scene, Shown, View};
use crate::cli::text;
use image::{Rgb, RgbImage, imageops};
use plotters::prelude::*;
use std::error::Error as StdError;
use striate::see::{Map as Points, MapConfig, Pictures, canvas, grid, map};
use striate::{Error, Result};

#[derive(clap::Args)]
pub struct Map {
    /// About how many neighbours each picture shall keep
    #[arg(long, default_value_t = MapConfig::default().perplexity)]
    perplexity: f64,
    /// Steps of gradient descent
    #[arg(long, default_value_t = MapConfig::default().steps, value_name = "COUNT")]
    steps: usize,
    /// Principal components that features are reduced to first
    #[arg(long, default_value_t = MapConfig::default().components, value_name = "COUNT")]
    components: usize,
    /// Where pictures start
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Pixels across that a picture of the mosaic is drawn with, and the mosaic's about.
const TILE: u32 = 32;
const MOSAIC: u32 = 1600;

impl View for Map {
    const NAME: &str = "map";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (subject, pictures) = (scene.subject, scene.pictures);
        let config = MapConfig {
            perplexity: self.perplexity,
            steps: self.steps,
            components: self.components,
            seed: self.seed,
            ..Default::default()
        };
        scene.progress.begin("map", 2);
        let features = subject.lens.features(&pictures.images)?;
        scene.progress.step();
        let map = map(&features, &config)?;
        // Half of the cells stay free, so that most pictures come near their place.
        let side = ((2 * pictures.len()) as f64).sqrt().ceil() as usize;
        let cells = grid(&map.points, side)?;

        let title = format!("A map of pictures by what {} sees in them", subject.lens.model());
        let svg = scatter(&title, subject, pictures, &map)
            .map_err(|e| Error::data(scene.out.path(), format!("map.svg cannot be drawn: {e}")))?;
        let mut album = scene.album(Self::NAME, title);
        album.file("map.svg", "the map, a point a picture, coloured by class", svg.as_bytes())?;
        let drawn = mosaic(subject, pictures, &cells, side);
        let about = "the same map with the pictures, each in the free cell nearest to its place";
        album.png("map-pictures.png", about, &drawn)?;
        let table = table(subject, pictures, &map, &cells);
        album.file("map.csv", "place and cell of each picture", table.as_bytes())?;
        let plate = Plate::new(Of::Network, "The map with the pictures", drawn, "the map with the pictures");
        let record = album.finish(caption(pictures, &config, &map))?;
        Ok(Shown { record, plates: vec![plate], drawing: Some(svg) })
    }
}

fn caption(pictures: &Pictures, config: &MapConfig, map: &Points) -> String {
    format!(
        "{} pictures by t-SNE (Barnes-Hut, theta {}) of the features that the last linear layer sees, reduced to {} principal \
         components with {:.1} % of their variance: perplexity {}, {} steps, seed {}; Kullback-Leibler divergence {:.3}. \
         Pictures close together are alike to the network; how far groups are apart, and how large they are, means little.",
        pictures.len(),
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
    pictures: &Pictures,
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
        let groups = groups(subject, pictures);
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

/// Names of the classes that pictures have, with the pictures; one group without a name's use where classes are unknown.
fn groups(subject: &Subject, pictures: &Pictures) -> Vec<(String, Vec<usize>)> {
    let Some(labels) = &pictures.labels else {
        return vec![("pictures".to_owned(), (0..pictures.len()).collect())];
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

fn mosaic(subject: &Subject, pictures: &Pictures, cells: &[[usize; 2]], side: usize) -> RgbImage {
    let tile = (MOSAIC / side as u32).max(TILE);
    let mut mosaic = RgbImage::from_pixel(tile * side as u32, tile * side as u32, Rgb([255; 3]));
    for (index, [row, column]) in cells.iter().enumerate() {
        // A tall picture is cut off below, so that it does not reach into the next cell.
        let picture = canvas::fit(&subject.photo(pictures, index), tile);
        let picture = imageops::crop_imm(&picture, 0, 0, tile, tile).to_image();
        imageops::replace(&mut mosaic, &picture, (*column as u32 * tile).into(), (*row as u32 * tile).into());
    }
    mosaic
}

fn table(subject: &Subject, pictures: &Pictures, map: &Points, cells: &[[usize; 2]]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    const MEMORY: &str = "memory takes it";
    csv.write_record(["picture", "class", "x", "y", "row", "column"]).expect(MEMORY);
    for (index, (point, cell)) in map.points.iter().zip(cells).enumerate() {
        let class = pictures.labels.as_ref().map(|labels| subject.class(labels[index])).unwrap_or_default();
        let [x, y, row, column] =
            [point[0].to_string(), point[1].to_string(), cell[0].to_string(), cell[1].to_string()];
        csv.write_record([&pictures.names[index], &class, &x, &y, &row, &column]).expect(MEMORY);
    }
    String::from_utf8(csv.into_inner().expect(MEMORY)).expect("only text was written")
}
