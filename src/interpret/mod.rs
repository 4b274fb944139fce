//! Interpreting a trained network: activations, gradients, receptive fields, embeddings. Each view is a function that
//! returns arrays; `striate see` draws them.
//!
//! A [`Lens`] holds a network in evaluation mode with its weights. It runs on the device, one batch of images at a time.
//!
//! ```no_run
//! use striate::data::Preprocessing;
//! use striate::infer::Predictor;
//! use striate::interpret::Lens;
//! use striate::weights::{Fit, Weights};
//! use striate::{Device, models};
//!
//! let preprocessing = Preprocessing::named("cifar10")?;
//! let model = models::by_name("resnet20", 3, 10)?;
//! let mut predictor = Predictor::new(&Device::select("cpu")?, &*model, preprocessing.size, 1)?;
//! predictor.load(&Weights::read("model.safetensors".as_ref())?, Fit::Strict)?;
//! let weights = predictor.session().state_dict()?;
//! let lens = Lens::new(&Device::select("auto")?, &*model, weights, preprocessing, 32)?;
//! let image = lens.preprocessing().read("cat.png".as_ref())?;
//! let channels = &lens.activations(&image, &["layer1.0"])?[0];
//! assert_eq!(channels.shape(), [1, 16, 32, 32]);
//! # Ok::<(), striate::Error>(())
//! ```

mod activation_maximization;
mod activations;
mod blur;
pub mod drawing;
mod effective_receptive_field;
mod extractor;
mod feature_rows;
mod filters;
mod grid_layout;
mod images;
mod lens;
mod nearest_neighbors;
mod occlusion;
mod output;
mod pca;
mod saliency;
mod top_activations;
mod tsne;

pub use activation_maximization::{ActivationMaximization, MaximizedImages};
pub use activations::{Activations, ChannelStats, activations};
pub use effective_receptive_field::{EffectiveReceptiveField, effective_receptive_field};
pub use extractor::{Extractor, Gradients};
pub use filters::{FilterBank, filters};
pub use grid_layout::snap_to_grid;
pub use images::Images;
pub use lens::{Layer, Lens};
pub use nearest_neighbors::{
    LabelAgreement, Neighbor, label_agreement, nearest_neighbors, nearest_neighbors_within,
};
pub use occlusion::{Fill, Occlusion, OcclusionMap};
pub use output::{Manifest, ManifestFile, ViewWriter};
pub use pca::{PrincipalComponents, principal_components};
pub use saliency::{
    IntegratedGradients, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad,
};
pub use top_activations::{TopActivation, TopActivations, top_activations};
pub use tsne::{Embedding, TsneConfig, tsne};

/// Batches of a long image set held in memory at a time: as many as a GPU keeps in flight.
const BATCHES: usize = 3;

fn check_not_zero(name: &str, count: usize) -> crate::Result<()> {
    match count {
        0 => Err(crate::Error::argument(name, "must be at least 1, found 0")),
        _ => Ok(()),
    }
}
