//! `striate see`: what a network learned, as images and the numbers behind them. One file a view; the page shows them all.

mod activations;
mod ascent;
mod fields;
mod filters;
mod flags;
mod layers;
mod map;
mod neighbours;
mod occlusion;
mod page;
mod peaks;
mod progress;
mod saliency;
mod view;

use super::flags::as_flag;
use striate::Result;
use view::{Alone, WithImages};

/// Draws what a network learned: a page of all views, or one of them.
///
/// Each view writes its files and a record of them, VIEW.json. An image that cannot be read is named and passed over, and the
/// exit code is then 3.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    page: page::Args,
    #[command(subcommand)]
    view: Option<View>,
}

#[derive(clap::Subcommand)]
enum View {
    /// List the names of the layers, which other views take, and the shapes of what they give.
    Layers(layers::Args),
    /// Find the images nearest to each one, by the network's features and by pixels.
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    Neighbours(WithImages<neighbours::Neighbours>),
    /// Lay images out on a plane so that those the network finds alike lie together (t-SNE).
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    Map(WithImages<map::Map>),
    /// Find the images, and the parts of them, that excite the channels of a layer the most.
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    Peaks(WithImages<peaks::Peaks>),
    /// Draw what units can see of an image, and how much they depend on it: receptive fields.
    #[command(mut_arg("images", |arg| arg.default_value("64")))]
    Fields(WithImages<fields::Fields>),
    /// Draw the filters of convolutions: as they are where they look at images, else channel by channel.
    Filters(Alone<filters::Filters>),
    /// Draw what layers give for images, channel by channel, and count dead and saturated channels.
    Activations(WithImages<activations::Activations>),
    /// Draw where covering a part of an image makes a class unlikely.
    Occlusion(WithImages<occlusion::Occlusion>),
    /// Draw which pixels speak for a class: gradients, SmoothGrad, guided backpropagation, integrated gradients and Grad-CAM.
    Saliency(WithImages<saliency::Saliency>),
    /// Draw images that the channels of a layer, or classes, respond to, made from noise by gradient ascent.
    Ascent(Alone<ascent::Ascent>),
}

/// Shows the page or a view; the result is the exit code.
pub fn run(args: Args) -> Result<i32> {
    match args.view {
        Some(view) => view.run(),
        None => args.page.run(),
    }
}

impl View {
    fn run(self) -> Result<i32> {
        match self {
            Self::Layers(args) => layers::run(&args).map(|()| 0).map_err(as_flag::<layers::Args>),
            Self::Neighbours(args) => args.run(),
            Self::Map(args) => args.run(),
            Self::Peaks(args) => args.run(),
            Self::Fields(args) => args.run(),
            Self::Filters(args) => args.run(),
            Self::Activations(args) => args.run(),
            Self::Occlusion(args) => args.run(),
            Self::Saliency(args) => args.run(),
            Self::Ascent(args) => args.run(),
        }
    }
}
