//! The tensors of a network by name.

use crate::{Error, Result, Tensor};
use std::collections::BTreeMap;

/// The tensors of a network by name.
pub struct State(BTreeMap<String, Tensor>);

impl State {
    pub fn new(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        Self(tensors.into_iter().collect())
    }

    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.0.get(name).ok_or_else(|| missing(name))
    }

    pub fn take(&mut self, name: &str) -> Result<Tensor> {
        self.0.remove(name).ok_or_else(|| missing(name))
    }

    pub fn set(&mut self, name: String, tensor: Tensor) {
        self.0.insert(name, tensor);
    }
}

fn missing(name: &str) -> Error {
    Error::argument(name, "has no value; export with all tensors of the network")
}
