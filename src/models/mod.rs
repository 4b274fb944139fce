//! Well-known networks: LeNet, AlexNet, GoogLeNet and ResNets.
//!
//! [`by_name`] finds one by name; the structs give access to each network's parameters, and [`Residual`] and
//! [`Inception`] build your own variants. Parameter names are torchvision's. Anything that implements [`Model`] can be
//! trained and run.
//!
//! ```
//! use striate::graph::ValueId;
//! use striate::models::{self, Model};
//! use striate::nn::{Builder, Linear, Mode};
//!
//! let resnet = models::by_name("resnet20", 3, 10)?;
//! assert_eq!(resnet.input_size(), [32, 32]);
//!
//! /// A linear classifier for 8 x 8 grayscale images.
//! struct Softmax;
//!
//! impl Model for Softmax {
//!     fn name(&self) -> String {
//!         "softmax".into()
//!     }
//!     fn in_channels(&self) -> usize {
//!         1
//!     }
//!     fn input_size(&self) -> [usize; 2] {
//!         [8, 8]
//!     }
//!     fn classes(&self) -> usize {
//!         10
//!     }
//!     fn forward(&self, b: &mut Builder, images: ValueId) -> striate::Result<ValueId> {
//!         let x = b.flatten(images)?;
//!         b.linear("fc", x, Linear { in_features: 64, out_features: 10, bias: true })
//!     }
//! }
//!
//! let mut b = Builder::new(Mode::Eval);
//! let images = b.images([32, 1, 8, 8])?;
//! let logits = Softmax.forward(&mut b, images)?;
//! assert_eq!(b.graph.shape(logits), [32, 10]);
//! # Ok::<(), striate::Error>(())
//! ```

/// Implements the methods of [`Model`] that return sizes, for a struct with the fields `in_channels` and `classes`.
macro_rules! sizes {
    ($input_size:literal) => {
        fn in_channels(&self) -> usize {
            self.in_channels
        }

        fn input_size(&self) -> [usize; 2] {
            [$input_size; 2]
        }

        fn classes(&self) -> usize {
            self.classes
        }
    };
}

mod alexnet;
mod cifar_resnet;
mod googlenet;
mod inception;
mod layers;
mod lenet;
mod names;
mod residual;
mod resnet;

pub use alexnet::{AlexNet, AlexNet2012};
pub use cifar_resnet::{CifarResNet, CifarResNet18};
pub use googlenet::GoogLeNet;
pub use inception::Inception;
pub use lenet::LeNet;
pub use names::{NAMES, by_name};
pub use residual::{Block, Residual, Shortcut};
pub use resnet::ResNet;

use crate::Result;
use crate::graph::ValueId;
use crate::nn::Builder;

/// An image classifier: maps images to logits.
pub trait Model {
    /// Name, as for [`by_name`].
    fn name(&self) -> String;

    /// Channels of the input images.
    fn in_channels(&self) -> usize;

    /// Default height and width of the input images. Most networks accept others.
    fn input_size(&self) -> [usize; 2];

    /// Number of classes.
    fn classes(&self) -> usize;

    /// Builds the network on `images` `[batch, channels, height, width]` and returns logits `[batch, classes]`.
    /// Register auxiliary heads with [`Builder::auxiliary`].
    ///
    /// # Errors
    ///
    /// [`Error::Shape`](crate::Error::Shape) if a layer does not fit its input, because the images are too small for
    /// example.
    fn forward(&self, b: &mut Builder, images: ValueId) -> Result<ValueId>;
}
