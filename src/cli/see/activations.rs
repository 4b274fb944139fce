//! `striate see activations`: what layers give for images.

use super::flags::label;
use super::view::{Of, Plate, Scene, Shown, View};
use image::RgbImage;
use striate::Result;
use striate::see::canvas::{self, Scale, Tile};
use striate::see::{Activations as Seen, Unit, activations};

#[derive(clap::Args)]
pub struct Activations {
    /// Layers to look at
    #[arg(long, required = true, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    /// Draw at most so many channels
    #[arg(long, default_value_t = 64, value_name = "COUNT")]
    most: usize,
}

/// Pixels that a channel is about enlarged to.
const SIDE: usize = 64;

impl View for Activations {
    const NAME: &str = "activations";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (lens, images) = (&scene.subject.lens, scene.images);
        scene.progress.begin("activations", self.layer.len() * images.len());
        let layers: Vec<&str> = self.layer.iter().map(String::as_str).collect();
        let seen = activations(lens, &images.values, &layers)?;
        let mut album = scene.album(Self::NAME, format!("What layers of {} give", lens.model()));
        let mut caption = format!("{} images. ", images.len());
        let mut plates = Vec::new();
        for layer in &seen {
            let name = &layer.layer;
            for image in 0..images.len() {
                let about = format!("{name} on {}", images.names[image]);
                let drawn = self.draw(scene, layer, image);
                album.png(&format!("activations-{name}-{image}.png"), about, &drawn)?;
                plates.push(Plate::new(Of::Image(image), "What layers give for it", drawn, name));
                scene.progress.step();
            }
            album.npy(
                &format!("activations-{name}.npy"),
                format!("{name}, all images and channels"),
                &layer.values,
            )?;
            album.json(
                &format!("activations-{name}-units.json"),
                format!("each channel of {name} over all images"),
                &layer.units,
            )?;
            caption.push_str(&self.in_words(layer));
        }
        caption.push_str(
            "A channel is dead if it is nowhere above 0 over these images, and saturated if it is everywhere.",
        );
        Ok(Shown { record: album.finish(caption)?, plates, drawing: None })
    }
}

impl Activations {
    fn in_words(&self, layer: &Seen) -> String {
        let (name, channels) = (&layer.layer, layer.units.len());
        let [dead, saturated] = [Unit::is_dead, Unit::is_saturated]
            .map(|is: fn(&Unit) -> bool| layer.units.iter().filter(|unit| is(unit)).count());
        let shown = match self.most < channels {
            true => format!(", of which the first {} are drawn", self.most),
            false => String::new(),
        };
        format!(
            "{name}: {channels} channels{shown}, each a tile under its number; {dead} dead (marked d), {saturated} saturated (s). One scale for an image, over it. "
        )
    }

    /// The image, and the channels beside it.
    fn draw(&self, scene: &Scene<'_>, layer: &Seen, image: usize) -> RgbImage {
        let all = layer.values.shape()[0];
        let len = layer.values.len() / all;
        let values = &layer.values.as_f32()[image * len..][..len];
        let scale = Scale::of_most(values);
        // Features without places are one pixel each.
        let width = layer.values.shape().get(3).copied().unwrap_or(1);
        let times = canvas::times_to(width, SIDE);
        let height = values.len() / layer.units.len() / width;
        let photo = scene.subject.photo(scene.images, image);
        let photo = canvas::resize(&photo, width as u32 * times, height as u32 * times);
        let channel = |(unit, plane): (&Unit, &[f32])| {
            let mark = match (unit.is_dead(), unit.is_saturated()) {
                (true, _) => "d",
                (_, true) => "s",
                _ => "",
            };
            Tile::new(canvas::enlarge(&scale.draw(plane, width), times), format!("{}{mark}", unit.channel))
        };
        let planes = values.chunks_exact(values.len() / layer.units.len());
        let channels = layer.units.iter().zip(planes).take(self.most).map(channel);
        let tiles: Vec<Tile> = std::iter::once(Tile::new(photo, "image")).chain(channels).collect();
        let name = label(&scene.images.names[image]);
        let title = format!("{} on {name}; {}", layer.layer, scale.describe());
        canvas::grid(&title, &tiles, canvas::square(tiles.len()))
    }
}
