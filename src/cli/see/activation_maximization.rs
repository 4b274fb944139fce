//! `striate see ascent`: images that excite units, by activation maximization.

use super::channels::{ChannelFlag, channels_of};
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use crate::cli::json::value;
use serde_json::json;
use striate::Result;
use striate::data::Normalization;
use striate::interpret::drawing;
use striate::interpret::{self, Lens, MaximizedImages};

#[derive(clap::Args)]
pub struct ActivationMaximization {
    /// Layers, one sheet for each; `logits` stands for the classes
    #[arg(long, required = true, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Channels or classes, such as 3 of all layers or layer1:3 of one [default: the first --most]
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',')]
    channel: Vec<ChannelFlag>,
    /// Make at most COUNT images per layer if no channels are given
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    most: usize,
    /// Number of scales, coarse to fine
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().scales)]
    scales: usize,
    /// Steps per scale
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().steps)]
    steps: usize,
    /// Step size, on a pixel scale of 0 to 1
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().rate)]
    rate: f32,
    /// Shift the image by up to this many pixels before each step
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().jitter)]
    jitter: usize,
    /// Sigma, in pixels, of the Gaussian blur after each step
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().blur)]
    blur: f32,
    /// Fraction by which each step pulls the image towards gray
    #[arg(long, default_value_t = interpret::ActivationMaximization::default().decay)]
    decay: f32,
    /// Seed of the noise and the jitter
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Approximate side to which images are scaled up, in pixels.
const SIDE: usize = 160;

impl View for ActivationMaximization {
    const NAME: &str = "ascent";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let lens = &context.network.lens;
        let Self { scales, steps, rate, jitter, blur, decay, seed, .. } = *self;
        let climb = interpret::ActivationMaximization { scales, steps, rate, jitter, blur, decay, seed };
        context.progress.begin("gradient ascent", self.layer.len() * scales * steps);
        let mut made = Vec::new();
        for layer in &self.layer {
            let channels = channels_of(lens, layer, &self.channel, self.most)?;
            let images = climb.run_with_progress(lens, layer, &channels, &mut || context.progress.step())?;
            made.push((layer, images, channels));
        }
        let mut writer = context.writer(Self::NAME, format!("Images that excite units of {}", lens.model()));
        let mut figures = Vec::new();
        for (layer, made, channels) in &made {
            let own = draw(context, layer, channels, made);
            let title = format!("{} {layer}", lens.model());
            let drawn = figure_grid(&title, &own, SIDE, drawing::square_columns(own.len()));
            writer.png(layer, format!("{} channels of {layer}", channels.len()), &drawn)?;
            writer.npy(layer, format!("{layer}: the images, normalized"), &made.images)?;
            let unit = |i: usize| json!({ "channel": channels[i], "before": value(&made.before[i]), "after": value(&made.after[i]) });
            let units: Vec<serde_json::Value> = (0..channels.len()).map(unit).collect();
            writer.json(
                layer,
                format!("{layer}: mean activation of each channel before and after"),
                &units,
            )?;
            figures.extend(own);
        }
        let manifest = writer.finish(format!(
            "Each image started as noise and was changed in small steps to increase the mean activation of one channel, or the logit of one class (gradient ascent). The number above it is the activation reached. Where a ReLU holds a channel at 0, the input of the ReLU is increased instead. {scales} scales from coarse to fine, {steps} steps each, step size {rate}; at each step shifted by up to {jitter} pixels, blurred by {blur} pixels and pulled towards gray by {decay}; seed {seed}. Contrast is stretched.",
        ))?;
        Ok(ViewOutput::new(manifest, figures))
    }
}

/// One figure per channel.
fn draw(context: &ViewContext<'_>, layer: &str, channels: &[usize], made: &MaximizedImages) -> Vec<Figure> {
    let lens = &context.network.lens;
    let [channels_in, height, width] = lens.image_shape();
    let Normalization { mean, std } = &lens.preprocessing().normalization;
    let figure = |(index, image): (usize, &[f32])| {
        // Stretches the contrast: images stay faint where decay is as strong as the gradient.
        let from_gray = |(i, value): (usize, &f32)| {
            let channel = i / (height * width);
            value * std[channel] + mean[channel] - 0.5
        };
        let from_gray: Vec<f32> = image.iter().enumerate().map(from_gray).collect();
        let photo = drawing::signed_image(&from_gray, channels_in, width);
        let unit = match layer == Lens::LOGITS {
            true => context.network.class(channels[index]),
            false => channels[index].to_string(),
        };
        let subject = Subject::Unit(layer.to_owned(), channels[index]);
        Figure::new(subject, "Synthetic image", photo, format!("{unit}: {:.3}", made.after[index]))
    };
    made.images.as_f32().chunks_exact(lens.image_len()).enumerate().map(figure).collect()
}
