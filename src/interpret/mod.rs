//! Interpreting a trained network: filters, activations, saliency, receptive fields, embeddings.
//!
//! Each view is a function that returns arrays; `striate see` draws them. A [`Lens`] holds a network in evaluation mode with its
//! weights; its page has an example. It runs on the device, one batch of images at a time.
//!
//! | view | shows |
//! | --- | --- |
//! | [`filters()`], [`activations()`] | the filters of convolutions; the activations of each channel, and which are dead |
//! | [`top_activations()`] | the images that excite each channel most |
//! | [`channel_responses()`] | how strongly each channel responds to each image, and for which class it is selective |
//! | [`ChannelResponses::unusual`] | the channels that respond to an image as they rarely do to others |
//! | [`ActivationMaximization`] | images made to excite a channel or a class |
//! | [`Occlusion`] | where covering a part of an image makes a class unlikely |
//! | [`input_gradients()`], [`smooth_grad()`], [`integrated_gradients()`], [`grad_cam()`] | which pixels support a class |
//! | [`relevance()`], [`channel_relevance()`] | how much of a class's logit each pixel and channel accounts for, and each pixel through a channel |
//! | [`nearest_neighbors()`], [`nearest_neighbors_within()`] | the most similar images, by the features of the network |
//! | [`tsne()`], [`principal_components()`] | all images in the plane, similar ones together |
//! | [`Lens::receptive_field`], [`effective_receptive_field()`] | the pixels that a layer can depend on; how much it does |
//! | [`LiveNetwork`] | plans and layers for an executor elsewhere, such as a page |

mod activation_maximization;
mod activations;
mod blur;
mod channel_responses;
pub mod drawing;
mod effective_receptive_field;
mod extractor;
mod feature_rows;
mod filters;
mod grid_layout;
mod images;
mod layer;
mod lens;
mod live;
mod nearest_neighbors;
mod occlusion;
mod output;
mod pca;
mod relevance;
mod saliency;
mod top_activations;
mod tsne;
mod typesetting;
mod unusual_responses;

pub use activation_maximization::{ActivationMaximization, Distortion, MaximizedImages, Start};
pub use activations::{Activations, ChannelStats, activations};
pub use channel_responses::{ChannelResponses, ClassSelectivity, channel_responses};
pub use effective_receptive_field::{EffectiveReceptiveField, effective_receptive_field};
pub use extractor::{Extractor, Gradients};
pub use filters::{FilterBank, filters};
pub use grid_layout::snap_to_grid;
pub use images::Images;
pub use layer::Layer;
pub use lens::Lens;
pub use live::{Branch, LiveLayer, LiveNetwork, Step};
pub use nearest_neighbors::{
    LabelAgreement, Neighbor, label_agreement, nearest_neighbors, nearest_neighbors_within,
};
pub use occlusion::{Fill, Occlusion, OcclusionMap};
pub use output::{Manifest, ManifestFile, ViewWriter};
pub use pca::{PrincipalComponents, principal_components};
pub use relevance::{Relevance, channel_relevance, relevance};
pub use saliency::{
    IntegratedGradients, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad,
};
pub use top_activations::{TopActivation, TopActivations, top_activations};
pub use tsne::{Embedding, TsneConfig, tsne};
pub use unusual_responses::UnusualResponse;

/// Batches of a long image set held in memory at a time: as many as a GPU keeps in flight.
const BATCHES: usize = 3;

fn check_not_zero(name: &str, count: usize) -> crate::Result<()> {
    match count {
        0 => Err(crate::Error::argument(name, "must be at least 1, found 0")),
        _ => Ok(()),
    }
}
