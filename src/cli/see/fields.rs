//! `striate see fields`: what units can see of an image, and what they do see.

use super::peaks::framed;
use super::view::{Of, Plate, Scene, Shown, View, sheet};
use image::Rgb;
use serde::Serialize;
use striate::Result;
use striate::graph::Axis;
use striate::see::canvas::Scale;
use striate::see::{EffectiveField, Images, effective_field};

#[derive(clap::Args)]
pub struct Fields {
    /// Layers to look at
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    layer: Vec<String>,
    /// The channel whose unit is taken [default: all of them together]
    #[arg(long, value_name = "NUMBER")]
    channel: Option<usize>,
}

/// Pixels across that a field is drawn with.
const SIDE: u32 = 224;
const FRAME: Rgb<u8> = Rgb([230, 0, 120]);

/// The numbers of a layer.
#[derive(Serialize)]
struct Field<'a> {
    layer: &'a str,
    /// What units can see, vertically and horizontally.
    theoretical: [Axis; 2],
    /// Row and column of the unit looked at.
    unit: [usize; 2],
    /// Side of a square of as many pixels as have more than 4.55 % of the largest influence.
    effective: f64,
    #[serde(skip)]
    seen: EffectiveField,
}

impl View for Fields {
    const NAME: &str = "fields";

    fn show(&self, scene: &Scene<'_>) -> Result<Shown> {
        let (lens, images) = (&scene.subject.lens, scene.images);
        scene.progress.begin("receptive fields", self.layer.len());
        let look = |layer| {
            let seen = effective_field(lens, &images.values, layer, self.channel)?;
            let theoretical = lens.receptive_field(layer)?;
            scene.progress.step();
            Ok(Field { layer, theoretical, unit: seen.place, effective: seen.size(), seen })
        };
        let fields =
            self.layer.iter().map(|layer| look(layer.as_str())).collect::<Result<Vec<Field<'_>>>>()?;

        let mut album = scene.album(Self::NAME, format!("What units of {} see", lens.model()));
        let plates = draw(scene, &fields);
        let about = "by layer, what the unit in the middle can see of the first image, and how much it depends on each pixel";
        // Two layers in a row, where there are many.
        let columns = if fields.len() > 3 { 4 } else { 2 };
        let heading = "What a unit can see (frame), and how much it does";
        album.png("fields.png", about, &sheet(heading, &plates, SIDE as usize, columns))?;
        for field in &fields {
            let about = format!("how much {} depends on each pixel, [height, width]", field.layer);
            album.npy(&format!("fields-{}.npy", field.layer), about, &field.seen.magnitude)?;
        }
        album.json(
            "fields-sizes.json",
            "receptive fields of the layers, by structure and in effect",
            &fields,
        )?;
        Ok(Shown { record: album.finish(self.caption(images, &fields))?, plates, drawing: None })
    }
}

impl Fields {
    fn caption(&self, images: &Images, fields: &[Field<'_>]) -> String {
        let which =
            self.channel.map_or("all channels together".to_owned(), |channel| format!("channel {channel}"));
        let mut text = format!(
            "Left, the pixels that the unit in the middle of a layer can depend on (its theoretical receptive field), framed. Right, \
             how much it does: the magnitude of the gradient of {which} with respect to each pixel, summed over colours, mean \
             of {} images (Luo et al. 2016), as a share of the largest, on viridis from dark, 0, to bright, 1; by its square root, so \
             that small ones are seen.",
            images.len()
        );
        for Field { layer, theoretical: [vertical, horizontal], effective, .. } in fields {
            text.push_str(&format!(
                " {layer}: {} x {} pixels by structure, and {effective:.1} x {effective:.1} with more than 4.55 % of the largest.",
                vertical.size, horizontal.size
            ));
        }
        text
    }
}

/// By layer, two plates.
fn draw(scene: &Scene<'_>, fields: &[Field<'_>]) -> Vec<Plate> {
    let photo = scene.subject.photo(scene.images, 0);
    let plates = fields.iter().flat_map(|field| {
        let theoretical = field.seen.theoretical.clone();
        let magnitude = field.seen.magnitude.as_f32();
        let largest = magnitude.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
        let shares: Vec<f32> = magnitude.iter().map(|m| (m / largest).sqrt()).collect();
        let heat = Scale::range(0.0, 1.0).draw(&shares, field.seen.magnitude.shape()[1]);
        let [vertical, horizontal] = field.theoretical;
        let plate = |image, label| Plate::new(Of::Network, "Receptive fields", image, label);
        [
            plate(
                framed(&photo, theoretical.clone(), SIDE, FRAME),
                format!("{} {}x{}", field.layer, vertical.size, horizontal.size),
            ),
            plate(framed(&heat, theoretical, SIDE, FRAME), format!("effective {:.1}", field.effective)),
        ]
    });
    plates.collect()
}
