//! Weights on disk, with torchvision's names: safetensors both ways, and PyTorch's `.pth` files to read.
//!
//! [`Weights::read`] tells the format by the file's content. Half and double precision become `f32`. Names are the
//! file's, without `num_batches_tracked`, a counter of PyTorch's batch norms that no result depends on.
//! [`Weights::load`] fits them to a session's model, strictly or in part, also where names differ in a known way.
//!
//! Files are not trusted: memory grows with a file's size and not with what its header promises, and nothing
//! in a `.pth` file is ever executed.
//!
//! ```no_run
//! use striate::weights::{Fit, Weights};
//! # fn load(session: &mut striate::Session) -> striate::Result<()> {
//! let weights = Weights::read("resnet18.pth".as_ref())?;
//! let loaded = weights.load(session, Fit::Strict)?;
//! println!("{} tensors", loaded.taken.len());
//! # Ok(())
//! # }
//! ```

mod element;
mod fit;
mod naming;
mod pth;
mod safetensors;

pub use fit::{Fit, Loaded};
pub use safetensors::{write, write_to};

use crate::file::read_up_to;
use crate::{DType, Error, Result, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Larger files are not weights of networks for one device.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// How the names of batch norms' counters end.
const COUNTER: &str = "num_batches_tracked";

/// Tensors by name, from a file.
#[derive(Clone, Debug)]
pub struct Weights {
    path: PathBuf,
    tensors: Tensors,
    metadata: BTreeMap<String, String>,
}

/// What a file holds, by name.
type Tensors = BTreeMap<String, Stored>;

/// A tensor of a file.
#[derive(Clone, Debug)]
enum Stored {
    /// Floating-point numbers, as `f32`.
    Numbers(Tensor),
    /// Something else: its element type as the file names it.
    Other(String),
}

impl Weights {
    /// Reads a safetensors file or a `.pth` file of a state dict, as PyTorch writes it today or did before 1.6.
    ///
    /// Of the latter, the state dict may be all, or one entry of a dictionary, by the name of `state_dict`,
    /// `model_state_dict`, `model`, `model_ema` or `net`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read; [`Error::Data`] if it is neither, is damaged, or asks for a
    /// call, which is named.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_up_to(path, MAX_FILE_BYTES)?;
        let bytes = bytes.ok_or_else(|| {
            Error::data(path, format!("has more than {} GiB; give a file of weights", MAX_FILE_BYTES >> 30))
        })?;
        Self::parse(path, &bytes)
    }

    /// The same from the bytes of a file; `path` is for messages.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let read = match pth::Kind::of(bytes) {
            Some(kind) => pth::read(kind, bytes).map(|tensors| (tensors, BTreeMap::new())),
            None => safetensors::read(bytes),
        };
        let (tensors, metadata) = read.map_err(|problem| Error::data(path, problem))?;
        Ok(Self { path: path.to_owned(), tensors: without_counters(tensors), metadata })
    }

    /// Weights made here: tensors by name, as [`Session::state_dict`](crate::Session::state_dict) and
    /// [`Trainer::weights`](crate::train::Trainer::weights) give them. Names are taken as those of a file are.
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
    /// // Weights of another session, a tensor replaced.
    /// let mut state = predictor.session().state_dict()?;
    /// let (name, tensor) = &mut state[0];
    /// assert_eq!(name, "conv1.weight");
    /// *tensor = Tensor::f32(tensor.shape(), vec![0.1; tensor.len()])?;
    /// let loaded = predictor.load(&Weights::from_tensors(state), Fit::Strict)?;
    /// assert!(loaded.missing.is_empty());
    /// # Ok::<(), striate::Error>(())
    /// ```
    pub fn from_tensors(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let stored = |tensor: Tensor| match tensor.ty().dtype {
            DType::F32 => Stored::Numbers(tensor),
            DType::U32 => Stored::Other(DType::U32.name().to_owned()),
        };
        let tensors = tensors.into_iter().map(|(name, tensor)| (name, stored(tensor))).collect();
        let path = PathBuf::from("tensors in memory");
        Self { path, tensors: without_counters(tensors), metadata: BTreeMap::new() }
    }

    /// The file they came from; of [tensors](Self::from_tensors), words that say so.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor of this name; `None` if there is none, or it does not hold floating-point numbers.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        match self.tensors.get(name)? {
            Stored::Numbers(tensor) => Some(tensor),
            Stored::Other(_) => None,
        }
    }

    /// The tensor that a model of these names has under one of them; `None` as of [`get`](Self::get). Names may differ
    /// from the file's as for [`load`](Self::load).
    pub fn get_as<'n>(&self, name: &str, model: impl IntoIterator<Item = &'n str>) -> Option<&Tensor> {
        self.get(self.naming(&model.into_iter().collect()).of(name)?)
    }

    /// Text that a safetensors file carries beside its tensors.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }
}

/// Without the counters of batch norms, which no result depends on.
fn without_counters(mut tensors: Tensors) -> Tensors {
    tensors.retain(|name, _| name.rsplit('.').next() != Some(COUNTER));
    tensors
}
