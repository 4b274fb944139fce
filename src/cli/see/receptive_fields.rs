//! `striate see fields`: theoretical and effective receptive fields.

use super::top_activations::framed;
use super::view::{Figure, Subject, View, ViewContext, ViewOutput, figure_grid};
use image::Rgb;
use serde::Serialize;
use striate::Result;
use striate::graph::ReceptiveField;
use striate::interpret::drawing::ColorScale;
use striate::interpret::{EffectiveReceptiveField, Images, effective_receptive_field};

#[derive(clap::Args)]
pub struct ReceptiveFields {
    /// Layers to draw
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    layer: Vec<String>,
    /// Channel to measure [default: all of them together]
    #[arg(long, value_name = "NUMBER")]
    channel: Option<usize>,
}

/// Width of a figure, in pixels.
const SIDE: u32 = 224;
const FRAME: Rgb<u8> = Rgb([230, 0, 120]);

/// The receptive field of a layer.
#[derive(Serialize)]
struct Field<'a> {
    layer: &'a str,
    /// Theoretical field, vertically and horizontally.
    theoretical: [ReceptiveField; 2],
    /// Row and column of the unit.
    unit: [usize; 2],
    /// Side of a square with as many pixels as exceed 4.55 % of the largest influence.
    effective: f64,
    #[serde(skip)]
    measured: EffectiveReceptiveField,
}

impl View for ReceptiveFields {
    const NAME: &str = "fields";

    fn render(&self, context: &ViewContext<'_>) -> Result<ViewOutput> {
        let (lens, images) = (&context.network.lens, context.images);
        context.progress.begin("receptive fields", self.layer.len());
        let measure = |layer| {
            let measured = effective_receptive_field(lens, &images.values, layer, self.channel)?;
            let theoretical = lens.receptive_field(layer)?;
            context.progress.step();
            Ok(Field { layer, theoretical, unit: measured.unit, effective: measured.size(), measured })
        };
        let fields =
            self.layer.iter().map(|layer| measure(layer.as_str())).collect::<Result<Vec<Field<'_>>>>()?;

        let mut writer = context.writer(Self::NAME, format!("Receptive fields of {}", lens.model()));
        let figures = draw(context, &fields);
        let about = "for each layer, the theoretical and the effective receptive field of its center unit";
        // Two layers per row if there are many.
        let columns = if fields.len() > 3 { 4 } else { 2 };
        let heading = "Theoretical (frame) and effective receptive fields";
        writer.png("", about, &figure_grid(heading, &figures, SIDE as usize, columns))?;
        for field in &fields {
            let about = format!("{}: influence of each pixel, [height, width]", field.layer);
            writer.npy(field.layer, about, &field.measured.magnitude)?;
        }
        writer.json("sizes", "sizes of the theoretical and effective receptive fields", &fields)?;
        let finding = fields.last().map(finding);
        Ok(ViewOutput { finding, ..ViewOutput::new(writer.finish(self.caption(images, &fields))?, figures) })
    }
}

impl ReceptiveFields {
    fn caption(&self, images: &Images, fields: &[Field<'_>]) -> String {
        let which =
            self.channel.map_or("all channels together".to_owned(), |channel| format!("channel {channel}"));
        let mut text = format!(
            "Left: the pixels that the center unit of a layer can depend on, its theoretical receptive field, in a frame. \
             Right: how much it does depend on them, its effective receptive field (Luo et al. 2016), which is the magnitude \
             of the gradient of {which}, summed over colors and averaged over {} images. Dark is 0 and bright the largest \
             value, on a square-root scale that keeps small values visible.",
            images.len()
        );
        for Field { layer, theoretical: [vertical, horizontal], effective, .. } in fields {
            text.push_str(&format!(
                " {layer}: theoretical {} x {} pixels; effective {effective:.1} x {effective:.1}, counting pixels above 4.55 % of the largest value.",
                vertical.size, horizontal.size
            ));
        }
        text
    }
}

/// How much smaller the effective field of a layer is.
fn finding(field: &Field<'_>) -> String {
    let Field { layer, theoretical: [vertical, horizontal], effective, .. } = field;
    format!(
        "A unit of {layer} can depend on {} x {} pixels; those with more than 4.55 % of the largest influence would fill a \
         square of {effective:.0} x {effective:.0}.",
        vertical.size, horizontal.size
    )
}

/// Two figures per layer.
fn draw(context: &ViewContext<'_>, fields: &[Field<'_>]) -> Vec<Figure> {
    let photo = context.network.photo(context.images, 0);
    let figures = fields.iter().flat_map(|field| {
        let theoretical = field.measured.theoretical.clone();
        let magnitude = field.measured.magnitude.as_f32();
        let largest = magnitude.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
        let shares: Vec<f32> = magnitude.iter().map(|m| (m / largest).sqrt()).collect();
        let scale = ColorScale::new(0.0, 1.0);
        let heat = scale.draw(&shares, field.measured.magnitude.shape()[1]);
        let [vertical, horizontal] = field.theoretical;
        let figure = |image, label| Figure::new(Subject::Network, "Receptive fields", image, label);
        [
            figure(
                framed(&photo, theoretical.clone(), SIDE, FRAME),
                format!("{}: {}x{} pixels", field.layer, vertical.size, horizontal.size),
            ),
            figure(
                framed(&heat, theoretical, SIDE, FRAME),
                format!("effective: {0:.1} x {0:.1} pixels", field.effective),
            )
            .with_scale(scale, "square root of the influence, relative to the strongest pixel"),
        ]
    });
    figures.collect()
}
