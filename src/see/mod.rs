//! Seeing what a network learned. Every view is a call that gives arrays; `striate see` draws them.
//!
//! A [`Lens`] is a network with its weights, looked into: what its layers give, and how that depends on the images. All
//! of it is computed on the device, a batch of images at a time.
//!
//! ```no_run
//! use striate::data::Preprocessing;
//! use striate::infer::Predictor;
//! use striate::see::Lens;
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

mod activations;
mod ascent;
mod blur;
pub mod canvas;
mod filters;
mod grid;
mod images;
mod lens;
mod neighbours;
mod occlusion;
mod pca;
mod peaks;
mod probe;
mod receptive;
mod record;
mod rows;
mod tsne;

pub use grid::grid;
pub use lens::{Layer, Lens};
pub use neighbours::{Agreement, Neighbour, agreement, nearest, nearest_others};
pub use pca::{Principal, principal_components};
pub use peaks::{Peak, Peaks, peaks};
mod saliency;

pub use activations::{Activations, Unit, activations};
pub use ascent::{Ascended, Ascent};
pub use filters::{FilterBank, filters};
pub use images::Images;
pub use occlusion::{Fill, Occlusion, OcclusionMap};
pub use probe::{Gradients, Probe};
pub use receptive::{EffectiveField, effective_field};
pub use record::{Album, Record, RecordFile};
pub use tsne::{Map, MapConfig, map};

pub use saliency::{
    IntegratedGradients, SmoothGrad, grad_cam, input_gradients, integrated_gradients, smooth_grad,
};

/// Batches that views which go through many images have in memory at a time: as many as are in flight on a GPU.
const BATCHES: usize = 3;
