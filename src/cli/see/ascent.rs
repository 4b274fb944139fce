//! `striate see ascent`: images that units respond to.

use super::view::{Of, Plate, Scene, Shown, View, sheet};
use crate::cli::json::value;
use serde_json::json;
use striate::Result;
use striate::data::Normalization;
use striate::see::canvas;
use striate::see::{Ascended, Ascent as Climb, Lens};

#[derive(clap::Args)]
pub struct Ascent {
    /// Layers; `logits` are the classes. Each becomes a sheet of its own
    #[arg(long, required = true, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Numbers of channels, or of classes [default: the first ones, as many as --most]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    channel: Vec<usize>,
    /// Make at most so many images of a layer, where no channels are given
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    most: usize,
    /// Scales, coarse to fine
    #[arg(long, default_value_t = Climb::default().scales)]
    scales: usize,
    /// Steps on each scale
    #[arg(long, default_value_t = Climb::default().steps)]
    steps: usize,
    /// How far a pixel moves in a step, on a scale of 0 to 1
    #[arg(long, default_value_t = Climb::default().rate)]
    rate: f32,
    /// Pixels that the image is moved by at most before each step
    #[arg(long, default_value_t = Climb::default().jitter)]
    jitter: usize,
    /// Deviation in pixels of the Gaussian that smooths the image after each step
    #[arg(long, default_value_t = Climb::default().blur)]
    blur: f32,
    /// Share by which a step pulls the image to grey
    #[arg(long, default_value_t = Climb::default().decay)]
    decay: f32,
    /// Of the noise and the jitter
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Pixels that an image is about enlarged to.
const SIDE: usize = 160;

impl View for Ascent {
    const NAME: &str = "ascent";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let lens = &scene.subject.lens;
        let Self { scales, steps, rate, jitter, blur, decay, seed, .. } = *self;
        let climb = Climb { scales, steps, rate, jitter, blur, decay, seed };
        scene.progress.begin("gradient ascent", self.layer.len() * scales * steps);
        let mut made = Vec::new();
        for layer in &self.layer {
            let channels: Vec<usize> = match self.channel.is_empty() {
                true => (0..lens.layer(layer)?.channels().min(self.most)).collect(),
                false => self.channel.clone(),
            };
            let images = climb.run_watched(lens, layer, &channels, &mut || scene.progress.step())?;
            made.push((layer, images, channels));
        }
        let mut album = scene.album(Self::NAME, format!("What units of {} respond to", lens.model()));
        let mut plates = Vec::new();
        for (layer, made, channels) in &made {
            let of_this = draw(scene, layer, channels, made);
            let title = format!("{} {layer}", lens.model());
            let drawn = sheet(&title, &of_this, SIDE, canvas::square(of_this.len()));
            album.png(
                &format!("ascent-{layer}.png"),
                format!("{} channels of {layer}", channels.len()),
                &drawn,
            )?;
            album.npy(
                &format!("ascent-{layer}.npy"),
                format!("{layer}: the images, normalised"),
                &made.images,
            )?;
            let unit = |i: usize| json!({ "channel": channels[i], "before": value(&made.before[i]), "after": value(&made.after[i]) });
            let units: Vec<serde_json::Value> = (0..channels.len()).map(unit).collect();
            album.json(
                &format!("ascent-{layer}.json"),
                format!("{layer}: mean activations before and after"),
                &units,
            )?;
            plates.extend(of_this);
        }
        let record = album.finish(format!(
            "Each image was noise and went up the gradient of the mean activation of one channel, or of a class's logit; the number over it is what that came to. (Where the channel gives nothing, what its ReLU takes is climbed.) {scales} scales from coarse to fine with {steps} steps each of {rate}; moved by up to {jitter} pixels, smoothed by {blur} pixels and pulled to grey by {decay} at each step; seed {seed}. Drawn with full contrast.",
        ))?;
        Ok(Shown { record, plates, drawing: None })
    }
}

/// The images made for channels.
fn draw(scene: &Scene<'_>, layer: &str, channels: &[usize], made: &Ascended) -> Vec<Plate> {
    let lens = &scene.subject.lens;
    let [channels_in, height, width] = lens.image_shape();
    let Normalization { mean, std } = &lens.preprocessing().normalization;
    let plate = |(number, image): (usize, &[f32])| {
        // They are faint where the pull to grey is as strong as the gradient.
        let from_grey = |(i, number): (usize, &f32)| {
            let channel = i / (height * width);
            number * std[channel] + mean[channel] - 0.5
        };
        let from_grey: Vec<f32> = image.iter().enumerate().map(from_grey).collect();
        let photo = canvas::signed_photo(&from_grey, channels_in, width);
        let unit = match layer == Lens::LOGITS {
            true => scene.subject.class(channels[number]),
            false => channels[number].to_string(),
        };
        let of = Of::Unit(layer.to_owned(), channels[number]);
        Plate::new(of, "Made to excite it", photo, format!("{unit}: {:.3}", made.after[number]))
    };
    made.images.as_f32().chunks_exact(lens.image_len()).enumerate().map(plate).collect()
}
