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
    /// Number of shortcuts in it, which add the input of a block to its output.
    pub shortcuts: usize,
    /// Number of branches that it concatenates; 0 if there are none.
    pub branches: usize,
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
        match layers.iter_mut().find(|other| other.name == name) {
            // A ReLU in the convolution's scope replaces its value but keeps its filters.
            Some(known) => {
                (known.shape, known.value) = (shape, value);
                known.filters = known.filters.take().or(filters);
            }
            None => {
                layers.push(Layer { name: name.to_owned(), shape, filters, shortcuts: 0, branches: 0, value })
            }
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
    layers.iter_mut().for_each(|layer| count_paths(layer, graph));
    layers
}

/// Counts the shortcuts and branches in a layer.
fn count_paths(layer: &mut Layer, graph: &Graph) {
    let inside = |scope: &str| {
        let rest = scope.strip_prefix(layer.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let inner = graph.nodes().iter().filter(|node| node.phase == Phase::Forward && inside(&node.scope));
    let (mut shortcuts, mut branches) = (0, 0);
    for node in inner {
        match node.op {
            Op::Add(_) => shortcuts += 1,
            Op::Concat(_) => branches = branches.max(node.inputs.len()),
            _ => {}
        }
    }
    (layer.shortcuts, layer.branches) = (shortcuts, branches);
}

#[cfg(test)]
mod tests {
    use super::layers;
    use crate::infer::inference_graph;
    use crate::models;

    #[test]
    fn shortcuts_and_branches_are_counted() {
        let paths = |name: &str, size: usize, layer: &str| {
            let model = models::by_name(name, 3, 10).unwrap();
            let graph = inference_graph(&*model, [1, 3, size, size]).unwrap();
            let layers = layers(&graph, 1);
            let layer = layers.iter().find(|other| other.name == layer).unwrap();
            (layer.shortcuts, layer.branches)
        };
        assert_eq!(paths("resnet20", 32, "layer1"), (3, 0));
        assert_eq!(paths("resnet20", 32, "layer1.0"), (1, 0));
        assert_eq!(paths("resnet20-a", 32, "layer2"), (3, 0));
        assert_eq!(paths("resnet20", 32, "conv1"), (0, 0));
        assert_eq!(paths("plain20", 32, "layer1"), (0, 0));
        assert_eq!(paths("googlenet", 224, "inception3a"), (0, 4));
        assert_eq!(paths("googlenet", 224, "inception3a.branch2"), (0, 0));
    }
}
