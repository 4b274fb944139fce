//! Weight files with torchvision's tensor names: reads and writes safetensors, reads PyTorch's `.pth`.
//!
//! [`Weights::read`] detects the format from the content and converts half and double precision to `f32`. It drops
//! `num_batches_tracked`, a counter in PyTorch's batch norms that striate does not use. [`Weights::load`] matches
//! the tensors against a session's model, strictly or partially, and maps common naming differences.
//!
//! Files are untrusted: memory use is bounded by the file's size, whatever its header claims, and code in a `.pth`
//! file is never executed.
//!
//! ```
//! use striate::infer::Predictor;
//! use striate::models::LeNet;
//! use striate::weights::{self, Fit, Weights};
//! use striate::Device;
//! use std::collections::BTreeMap;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("lenet.safetensors");
//! let device = Device::select("cpu")?;
//! let model = LeNet { in_channels: 1, classes: 10 };
//! let mut predictor = Predictor::new(&device, &model, [28, 28], 1)?;
//! weights::write(&path, &predictor.session().state_dict()?, &BTreeMap::new())?;
//!
//! let report = predictor.load(&Weights::read(&path)?, Fit::Strict)?;
//! assert_eq!(report.to_string(), "8 tensors match");
//! # Ok::<(), striate::Error>(())
//! ```

mod compact;
mod dtype;
mod fit;
mod naming;
mod pth;
mod safetensors;

pub use compact::{Precision, compact};
pub use fit::{Fit, LoadReport};
pub use safetensors::{write, write_half, write_to};

#[cfg(feature = "onnx")]
pub(crate) use dtype::half_bytes;

use crate::file::read_up_to;
use crate::{DType, Error, Result, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Maximum size of a file. No network that fits on one device has a larger one.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// Last part of the names of PyTorch's batch-norm counters.
const COUNTER: &str = "num_batches_tracked";

/// Named tensors, usually from a file.
///
/// ```
/// use striate::Tensor;
/// use striate::weights::{Weights, write};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("model.safetensors");
/// let bias = ("fc.bias".to_owned(), Tensor::f32([2], vec![0.5, -0.5])?);
/// write(&path, &[bias], &[("model".to_owned(), "lenet".to_owned())].into())?;
/// let weights = Weights::read(&path)?;
/// assert_eq!(weights.get("fc.bias").unwrap().as_f32(), [0.5, -0.5]);
/// assert_eq!((weights.names().count(), weights.metadata("model")), (1, Some("lenet")));
/// # Ok::<(), striate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weights {
    path: PathBuf,
    tensors: Tensors,
    metadata: BTreeMap<String, String>,
}

/// Tensors by name.
type Tensors = BTreeMap<String, Stored>;

/// A tensor in a file.
#[derive(Clone, Debug)]
enum Stored {
    /// A floating-point tensor, converted to `f32`.
    Float(Tensor),
    /// The name of any other type; the tensor itself is dropped.
    Other(String),
}

impl Weights {
    /// Reads a safetensors file, or a state dict from a `.pth` file in the zip format or the one used before
    /// PyTorch 1.6.
    ///
    /// A `.pth` file may hold the state dict itself, or a dictionary with the state dict under `state_dict`,
    /// `model_state_dict`, `model`, `model_ema` or `net`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read; [`Error::Data`] if its format is unknown, it is damaged, or its
    /// pickle calls a function other than those that rebuild tensors.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_up_to(path, MAX_FILE_BYTES)?;
        let bytes = bytes.ok_or_else(|| {
            Error::data(path, format!("is larger than {} GiB, the limit for weights", MAX_FILE_BYTES >> 30))
        })?;
        Self::parse(path, &bytes)
    }

    /// Parses the content of a file; `path` only appears in error messages.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] as for [`read`](Self::read).
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let read = match pth::Kind::of(bytes) {
            Some(kind) => pth::read(kind, bytes).map(|tensors| (tensors, BTreeMap::new())),
            None => safetensors::read(bytes),
        };
        let (tensors, metadata) = read.map_err(|problem| Error::data(path, problem))?;
        Ok(Self { path: path.to_owned(), tensors: without_counters(tensors), metadata })
    }

    /// Wraps tensors, for example from [`Session::state_dict`](crate::Session::state_dict) or
    /// [`Trainer::weights`](crate::train::Trainer::weights), so that they can be loaded like a file.
    ///
    /// ```
    /// use striate::infer::Predictor;
    /// use striate::models::LeNet;
    /// use striate::weights::{Fit, Weights};
    /// use striate::{Device, Tensor};
    ///
    /// let device = Device::select("cpu")?;
    /// let model = LeNet { in_channels: 1, classes: 10 };
    /// let mut predictor = Predictor::new(&device, &model, [28, 28], 1)?;
    /// // Replace one tensor of a state dict.
    /// let mut state = predictor.session().state_dict()?;
    /// let (name, tensor) = &mut state[0];
    /// assert_eq!(name, "conv1.weight");
    /// *tensor = Tensor::f32(tensor.shape(), vec![0.1; tensor.len()])?;
    /// let report = predictor.load(&Weights::from_tensors(state), Fit::Strict)?;
    /// assert!(report.is_complete());
    /// # Ok::<(), striate::Error>(())
    /// ```
    pub fn from_tensors(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let stored = |tensor: Tensor| match tensor.ty().dtype {
            DType::F32 => Stored::Float(tensor),
            DType::U32 => Stored::Other(DType::U32.name().to_owned()),
        };
        let tensors = tensors.into_iter().map(|(name, tensor)| (name, stored(tensor))).collect();
        let path = PathBuf::from("tensors in memory");
        Self { path, tensors: without_counters(tensors), metadata: BTreeMap::new() }
    }

    /// The file they were read from; a placeholder for weights made [from tensors](Self::from_tensors).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor with this name; `None` if there is none or its type is not floating-point.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        match self.tensors.get(name)? {
            Stored::Float(tensor) => Some(tensor),
            Stored::Other(_) => None,
        }
    }

    /// The tensor for the model's tensor `name`, mapping names as [`load`](Self::load) would for a model with
    /// tensors named `model`.
    pub fn get_as<'n>(&self, name: &str, model: impl IntoIterator<Item = &'n str>) -> Option<&Tensor> {
        self.get(self.naming(&model.into_iter().collect()).of(name)?)
    }

    /// An entry of a safetensors file's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }
}

/// Drops the batch-norm counters, which striate does not use.
fn without_counters(mut tensors: Tensors) -> Tensors {
    tensors.retain(|name, _| name.rsplit('.').next() != Some(COUNTER));
    tensors
}
