//! `striate see ascent`: pictures that units respond to.

use super::flags::{LensFlags, OutFlags};
use striate::Result;
use striate::see::canvas::{self, Tile};
use striate::see::{Album, Ascent, Lens, Record};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    /// Layers; `logits` are the classes. Each becomes a sheet of its own
    #[arg(long, required = true, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Numbers of channels, or of classes [default: the first 16]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    channel: Vec<usize>,
    /// Scales, coarse to fine
    #[arg(long, default_value_t = Ascent::default().scales)]
    scales: usize,
    /// Steps on each scale
    #[arg(long, default_value_t = Ascent::default().steps)]
    steps: usize,
    /// How far a pixel moves in a step, on a scale of 0 to 1
    #[arg(long, default_value_t = Ascent::default().rate)]
    rate: f32,
    /// Pixels that the picture is moved by at most before each step
    #[arg(long, default_value_t = Ascent::default().jitter)]
    jitter: usize,
    /// Deviation in pixels of the Gaussian that smooths the picture after each step
    #[arg(long, default_value_t = Ascent::default().blur)]
    blur: f32,
    /// Share by which a step pulls the picture to grey
    #[arg(long, default_value_t = Ascent::default().decay)]
    decay: f32,
    /// Of the noise and the jitter
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    out: OutFlags,
}

/// Pixels that a picture is about enlarged to.
const SIDE: usize = 160;
/// Pictures of a layer, if nothing else is asked for.
const FIRST: usize = 16;

pub fn run(args: &Args) -> Result<Record> {
    let subject = args.lens.open()?;
    let lens = &subject.lens;
    let Args { scales, steps, rate, jitter, blur, decay, seed, .. } = *args;
    let ascent = Ascent { scales, steps, rate, jitter, blur, decay, seed };
    let mut album =
        Album::new(&args.out.out, "ascent", format!("What units of {} respond to", lens.model()))?;
    for layer in &args.layer {
        let channels: Vec<usize> = match args.channel.is_empty() {
            true => (0..lens.layer(layer)?.channels().min(FIRST)).collect(),
            false => args.channel.clone(),
        };
        let made = ascent.run(lens, layer, &channels)?;
        let [_, _, width] = lens.image_shape();
        let tile = |(number, image): (usize, &[f32])| {
            let photo = canvas::photo(image, &lens.preprocessing().normalization, width);
            let unit = match layer == Lens::LOGITS {
                true => subject.class(channels[number]),
                false => channels[number].to_string(),
            };
            let label = format!("{unit}: {:.3}", made.after[number]);
            Tile::new(canvas::enlarge(&photo, canvas::times_to(width, SIDE)), label)
        };
        let tiles: Vec<Tile> =
            made.images.as_f32().chunks_exact(lens.image_len()).enumerate().map(tile).collect();
        let sheet = canvas::grid(&format!("{} {layer}", lens.model()), &tiles, canvas::square(tiles.len()));
        album.png(
            &format!("ascent-{layer}.png"),
            format!("{} channels of {layer}", channels.len()),
            &sheet,
        )?;
        album.npy(
            &format!("ascent-{layer}.npy"),
            format!("{layer}: the pictures, normalised"),
            &made.images,
        )?;
        let units: Vec<serde_json::Value> = (0..channels.len())
            .map(|i| serde_json::json!({ "channel": channels[i], "before": made.before[i], "after": made.after[i] }))
            .collect();
        album.json(
            &format!("ascent-{layer}.json"),
            format!("{layer}: mean activations before and after"),
            &units,
        )?;
    }
    album.finish(format!(
        "Each picture was noise and went up the gradient of the mean activation of one channel, or of a class's logit; the number over it is what that came to. {scales} scales from coarse to fine with {steps} steps each of {rate}; moved by up to {jitter} pixels, smoothed by {blur} pixels and pulled to grey by {decay} at each step; seed {seed}.",
    ))
}
