//! `striate see relevance`: where a class's logit comes from, in all and through single channels.

use super::flags::label;
use super::saliency::{classes, last_with_pixels};
use super::top_activations::FieldOfView;
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_rows};
use image::RgbImage;
use serde::Serialize;
use striate::graph::RelevanceRules;
use striate::interpret::drawing::{self, ColorScale};
use striate::interpret::{self, Images, Lens, TopActivations, channel_relevance, top_activations};
use striate::{Error, Result, Tensor};

#[derive(clap::Args)]
pub struct Relevance {
    /// Index of the class [default: the most likely one of each image]
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
    /// Layer whose channels are drawn [default: the last one with height and width]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Explain the first COUNT images; all serve as examples of what a channel responds to
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    rows: usize,
    /// Channels per image, the most relevant ones
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    most: usize,
    /// Top activations per channel
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    top: usize,
    /// By how much contributions of the sign of a convolution's output are favored
    #[arg(long, default_value_t = RelevanceRules::default().gamma)]
    gamma: f32,
    /// Added to the magnitude of divisors
    #[arg(long, default_value_t = RelevanceRules::default().epsilon)]
    epsilon: f32,
}

/// Approximate width of images, maps and patches, in pixels.
const SIDE: u32 = 144;
/// What the values of maps are.
const PART: &str = "part of the score (logit)";

/// The relevance of an image's class.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(rename = "picture")]
    image: &'a str,
    class: usize,
    logit: f32,
    /// Sum over all pixels.
    pixels: f32,
    /// Sums over the channels of the layer, the largest first.
    channels: Vec<ChannelShare>,
}

#[derive(Serialize)]
struct ChannelShare {
    channel: usize,
    relevance: f32,
}

/// What is drawn.
struct Drawn<'a> {
    layer: &'a str,
    images: &'a Images,
    explained: Vec<Explained<'a>>,
    /// Maps of all channels together, one per image.
    whole: Tensor,
    /// Maps of single channels, as many per image as are drawn.
    single: Tensor,
    tops: TopActivations,
    view: FieldOfView,
}

impl View for Relevance {
    const NAME: &str = "relevance";
    const ON_PAGE: &str = "For each image, the relevance of all pixels; then, in a row for each of the channels most relevant to it, the relevance through that channel and patches that excite it.";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (network, lens) = (context.network, &context.network.lens);
        network.check_class(self.class)?;
        for (name, count) in [("rows", self.rows), ("most", self.most)] {
            if count == 0 {
                return Err(Error::argument(name, "must be at least 1, found 0"));
            }
        }
        let layer = self.layer.clone().map_or_else(|| last_with_pixels(lens), Ok)?;
        let images = context.images.select(&(0..self.rows.min(context.images.len())).collect::<Vec<usize>>());
        let classes = classes(lens, &images, self.class)?;
        let rules = RelevanceRules { gamma: self.gamma, epsilon: self.epsilon };
        let most = self.most.min(lens.layer(&layer)?.channels());

        context.progress.begin("relevance", 3);
        let found = interpret::relevance(lens, &images.values, &classes, &[Lens::IMAGES, &layer], rules)?;
        let [whole, at_layer] = &found.layers[..] else { unreachable!("two layers were asked for") };
        let explained = explain(&images, &classes, &found.logits, whole, at_layer);
        context.progress.step();
        let pairs = explained.iter().enumerate();
        let pairs: Vec<(usize, usize)> = pairs
            .flat_map(|(index, image)| image.channels[..most].iter().map(move |share| (index, share.channel)))
            .collect();
        let single = channel_relevance(lens, &images.values, &layer, at_layer, &pairs, rules)?;
        context.progress.step();
        let drawn = Drawn {
            layer: &layer,
            images: &images,
            explained,
            whole: whole.clone(),
            single,
            tops: top_activations(
                lens,
                &context.images.values,
                &[&layer],
                self.top.min(context.images.len()),
            )?
            .swap_remove(0),
            view: FieldOfView::of(lens, context.images, &layer)?,
        };
        context.progress.step();
        self.write(context, &drawn, at_layer, most)
    }
}

impl Relevance {
    fn write(
        &self,
        context: &ViewContext<'_>,
        drawn: &Drawn<'_>,
        at_layer: &Tensor,
        most: usize,
    ) -> Result<ViewOutput> {
        let (network, layer) = (context.network, drawn.layer);
        let mut writer = context.writer(Self::NAME, format!("Relevance in {}", network.lens.model()));
        let mut figures = Vec::new();
        for (index, image) in drawn.explained.iter().enumerate() {
            let class = network.class(image.class);
            let [photo, whole] = drawn.whole(context, index);
            let mut rows = vec![vec![photo, whole]];
            rows.extend((0..most).map(|rank| drawn.channel(context, index, rank, most)));
            let heading = format!("{class}: relevance, in all and through channels of {layer}");
            let about = format!("{}: {class}", image.image);
            writer.png(&index.to_string(), about, &figure_rows(&heading, &rows, SIDE as usize))?;
            figures.extend(rows.into_iter().flatten().skip(1));
        }
        writer.npy("pixels", "relevance of the pixels, all images", &drawn.whole)?;
        writer.npy("layer", format!("relevance of {layer}, all images"), at_layer)?;
        writer.json("found", format!("relevance of each channel of {layer}"), &drawn.explained)?;
        let caption = format!(
            "Layer-wise relevance propagation (LRP). The logit of the class is divided among the values of the layer before, by what each contributed, and so on back to the pixels. Orange supports the class, blue opposes it; each map has its own scale, and the largest 0.5 % of values may be clipped. The first row is the image and the relevance of its pixels, with their sum and the logit; the difference is what the biases contribute. Each further row is a channel of {layer}, one of the {most} that are most relevant: where in the image it found what counts for the class, the number being its part of the logit; and what it responds to, the patches with the highest activations in {} images. Rules: z^B for a convolution of the image, gamma ({}) for other convolutions, epsilon ({:e}) for everything else. Local response normalization passes relevance on unchanged.",
            context.images.len(),
            self.gamma,
            self.epsilon,
        );
        Ok(ViewOutput::new(writer.finish(caption)?, figures))
    }
}

/// Adds up the relevance of each image's pixels and channels.
fn explain<'a>(
    images: &'a Images,
    classes: &[usize],
    logits: &[f32],
    whole: &Tensor,
    at_layer: &Tensor,
) -> Vec<Explained<'a>> {
    let parts = |tensor: &Tensor| tensor.len() / images.len();
    let pixels = at_layer.shape()[2..].iter().product();
    let each = whole.as_f32().chunks_exact(parts(whole)).zip(at_layer.as_f32().chunks_exact(parts(at_layer)));
    each.enumerate()
        .map(|(index, (whole, at_layer))| {
            let sums = at_layer.chunks_exact(pixels).map(|plane| plane.iter().sum());
            let mut channels: Vec<ChannelShare> =
                sums.enumerate().map(|(channel, relevance)| ChannelShare { channel, relevance }).collect();
            channels.sort_by(|a, b| b.relevance.total_cmp(&a.relevance));
            Explained {
                image: &images.names[index],
                class: classes[index],
                logit: logits[index],
                pixels: whole.iter().sum(),
                channels,
            }
        })
        .collect()
}

impl Drawn<'_> {
    /// An image, and the relevance of its pixels.
    fn whole(&self, context: &ViewContext<'_>, index: usize) -> [Figure; 2] {
        let image = &self.explained[index];
        let sum = format!("{:.1} of {:.1}", image.pixels, image.logit);
        let photo = context.network.photo(self.images, index);
        let figure = |image, label: &str| Figure::new(Subject::Image(index), "Relevance", image, label);
        let (map, scale, plane) = map(context, &self.whole, index);
        let width = map.width() as usize;
        let map = figure(map, &sum).with_scale(scale, PART).with_evidence("relevance", plane, width);
        [figure(photo, label(image.image)), map]
    }

    /// The part of the relevance that passes through a channel, and the patches that excite it most.
    fn channel(&self, context: &ViewContext<'_>, index: usize, rank: usize, most: usize) -> Vec<Figure> {
        let ChannelShare { channel, relevance } = self.explained[index].channels[rank];
        let group = format!("Relevance through channel {channel} of {}", self.layer);
        let figure = |image, label| Figure::new(Subject::Image(index), group.as_str(), image, label);
        let (part, scale, _) = map(context, &self.single, index * most + rank);
        let mut row =
            vec![figure(part, format!("channel {channel}: {relevance:.2}")).with_scale(scale, PART)];
        row.extend(self.tops.channels()[channel].iter().map(|top| {
            let photo = context.network.photo(context.images, top.image);
            let called = context.network.called(context.images, top.image);
            let side = photo.width() * drawing::upscale_factor(photo.width() as usize, SIDE as usize);
            figure(self.view.patch(&photo, top.position, side), called)
        }));
        row
    }
}

/// The relevance of pixels, summed over the color channels: drawn, with the color scale, and the values.
fn map(context: &ViewContext<'_>, maps: &Tensor, index: usize) -> (RgbImage, ColorScale, Vec<f32>) {
    let [channels, height, width] = context.network.lens.image_shape();
    let pixels = height * width;
    let own = &maps.as_f32()[index * channels * pixels..][..channels * pixels];
    let plane: Vec<f32> = (0..pixels).map(|p| own.iter().skip(p).step_by(pixels).sum()).collect();
    let scale = ColorScale::diverging(&plane);
    (scale.draw(&plane, width), scale, plane)
}
