//! Folds batch norms into the weights of the convolutions before them.

use super::State;
use crate::graph::{Graph, Init, Node, PersistentKind, Role, ValueId};
use crate::op::{BatchNormEval, Conv2d, Epilogue, Op};
use crate::{Result, Tensor, TensorType};

/// The graph without the batch norms whose input is a convolution that nothing else reads, and whose weights nothing else uses. The
/// weights of the convolutions in `state` change, and they get a bias if they have none.
pub fn fold_batch_norm(graph: &Graph, state: &mut State) -> Result<Graph> {
    let mut graph = graph.clone();
    let mut nodes: Vec<Option<Node>> = graph.nodes().iter().cloned().map(Some).collect();
    let readers = readers(&graph);
    for at in 0..nodes.len() {
        let Some((eps, conv)) = foldable(&graph, at, &readers) else { continue };
        let norm = nodes[at].take().expect("each node is visited once, and only the visited one is taken");
        let conv = nodes[conv].as_mut().expect("only batch norms are taken");
        let name = |value: ValueId| graph.value(value).name.clone();
        let weight = name(conv.inputs[1]);
        let own_bias = conv.inputs.get(2).map(|bias| name(*bias));
        let [gamma, beta, mean, var] = [1, 2, 3, 4].map(|i| name(norm.inputs[i]));
        let folded = {
            let old_bias = own_bias.as_deref().map(|bias| state.get(bias)).transpose()?;
            let [gamma, beta, mean, var] =
                [state.get(&gamma)?, state.get(&beta)?, state.get(&mean)?, state.get(&var)?];
            Norm { gamma, beta, mean, var, eps }.fold(state.get(&weight)?, old_bias)
        };
        if conv.inputs.len() == 2 {
            conv.inputs.push(add_bias(&mut graph, &weight, folded.1.len())?);
        }
        let bias = graph.value(conv.inputs[2]).name.clone();
        conv.outputs = norm.outputs;
        state.set(weight, folded.0);
        state.set(bias, folded.1);
    }
    Ok(graph.with_nodes(nodes.into_iter().flatten().collect()))
}

/// The number of nodes and outputs that read each value.
fn readers(graph: &Graph) -> Vec<usize> {
    let mut readers = vec![0; graph.values().count()];
    let read = graph.nodes().iter().flat_map(|node| &node.inputs);
    read.chain(graph.outputs().iter().map(|(_, value)| value)).for_each(|value| readers[value.index()] += 1);
    readers
}

/// The epsilon of the batch norm at a node, and the convolution to fold it into, if it can be.
fn foldable(graph: &Graph, at: usize, readers: &[usize]) -> Option<(f32, usize)> {
    let node = &graph.nodes()[at];
    let Op::BatchNormEval(BatchNormEval { eps, epilogue: Epilogue::None }) = node.op else { return None };
    let Role::Computed { node: conv } = graph.value(node.inputs[0]).role else { return None };
    let before = &graph.nodes()[conv];
    let Op::Conv2d(Conv2d { epilogue: Epilogue::None, .. }) = before.op else { return None };
    let persistent = |value: &ValueId| matches!(graph.value(*value).role, Role::Persistent(_));
    let own = |value: &ValueId| readers[value.index()] == 1 && persistent(value);
    let fits = readers[node.inputs[0].index()] == 1
        && before.inputs[1..].iter().all(own)
        && node.inputs[1..].iter().all(persistent);
    fits.then_some((eps, conv))
}

/// Adds a bias beside the weight of a convolution.
fn add_bias(graph: &mut Graph, weight: &str, channels: usize) -> Result<ValueId> {
    let layer = weight.rsplit_once('.').map_or("", |(layer, _)| layer);
    let ty = TensorType::f32([channels]);
    graph.scoped(layer, |graph| graph.persistent("bias", ty, PersistentKind::Parameter, Init::Constant(0.0)))
}

/// A batch norm with given statistics.
struct Norm<'a> {
    gamma: &'a Tensor,
    beta: &'a Tensor,
    mean: &'a Tensor,
    var: &'a Tensor,
    eps: f32,
}

impl Norm<'_> {
    /// Weight and bias of the convolution that also normalizes.
    fn fold(&self, weight: &Tensor, bias: Option<&Tensor>) -> (Tensor, Tensor) {
        let channels = self.gamma.len();
        let [gamma, beta, mean, var] =
            [self.gamma, self.beta, self.mean, self.var].map(|tensor| tensor.as_f32());
        let at = |values: &[f32], channel: usize| f64::from(values[channel]);
        let factor = |c: usize| at(gamma, c) / (at(var, c) + f64::from(self.eps)).sqrt();
        let shift = |c: usize| bias.map_or(0.0, |bias| at(bias.as_f32(), c)) - at(mean, c);
        let new_bias = (0..channels).map(|c| (at(beta, c) + shift(c) * factor(c)) as f32).collect();
        let filters = weight.as_f32().chunks_exact(weight.len() / channels).enumerate();
        let scaled = filters.flat_map(|(c, filter)| {
            let factor = factor(c);
            filter.iter().map(move |w| (f64::from(*w) * factor) as f32)
        });
        const SIZE: &str = "there are as many values as before";
        (
            Tensor::f32(weight.shape(), scaled.collect()).expect(SIZE),
            Tensor::f32([channels], new_bias).expect(SIZE),
        )
    }
}
