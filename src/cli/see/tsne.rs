//! `striate see map`: t-SNE of images by their features.

use super::flags::InspectedNetwork;
use super::view::{View, ViewContext, ViewOutput};
use crate::cli::numbers::bounds;
use crate::cli::svg;
use image::{Rgb, RgbImage, imageops};
use plotters::prelude::*;
use std::path::Path;
use striate::Result;
use striate::interpret::{Embedding, Images, TsneConfig, drawing, snap_to_grid, tsne};

#[derive(clap::Args)]
pub struct Tsne {
    /// Roughly the number of neighbors that each image is kept close to
    #[arg(long, default_value_t = TsneConfig::default().perplexity)]
    perplexity: f64,
    /// Steps of gradient descent
    #[arg(long, default_value_t = TsneConfig::default().steps, value_name = "COUNT")]
    steps: usize,
    /// Principal components to reduce the features to first
    #[arg(long, default_value_t = TsneConfig::default().components, value_name = "COUNT")]
    components: usize,
    /// Seed of the initial positions
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Minimum side of an image in the mosaic, and width of the whole mosaic, in pixels.
const TILE: u32 = 32;
const MOSAIC: u32 = 1600;
/// Dark, so that images stand out, and do so on a light page and on a dark one.
const BACKGROUND: Rgb<u8> = Rgb([29, 29, 32]);

impl View for Tsne {
    const NAME: &str = "map";
    const ON_PAGE: &str =
        "The embedding as a map to zoom and to choose images from, with the files' colors of classes.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (network, images) = (context.network, context.images);
        let config = TsneConfig {
            perplexity: self.perplexity,
            steps: self.steps,
            components: self.components,
            seed: self.seed,
            ..Default::default()
        };
        context.progress.begin("t-SNE", 2);
        let features = network.lens.features(&images.values)?;
        context.progress.step();
        let embedding = tsne(&features, &config)?;
        // Half of the cells stay free, so that most images land near their position.
        let side = ((2 * images.len()) as f64).sqrt().ceil() as usize;
        let cells = snap_to_grid(&embedding.points, side)?;

        let title = format!("t-SNE of images by the features of {}", network.lens.model());
        let svg = scatter(&context.out.path().join("map.svg"), &title, network, images, &embedding)?;
        let mut writer = context.writer(Self::NAME, title);
        writer.file("", "svg", "the embedding, a point per image, colored by class", svg.as_bytes())?;
        let drawn = mosaic(network, images, &cells, side);
        let about = "the embedding drawn with the images, each in the nearest free cell";
        writer.png("images", about, &drawn)?;
        let table = table(network, images, &embedding, &cells);
        writer.file("", "csv", "position and cell of each image", table.as_bytes())?;
        let manifest = writer.finish(caption(images, &config, &embedding))?;
        Ok(ViewOutput { points: embedding.points, ..ViewOutput::new(manifest, Vec::new()) })
    }
}

fn caption(images: &Images, config: &TsneConfig, embedding: &Embedding) -> String {
    format!(
        "{} images placed by t-SNE of their features, the input of the last linear layer, so that images which look alike to \
         the network are close together. How far groups are apart, and how large they are, means little. Barnes-Hut theta {}; \
         {} principal components with {:.1} % of the variance; perplexity {}, {} steps, seed {}; Kullback-Leibler divergence \
         {:.3}.",
        images.len(),
        config.theta,
        embedding.components,
        100.0 * embedding.variance,
        config.perplexity,
        config.steps,
        config.seed,
        embedding.divergence
    )
}

/// A scatter plot colored by class, with a legend.
fn scatter(
    path: &Path,
    title: &str,
    network: &InspectedNetwork,
    images: &Images,
    embedding: &Embedding,
) -> Result<String> {
    svg::draw(path, (1000, 800), |root| {
        let [x, y] = [0, 1].map(|axis| {
            let (low, high) = bounds(embedding.points.iter().map(|p| p[axis]));
            let margin = 0.03 * (high - low).max(1e-9);
            (low - margin)..(high + margin)
        });
        // The extra width to the right of the points is for the legend.
        let beyond = x.start..x.end + 0.25 * (x.end - x.start);
        let mut chart = ChartBuilder::on(root)
            .caption(title, ("sans-serif", 22))
            .margin(12)
            .build_cartesian_2d(beyond, y)?;
        let groups = groups(network, images);
        let count = groups.len();
        for (index, (name, members)) in groups.into_iter().enumerate() {
            let color = svg::class_color(index, count);
            let point = |index: &usize| {
                Circle::new(
                    (embedding.points[*index][0], embedding.points[*index][1]),
                    4,
                    color.mix(0.75).filled(),
                )
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
        Ok(())
    })
}

/// Images by class, for the classes that occur; a single group if classes are unknown.
fn groups(network: &InspectedNetwork, images: &Images) -> Vec<(String, Vec<usize>)> {
    let Some(labels) = &images.labels else {
        return vec![("images".to_owned(), (0..images.len()).collect())];
    };
    let of_class = |class: usize| (0..labels.len()).filter(|i| labels[*i] == class).collect::<Vec<usize>>();
    let classes = (0..network.lens.classes()).map(|class| (network.class(class), of_class(class)));
    classes.filter(|(_, members)| !members.is_empty()).collect()
}

fn mosaic(network: &InspectedNetwork, images: &Images, cells: &[[usize; 2]], side: usize) -> RgbImage {
    let tile = (MOSAIC / side as u32).max(TILE);
    let mut mosaic = RgbImage::from_pixel(tile * side as u32, tile * side as u32, BACKGROUND);
    for (index, [row, column]) in cells.iter().enumerate() {
        // Tall images are cut off at the bottom to stay inside their cells.
        let image = drawing::scale_to_width(&network.photo(images, index), tile);
        let image = imageops::crop_imm(&image, 0, 0, tile, tile).to_image();
        imageops::replace(&mut mosaic, &image, (*column as u32 * tile).into(), (*row as u32 * tile).into());
    }
    mosaic
}

fn table(network: &InspectedNetwork, images: &Images, embedding: &Embedding, cells: &[[usize; 2]]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    const MEMORY: &str = "writing to memory cannot fail";
    csv.write_record(["image", "class", "x", "y", "row", "column"]).expect(MEMORY);
    for (index, (point, cell)) in embedding.points.iter().zip(cells).enumerate() {
        let class = images.labels.as_ref().map(|labels| network.class(labels[index])).unwrap_or_default();
        let [x, y, row, column] =
            [point[0].to_string(), point[1].to_string(), cell[0].to_string(), cell[1].to_string()];
        csv.write_record([&images.names[index], &class, &x, &y, &row, &column]).expect(MEMORY);
    }
    String::from_utf8(csv.into_inner().expect(MEMORY)).expect("only text was written")
}
