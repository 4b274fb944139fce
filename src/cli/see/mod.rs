//! `striate see`: what a network learned, as pictures and the numbers behind them. One file a view.

mod activations;
mod ascent;
mod fields;
mod filters;
mod flags;
mod layers;
mod map;
mod neighbours;
mod occlusion;
mod peaks;
mod saliency;

use super::plan::print;
use super::predict::SKIPPED;
use striate::Result;
use striate::see::{Pictures, Record};

/// Draws what a network learned.
///
/// Each view writes its files and a record of them, VIEW.json, to --out. A picture that cannot be read is named and passed over, and
/// the exit code is then 3.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    view: View,
}

#[derive(clap::Subcommand)]
enum View {
    /// List the names of the layers, which other views take, and the shapes of what they give.
    Layers(layers::Args),
    /// Find the pictures nearest to each one, by the network's features and by pixels.
    Neighbours(neighbours::Args),
    /// Lay pictures out on a plane so that those the network finds alike lie together (t-SNE).
    Map(map::Args),
    /// Find the pictures, and the parts of them, that excite the channels of a layer the most.
    Peaks(peaks::Args),
    /// Draw what units can see of a picture, and how much they depend on it: receptive fields.
    Fields(fields::Args),
    /// Draw the filters of convolutions: in colour where they look at pictures, else channel by channel.
    Filters(filters::Args),
    /// Draw what layers give for pictures, channel by channel, and count dead and saturated channels.
    Activations(activations::Args),
    /// Draw where covering a part of a picture makes a class unlikely.
    Occlusion(occlusion::Args),
    /// Draw which pixels speak for a class: gradients, SmoothGrad, guided backpropagation, integrated gradients and Grad-CAM.
    Saliency(saliency::Args),
    /// Draw pictures that the channels of a layer, or classes, respond to, made from noise by gradient ascent.
    Ascent(ascent::Args),
}

pub fn run(args: Args) -> Result<i32> {
    let (record, pictures) = match args.view {
        View::Layers(args) => return layers::run(&args).map(|()| 0),
        View::Neighbours(args) => neighbours::run(&args)?,
        View::Map(args) => map::run(&args)?,
        View::Peaks(args) => peaks::run(&args)?,
        View::Fields(args) => fields::run(&args)?,
        View::Filters(args) => (filters::run(&args)?, Pictures::default()),
        View::Activations(args) => activations::run(&args)?,
        View::Occlusion(args) => occlusion::run(&args)?,
        View::Saliency(args) => saliency::run(&args)?,
        View::Ascent(args) => (ascent::run(&args)?, Pictures::default()),
    };
    print(&text(&record))?;
    Ok(if pictures.skipped.is_empty() { 0 } else { SKIPPED })
}

fn text(record: &Record) -> String {
    let files: String =
        record.files.iter().map(|file| format!("  {}  {}\n", file.name, file.about)).collect();
    format!("{}\n\n{}\n\n{files}", record.title, record.caption)
}
