//! Networks as ONNX files, for other inference engines. Needs the feature `onnx`.
//!
//! [`onnx`] translates an evaluation graph operation by operation into a [`proto::ModelProto`], and [`write_onnx`] writes it to a file.
//! Weights keep their names and nodes are named after their layers. The first axis of inputs and outputs is the batch, whose size is
//! left open.
//!
//! ```
//! use striate::export::{OnnxConfig, onnx, write_onnx};
//! use striate::infer::{Predictor, inference_graph};
//! use striate::models::LeNet;
//! use striate::Device;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("lenet.onnx");
//! let model = LeNet { in_channels: 1, classes: 10 };
//! let mut predictor = Predictor::new(&Device::select("cpu")?, &model, [28, 28], 1)?;
//! let weights = predictor.session().state_dict()?;
//! let graph = inference_graph(&model, [1, 1, 28, 28])?;
//! let file = onnx(&graph, weights, &OnnxConfig { name: "lenet".into(), ..Default::default() })?;
//! let bytes = write_onnx(&path, &file)?;
//! assert!(bytes > 4 * 184_586); // the parameters of LeNet, and a little more
//! # Ok::<(), striate::Error>(())
//! ```

mod fold;
mod operator;
pub mod proto;
mod state;
mod translate;

use crate::data::Normalization;
use crate::error::require;
use crate::file::write_with;
use crate::graph::Graph;
use crate::{Error, Result, Tensor};
use proto::{Message, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use state::State;
use std::collections::BTreeMap;
use std::path::Path;
use translate::Translation;

/// The version of ONNX's operators.
pub const OPSET: i64 = 17;

/// The first version of the format with these operators.
const IR_VERSION: i64 = 8;

/// Largest message that implementations of protobuf read.
const MAX_BYTES: usize = i32::MAX as usize;

/// How to export a network.
#[derive(Clone, Debug)]
pub struct OnnxConfig {
    /// Name of the network, which must not be empty.
    pub name: String,
    /// Fold batch norms into the convolutions before them.
    pub fold_batch_norm: bool,
    /// Normalize inside of the network: its input then has values from 0 to 255.
    pub normalization: Option<Normalization>,
    /// Store the weights of convolutions and linear layers in half precision. The network still computes in single precision.
    pub half: bool,
    /// Entries of the metadata.
    pub metadata: BTreeMap<String, String>,
}

impl Default for OnnxConfig {
    /// The name `network`, and everything as it is in the graph.
    fn default() -> Self {
        Self {
            name: "network".to_owned(),
            fold_batch_norm: false,
            normalization: None,
            half: false,
            metadata: BTreeMap::new(),
        }
    }
}

/// Translates an evaluation graph with its weights. [`inference_graph`](crate::infer::inference_graph) makes such a graph for a model.
///
/// # Errors
///
/// [`Error::Shape`] for an operation without a counterpart in ONNX; [`Error::Argument`] if a weight is missing, is out of range of half
/// precision, the name is empty, or the normalization does not fit the input.
pub fn onnx(
    graph: &Graph,
    weights: impl IntoIterator<Item = (String, Tensor)>,
    config: &OnnxConfig,
) -> Result<ModelProto> {
    require("name", !config.name.is_empty(), "the name of the network", "an empty one")?;
    let mut state = State::new(weights);
    let mut graph = graph.without_dead_nodes();
    if config.fold_batch_norm {
        graph = fold::fold_batch_norm(&graph, &mut state)?;
    }
    let mut translation = Translation::new(&graph, config.half)?;
    if let Some(normalization) = &config.normalization {
        translation.normalize(normalization)?;
    }
    translation.weights(&mut state)?;
    translation.nodes()?;
    let entry =
        |(key, value): (&String, &String)| StringStringEntryProto { key: key.clone(), value: value.clone() };
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: format!("{}, written by striate {}", config.name, env!("CARGO_PKG_VERSION")),
        graph: Some(translation.finish(&config.name)),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: config.metadata.iter().map(entry).collect(),
    })
}

/// Writes an ONNX file atomically. Returns its size in bytes.
///
/// # Errors
///
/// [`Error::Data`] if it would have 2 GiB or more, which no reader accepts; [`Error::Io`] if it cannot be written.
pub fn write_onnx(path: &Path, model: &ModelProto) -> Result<usize> {
    write_within(path, model, MAX_BYTES)
}

fn write_within(path: &Path, model: &ModelProto, limit: usize) -> Result<usize> {
    let size = model.encoded_len();
    if size > limit {
        let problem = format!(
            "would have {size} bytes, more than the {limit} that an ONNX file can have; store its weights in half precision (--half), or \
            export a smaller network"
        );
        return Err(Error::data(path, problem));
    }
    let bytes = model.encode_to_vec();
    write_with(path, &|out| out.write_all(&bytes))?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_above_the_limit_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large.onnx");
        let model = ModelProto { doc_string: "x".repeat(100), ..Default::default() };
        let error = write_within(&path, &model, 50).unwrap_err().to_string();
        assert!(error.contains("102 bytes, more than the 50") && !path.exists(), "{error}");
        assert_eq!(write_within(&path, &model, 102).unwrap(), 102);
    }
}
