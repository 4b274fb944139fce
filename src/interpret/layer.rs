//! The layers of a network by name.

use super::Lens;
use crate::graph::{Graph, Phase, ValueId};
use crate::op::Op;
use crate::{Error, Result};

/// A layer, or a block of layers.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Such as `layer1.0.conv1` or `inception3a`.
    pub name: String,
    /// Shape of its output for one image: `[channels, height, width]` or `[features]`.
    pub shape: Vec<usize>,
    /// Name of its weights if it is a convolution.
    pub filters: Option<String>,
    pub(super) value: ValueId,
}

impl Layer {
    /// Number of channels, or of features.
    pub fn channels(&self) -> usize {
        self.shape[0]
    }

    /// Number of values per channel.
    pub fn pixels(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Checks that the layer has this channel.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] with the range of channels.
    pub fn check_channel(&self, channel: usize) -> Result<()> {
        match channel < self.channels() {
            true => Ok(()),
            false => Err(Error::argument(
                "channel",
                format!("{} has channels 0 to {}, found {channel}", self.name, self.channels() - 1),
            )),
        }
    }
}

/// The last layer with height and width.
pub(super) fn last_with_pixels(layers: &[Layer]) -> Option<&Layer> {
    let last = layers.iter().rev().filter(|layer| layer.shape.len() == 3 && layer.pixels() > 1);
    // Of layers with the same output, take the outermost block.
    last.min_by_key(|layer| layer.name.matches('.').count())
}

/// Every scope of the forward nodes, and every scope around one, with the last value computed in it.
pub(super) fn layers(graph: &Graph, batch: usize) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut note = |name: &str, value: ValueId, filters: Option<String>| {
        let shape = graph.shape(value)[1..].to_vec();
        let layer = Layer { name: name.to_owned(), shape, filters, value };
        match layers.iter_mut().find(|other| other.name == name) {
            // A ReLU in the convolution's scope replaces its value but keeps its filters.
            Some(known) => *known = Layer { filters: known.filters.take().or(layer.filters), ..layer },
            None => layers.push(layer),
        }
    };
    let forward = graph.nodes().iter().filter(|node| node.phase == Phase::Forward);
    for node in forward.filter(|node| !node.scope.is_empty() && graph.shape(node.outputs[0])[0] == batch) {
        let filters = matches!(node.op, Op::Conv2d(_)).then(|| graph.value(node.inputs[1]).name.clone());
        let ends = node.scope.match_indices('.').map(|(end, _)| end).chain([node.scope.len()]);
        for end in ends {
            // A block may hold several convolutions, so it has no filters of its own.
            let own = filters.clone().filter(|_| end == node.scope.len());
            note(&node.scope[..end], node.outputs[0], own);
        }
    }
    let (_, logits) = graph.outputs().first().expect("an inference graph outputs logits");
    note(Lens::LOGITS, *logits, None);
    layers
}
