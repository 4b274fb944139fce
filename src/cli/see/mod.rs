//! `striate see`: shows what a network learned, as figures with their data. Each view has a file; the page shows all of them.

mod activation_maximization;
mod activations;
mod channels;
mod filters;
mod flags;
mod layers;
mod nearest_neighbors;
mod occlusion;
mod page;
mod progress;
mod receptive_fields;
mod relevance;
mod saliency;
mod top_activations;
mod tsne;
mod units;
mod view;

pub use filters::filter_sheet;

use super::flags::as_flag;
use striate::Result;
use view::{WithImages, WithoutImages};

/// Shows what a network learned: all views on one page, or one of them.
///
/// Each view writes its files and a manifest, VIEW.json. Images that cannot be read are reported and skipped; the exit code is
/// then 3.
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
    /// List the layers, by the names that other views take, with the shapes of their outputs.
    Layers(layers::Args),
    /// Find the nearest neighbors of each image, by the network's features and by pixels.
    #[command(name = "neighbours", visible_alias = "neighbors")]
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    NearestNeighbors(WithImages<nearest_neighbors::NearestNeighbors>),
    /// Place images in the plane so that similar ones are close together, by t-SNE of their features.
    #[command(name = "map", visible_alias = "tsne")]
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    Tsne(WithImages<tsne::Tsne>),
    /// Find the images, and the patches in them, that excite the channels of a layer most.
    #[command(name = "peaks", visible_alias = "top-activations")]
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    TopActivations(WithImages<top_activations::TopActivations>),
    /// Find the channels that respond to an image as they rarely do to others, and what they respond to.
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    Units(WithImages<units::Units>),
    /// Draw receptive fields: the pixels that units can depend on, and how much they do.
    #[command(name = "fields", visible_alias = "receptive-fields")]
    #[command(mut_arg("images", |arg| arg.default_value("64")))]
    ReceptiveFields(WithImages<receptive_fields::ReceptiveFields>),
    /// Draw the filters of convolutions: in color where their input is the image, otherwise by channel.
    Filters(WithoutImages<filters::Filters>),
    /// Draw the activations of layers, channel by channel, and count dead and saturated channels.
    Activations(WithImages<activations::Activations>),
    /// Draw where covering part of an image lowers the probability of a class.
    Occlusion(WithImages<occlusion::Occlusion>),
    /// Draw which pixels matter for a class: gradients, SmoothGrad, guided backpropagation, integrated gradients, Grad-CAM.
    Saliency(WithImages<saliency::Saliency>),
    /// Divide the score of a class among the pixels, in all and by channel: layer-wise relevance propagation.
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    Relevance(WithImages<relevance::Relevance>),
    /// Make images that excite the channels of a layer, or classes, by gradient ascent.
    #[command(mut_arg("images", |arg| arg.default_value("1000")))]
    #[command(name = "ascent", visible_alias = "activation-maximization")]
    ActivationMaximization(WithImages<activation_maximization::ActivationMaximization>),
}

/// Runs a view, or all of them for the page; returns the exit code.
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
            Self::NearestNeighbors(args) => args.run(),
            Self::Tsne(args) => args.run(),
            Self::TopActivations(args) => args.run(),
            Self::Units(args) => args.run(),
            Self::ReceptiveFields(args) => args.run(),
            Self::Filters(args) => args.run(),
            Self::Activations(args) => args.run(),
            Self::Occlusion(args) => args.run(),
            Self::Saliency(args) => args.run(),
            Self::Relevance(args) => args.run(),
            Self::ActivationMaximization(args) => args.run(),
        }
    }
}
