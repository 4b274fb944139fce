//! `striate see activations`: what layers give for pictures.

use super::flags::{LensFlags, OutFlags, PictureFlags, label};
use striate::Result;
use striate::see::canvas::{self, Scale, Tile};
use striate::see::{Activations, Album, Lens, Pictures, Record, Unit, activations};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    lens: LensFlags,
    #[command(flatten)]
    pictures: PictureFlags,
    /// Layers to look at
    #[arg(long, required = true, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Draw at most so many channels
    #[arg(long, default_value_t = 64, value_name = "COUNT")]
    most: usize,
    #[command(flatten)]
    out: OutFlags,
}

/// Pixels that a channel is about enlarged to.
const SIDE: usize = 64;

pub fn run(args: &Args) -> Result<(Record, Pictures)> {
    let (subject, pictures) = args.lens.open_with(&args.pictures)?;
    let lens = &subject.lens;
    let layers: Vec<&str> = args.layer.iter().map(String::as_str).collect();
    let seen = activations(lens, &pictures.images, &layers)?;
    let mut album =
        Album::new(&args.out.out, "activations", format!("What layers of {} give", lens.model()))?;
    let mut caption = format!("{} pictures. ", pictures.len());
    for layer in &seen {
        let name = &layer.layer;
        for picture in 0..pictures.len() {
            let about = format!("{name} on {}", pictures.names[picture]);
            let drawn = draw(lens, layer, &pictures, picture, args.most);
            album.png(&format!("activations-{name}-{picture}.png"), about, &drawn)?;
        }
        album.npy(
            &format!("activations-{name}.npy"),
            format!("{name}, all pictures and channels"),
            &layer.values,
        )?;
        album.json(
            &format!("activations-{name}-units.json"),
            format!("each channel of {name} over all pictures"),
            &layer.units,
        )?;
        caption.push_str(&in_words(layer, args.most));
    }
    caption.push_str(
        "A channel is dead if it is nowhere above 0 over these pictures, and saturated if it is everywhere.",
    );
    Ok((album.finish(caption)?, pictures))
}

fn in_words(layer: &Activations, most: usize) -> String {
    let (name, channels) = (&layer.layer, layer.units.len());
    let [dead, saturated] = [Unit::is_dead, Unit::is_saturated]
        .map(|is: fn(&Unit) -> bool| layer.units.iter().filter(|unit| is(unit)).count());
    let shown =
        if most < channels { format!(", of which the first {most} are drawn") } else { String::new() };
    format!(
        "{name}: {channels} channels{shown}, each a tile under its number; {dead} dead (marked d), {saturated} saturated (s). One scale for a picture, beside it. "
    )
}

/// The picture, and the channels beside it.
fn draw(
    lens: &Lens,
    layer: &Activations,
    pictures: &Pictures,
    picture: usize,
    most: usize,
) -> image::RgbImage {
    let all = layer.values.shape()[0];
    let values = &layer.values.as_f32()[picture * (layer.values.len() / all)..][..layer.values.len() / all];
    let scale = Scale::of_most(values);
    let [_, _, image_width] = lens.image_shape();
    // Features without places are one pixel each.
    let width = layer.values.shape().get(3).copied().unwrap_or(1);
    let times = canvas::times_to(width, SIDE);
    let photo = canvas::photo(pictures.image(picture), &lens.preprocessing().normalization, image_width);
    let height = values.len() / layer.units.len() / width;
    let photo = canvas::resize(&photo, width as u32 * times, height as u32 * times);
    let channel = |(unit, plane): (&Unit, &[f32])| {
        let mark = match (unit.is_dead(), unit.is_saturated()) {
            (true, _) => "d",
            (_, true) => "s",
            _ => "",
        };
        Tile::new(canvas::enlarge(&scale.draw(plane, width), times), format!("{}{mark}", unit.channel))
    };
    let channels = layer.units.iter().zip(values.chunks_exact(values.len() / layer.units.len())).take(most);
    let tiles: Vec<Tile> =
        std::iter::once(Tile::new(photo, "picture")).chain(channels.map(channel)).collect();
    let title = format!("{} on {}; {}", layer.layer, label(&pictures.names[picture]), scale.describe());
    canvas::grid(&title, &tiles, canvas::square(tiles.len()))
}
