//! `striate see units`: from an image to the channels that respond to it as they rarely do.

use super::saliency::last_with_pixels;
use super::top_activations::{FRAME, FieldOfView, framed};
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_rows};
use crate::cli::text;
use std::path::PathBuf;
use striate::interpret::{ChannelResponses, Images, TopActivation, TopActivations, UnusualResponse};
use striate::{Error, Result, Tensor};

#[derive(clap::Args)]
pub struct Units {
    /// Image files to explain, which need not be in the data [default: the first --rows images of the data]
    #[arg(long, num_args = 1.., value_name = "IMAGES", conflicts_with = "rows")]
    explain: Vec<PathBuf>,
    /// Explain the first COUNT images of the data; all of them serve as a comparison
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    rows: usize,
    /// Layers whose channels are compared [default: the last one with height and width]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    layer: Vec<String>,
    /// Channels per image and layer, the most unusual ones
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    most: usize,
    /// Top activations per channel
    #[arg(long, default_value_t = 6, value_name = "COUNT")]
    top: usize,
}

/// Approximate width of images and patches, in pixels.
const SIDE: u32 = 144;

/// How the channels of a layer respond to the images of the data.
struct Compared {
    layer: String,
    responses: ChannelResponses,
    tops: TopActivations,
    field: FieldOfView,
}

/// A channel's response to an image that is explained.
struct Found<'a> {
    compared: &'a Compared,
    /// The index of the image, if it is one of those compared with.
    own: Option<usize>,
    /// Among the channels of the layer.
    rank: usize,
    unusual: UnusualResponse,
    /// Where in the layer it is.
    position: [usize; 2],
}

impl View for Units {
    const NAME: &str = "units";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (lens, images) = (&context.network.lens, context.images);
        self.check(images)?;
        let layers = match self.layer.is_empty() {
            true => vec![last_with_pixels(lens)?],
            false => self.layer.clone(),
        };
        let explained = self.explained(context)?;
        context.progress.begin("units", 2);
        let compared = compare(context, &layers, self.top)?;
        context.progress.step();
        let ranked = self.rank(context, &explained, &compared)?;
        context.progress.step();

        let title = format!("The most unusual responses of {}", lens.model());
        let mut writer = context.writer(Self::NAME, title);
        let (mut figures, mut table) = (Vec::new(), String::new());
        for (image, found) in ranked.iter().enumerate() {
            let name = &explained.names[image];
            let titled = context.network.titled(&explained, image);
            let shown: Vec<&Found> = found.iter().filter(|found| found.rank < self.most).collect();
            table += &lines(&titled, &shown);
            let rows: Vec<Vec<Figure>> =
                shown.iter().map(|found| found.draw(context, &explained, image, self.top)).collect();
            let heading = format!("{titled}: the channels with the most unusual responses");
            let about = format!("{name}: where it excites them, and what else does");
            writer.png(&image.to_string(), about, &figure_rows(&heading, &rows, SIDE as usize))?;
            figures.extend(rows.into_iter().flatten());
        }
        let all = csv(&explained, &ranked);
        writer.file("", "csv", "all channels, by how unusual their responses are", &all)?;
        let manifest = writer.finish(self.caption(images, &compared))?;
        Ok(ViewOutput { table, ..ViewOutput::new(manifest, figures) })
    }
}

impl Units {
    fn check(&self, images: &Images) -> Result<()> {
        for (name, count) in [("rows", self.rows), ("most", self.most), ("top", self.top)] {
            if count == 0 {
                return Err(Error::argument(name, "must be at least 1, found 0"));
            }
        }
        match images.len() {
            1 => Err(Error::argument("data", "is a single image; give others, to compare responses with")),
            _ => Ok(()),
        }
    }

    /// The images to explain.
    fn explained(&self, context: &ViewContext<'_>) -> Result<Images> {
        if self.explain.is_empty() {
            let first: Vec<usize> = (0..self.rows.min(context.images.len())).collect();
            return Ok(context.images.select(&first));
        }
        // Each file was named, so none is skipped.
        let read = Images::read(&self.explain, context.network.lens.preprocessing());
        match read {
            Ok(Images { skipped, .. }) if !skipped.is_empty() => {
                Err(Error::argument("explain", &skipped[0].1))
            }
            Err(Error::Argument { problem, .. }) => Err(Error::argument("explain", problem)),
            read => read,
        }
    }

    /// For each image and layer, all channels.
    fn rank<'a>(
        &self,
        context: &ViewContext<'_>,
        explained: &Images,
        compared: &'a [Compared],
    ) -> Result<Vec<Vec<Found<'a>>>> {
        let names: Vec<&str> = compared.iter().map(|own| own.layer.as_str()).collect();
        let activations = context.network.lens.activations(&explained.values, &names)?;
        let of_image = |image: usize| {
            let own = self.explain.is_empty().then_some(image);
            let layers = compared.iter().zip(&activations);
            let ranked = layers.map(|(layer, values)| layer.rank(&of_one(values, image)?, own));
            Ok(ranked.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        };
        (0..explained.len()).map(of_image).collect()
    }

    fn caption(&self, images: &Images, compared: &[Compared]) -> String {
        let seen = compared.iter().map(|own| format!(" {} sees {}.", own.layer, own.field.describe()));
        format!(
            "The channels that respond to an image as they rarely do. The response of a channel is its largest activation at any \
             position, and a negative one counts as 0. Channels are ranked by the percentage of the other images that excite them \
             less, of {} images in all, so that a channel which is strong for everything does not lead; equal ones by their \
             standard score, (response - mean) / standard deviation over the other images. Channels that respond to fewer than six \
             images, or less than 1 % of them, come last. Each row is a channel: the patch of the image that excites it, the image \
             with that patch in a frame, its response and the percentage above it, then the patches of other images that excite it most, with their activations. What they \
             share with the first is what the channel found in the image.{}",
            images.len(),
            seen.collect::<String>()
        )
    }
}

/// Runs the images once, for both responses and top activations.
fn compare(context: &ViewContext<'_>, layers: &[String], top: usize) -> Result<Vec<Compared>> {
    let (lens, images) = (&context.network.lens, context.images);
    let new = |layer: &String| {
        let field = FieldOfView::of(lens, images, layer)?;
        // One more, because the image itself may be among them.
        let tops = TopActivations::new(top + 1);
        Ok(Compared { layer: layer.clone(), responses: ChannelResponses::default(), tops, field })
    };
    let mut compared = layers.iter().map(new).collect::<Result<Vec<Compared>>>()?;
    let names: Vec<&str> = layers.iter().map(String::as_str).collect();
    lens.extractor(&names)?.run_in_parts(&images.values, |layer, activations| {
        compared[layer].responses.add(activations)?;
        compared[layer].tops.add(activations)
    })?;
    Ok(compared)
}

/// The values of one image.
fn of_one(values: &Tensor, image: usize) -> Result<Tensor> {
    let len = values.len() / values.shape()[0];
    let shape = [&[1], &values.shape()[1..]].concat();
    Tensor::f32(shape, values.as_f32()[image * len..][..len].to_vec())
}

impl Compared {
    /// All channels, the one with the most unusual response to an image first. `activations` are the layer's for this image,
    /// and `own` is its index if it is one of those compared with.
    fn rank(&self, activations: &Tensor, own: Option<usize>) -> Result<Vec<Found<'_>>> {
        let mut peaks = TopActivations::new(1);
        peaks.add(activations)?;
        let peaks: Vec<&TopActivation> = peaks.channels().iter().map(|tops| &tops[0]).collect();
        let responses: Vec<(usize, f32)> = peaks.iter().map(|peak| peak.value).enumerate().collect();
        let found = self.responses.unusual(&responses, own).into_iter().enumerate();
        let found = found.map(|(rank, unusual)| {
            let position = peaks[unusual.channel].position;
            Found { compared: self, own, rank, unusual, position }
        });
        Ok(found.collect())
    }
}

impl Found<'_> {
    /// The patch that excites the channel, the image with that patch in a frame, and the patches of others.
    fn draw(&self, context: &ViewContext<'_>, explained: &Images, image: usize, top: usize) -> Vec<Figure> {
        let Compared { layer, tops, field, .. } = self.compared;
        let UnusualResponse { channel, response, weaker, .. } = self.unusual;
        let figure = |drawn, label| Figure::new(Subject::Image(image), layer, drawn, label);
        let photo = context.network.photo(explained, image);
        let mut row = vec![
            figure(field.patch(&photo, self.position, SIDE), format!("{layer}:{channel}")),
            figure(
                framed(&photo, field.at(self.position), SIDE, FRAME),
                format!("{response:.2}, over {:.1} %", 100.0 * weaker),
            ),
        ];
        let others = tops.channels()[channel].iter().filter(|top| Some(top.image) != self.own).take(top);
        row.extend(others.map(|top| {
            let photo = context.network.photo(context.images, top.image);
            let called = context.network.called(context.images, top.image);
            figure(field.patch(&photo, top.position, SIDE), format!("{:.2} {called}", top.value))
        }));
        row
    }
}

/// The results for an image as text.
fn lines(titled: &str, shown: &[&Found<'_>]) -> String {
    let width = shown.iter().map(|found| found.compared.layer.len()).chain(["layer".len()]).max();
    let width = width.expect("there is at least the heading");
    let mut lines = format!(
        "{}\n{:width$}  channel  row, column  response  stronger than     score\n",
        text::name(titled),
        "layer"
    );
    for Found { compared, unusual, position: [row, column], .. } in shown {
        let UnusualResponse { channel, response, weaker, score } = unusual;
        let (layer, position, percent) = (&compared.layer, format!("{row}, {column}"), 100.0 * weaker);
        lines += &format!(
            "{layer:width$}  {channel:7}  {position:>11}  {response:8.3}  {percent:5.1} % of images {score:6.2}\n"
        );
    }
    lines + "\n"
}

/// The results for all channels as a table.
fn csv(explained: &Images, ranked: &[Vec<Found<'_>>]) -> Vec<u8> {
    const MEMORY: &str = "writing to memory cannot fail";
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let header = ["image", "layer", "channel", "row", "column", "response", "stronger_than", "score"];
    csv.write_record(header).expect(MEMORY);
    for (name, found) in explained.names.iter().zip(ranked) {
        for Found { compared, unusual, position: [row, column], .. } in found {
            let UnusualResponse { channel, response, weaker, score } = unusual;
            csv.serialize((name, &compared.layer, channel, row, column, response, weaker, score))
                .expect(MEMORY);
        }
    }
    csv.into_inner().expect(MEMORY)
}
