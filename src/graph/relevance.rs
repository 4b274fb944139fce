//! Layer-wise relevance propagation as a graph transformation: a backward pass in which each node shares out the relevance of its
//! output among its inputs.

use super::{Graph, Node, Role, ValueId};
use crate::Result;
use crate::op::{Add, BatchNormEval, FoldBatchNorm, Mul, Op, Relu, ReluGrad, StabilizedDiv, WeightedSum};
use std::collections::HashMap;

/// Settings of layer-wise relevance propagation (LRP; Bach et al. 2015; Montavon et al. 2019, "Layer-wise relevance propagation:
/// an overview"), with the rule that suits each kind of layer:
///
/// | layer | rule |
/// | --- | --- |
/// | convolution of the images | z^B: a pixel contributes by its distance from the darkest and the brightest one |
/// | convolution of values that cannot be negative, as after a ReLU | gamma, for outputs of both signs (Andéol et al. 2021) |
/// | other convolutions, fully connected layers, sums, average pooling, batch norm | epsilon |
/// | batch norm after a convolution | folded into it |
/// | max-pooling | to the maximum |
/// | local response normalization | passes on unchanged, as is usual; not exact |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelevanceRules {
    /// By how much positive contributions to a positive output are favored, and negative ones to a negative output.
    pub gamma: f32,
    /// Added to the magnitude of divisors. Relevance of that part is lost.
    pub epsilon: f32,
}

impl Default for RelevanceRules {
    fn default() -> Self {
        Self { gamma: 0.25, epsilon: 1e-6 }
    }
}

impl Graph {
    /// Adds the nodes that compute the relevance of the values `wrt` from the relevance of the `upstream` values, which are pairs
    /// of a value and its relevance. `pixel_range` holds the smallest and the largest possible images.
    ///
    /// Relevance is conserved, except for what biases and epsilon take: it sums to the same in each layer. `None` for values without influence.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`](crate::Error::Shape) if an operation on the path has no rule, or an upstream relevance does not have the
    /// shape of its value.
    pub fn relevance(
        &mut self,
        rules: RelevanceRules,
        pixel_range: [ValueId; 2],
        upstream: &[(ValueId, ValueId)],
        wrt: &[ValueId],
    ) -> Result<Vec<Option<ValueId>>> {
        let propagation = Propagation::new(self, rules, pixel_range);
        self.backward(upstream, wrt, &mut |graph, node, relevance, needs| {
            propagation.pass(graph, node, relevance, needs)
        })
    }
}

/// The rules, and what they depend on.
struct Propagation {
    rules: RelevanceRules,
    pixel_range: [ValueId; 2],
    /// The batch norms that alone read the output of a convolution, by that output.
    norms: HashMap<ValueId, Node>,
    /// For each value, whether it cannot be negative.
    nonnegative: Vec<bool>,
    /// For each value, whether only ReLUs read it.
    rectified: Vec<bool>,
}

type Shares = Vec<Option<ValueId>>;

impl Propagation {
    fn new(graph: &Graph, rules: RelevanceRules, pixel_range: [ValueId; 2]) -> Self {
        let count = graph.values.len();
        let (mut nonnegative, mut convolved) = (vec![false; count], vec![false; count]);
        let mut readers: Vec<Vec<&Node>> = vec![Vec::new(); count];
        for node in &graph.nodes {
            node.inputs.iter().for_each(|v| readers[v.index()].push(node));
            nonnegative[node.outputs[0].index()] =
                cannot_be_negative(&node.op, || node.inputs.iter().all(|v| nonnegative[v.index()]));
            convolved[node.outputs[0].index()] = matches!(node.op, Op::Conv2d(_));
        }
        let norm = |node: &&Node| {
            let x = node.inputs[0].index();
            matches!(node.op, Op::BatchNormEval(_)) && convolved[x] && readers[x].len() == 1
        };
        let norms = graph.nodes.iter().filter(norm).map(|norm| (norm.inputs[0], norm.clone())).collect();
        let only_relu =
            |nodes: &Vec<&Node>| !nodes.is_empty() && nodes.iter().all(|node| matches!(node.op, Op::Relu(_)));
        let rectified = readers.iter().map(only_relu).collect();
        Self { rules, pixel_range, norms, nonnegative, rectified }
    }

    /// The relevance of a node's inputs.
    fn pass(&self, graph: &mut Graph, node: &Node, relevance: Shares, needs: Vec<bool>) -> Result<Shares> {
        let Some(own) = relevance[0] else { return Ok(Vec::new()) };
        match &node.op {
            // The same elements elsewhere. A ReLU's output has no relevance where it is 0.
            Op::Relu(_)
            | Op::MaxPool(_)
            | Op::Reshape(_)
            | Op::Concat(_)
            | Op::ChannelPad(_)
            | Op::ChannelSlice(_) => graph.grad_inputs(node, relevance, needs),
            Op::LocalResponseNorm(_) => Ok(vec![Some(own)]),
            Op::BatchNormEval(_) if self.norms.contains_key(&node.inputs[0]) => Ok(vec![Some(own)]),
            Op::Conv2d(_) => self.convolution(graph, node, own, &needs),
            Op::Add(_) | Op::AvgPool(_) | Op::BatchNormEval(_) | Op::Matmul(_) => {
                self.share(graph, std::slice::from_ref(node), own, &needs)
            }
            op => {
                let problem = "there is no rule for the relevance of its input; start from the logits";
                Err(graph.shape_error(op.name(), problem.to_owned()))
            }
        }
    }

    /// A convolution that includes the batch norm after it, if there is one.
    fn folded(&self, graph: &mut Graph, conv: &Node) -> Result<Node> {
        let norm = self.norms.get(&conv.outputs[0]);
        let Some(Node { op: Op::BatchNormEval(BatchNormEval { eps, .. }), inputs, outputs, .. }) = norm
        else {
            return Ok(conv.clone());
        };
        let (x, weight, bias) = (conv.inputs[0], conv.inputs[1], &conv.inputs[2..]);
        let folded = graph.apply(FoldBatchNorm { eps: *eps }, &[&[weight], &inputs[1..], bias].concat())?;
        Ok(Node { inputs: [vec![x], folded].concat(), outputs: outputs.clone(), ..conv.clone() })
    }

    fn convolution(
        &self,
        graph: &mut Graph,
        conv: &Node,
        relevance: ValueId,
        needs: &[bool],
    ) -> Result<Shares> {
        let conv = &self.folded(graph, conv)?;
        let x = conv.inputs[0];
        if graph.value(x).role == Role::Input {
            return self.pixels(graph, conv, relevance, needs);
        }
        if !self.nonnegative[x.index()] {
            return self.share(graph, std::slice::from_ref(conv), relevance, needs);
        }
        let gamma = self.rules.gamma;
        let for_positive = favored(graph, conv, WeightedSum { alpha: 1.0, beta: gamma })?;
        let y = conv.outputs[0];
        if self.rectified[y.index()] {
            return self.share(graph, &[for_positive], relevance, needs);
        }
        // w + gamma min(w, 0) = (1 + gamma) w - gamma max(w, 0)
        let for_negative = favored(graph, conv, WeightedSum { alpha: 1.0 + gamma, beta: -gamma })?;
        let above = graph.apply(ReluGrad, &[y, relevance])?[0];
        let below = difference(graph, relevance, above)?;
        let above = self.share(graph, &[for_positive], above, needs)?;
        let below = self.share(graph, &[for_negative], below, needs)?;
        above.into_iter().zip(below).map(|(a, b)| sum(graph, a.into_iter().chain(b))).collect()
    }

    /// The z^B rule. z = max(w, 0) (x - lowest) + min(w, 0) (x - highest), where no term is negative.
    fn pixels(&self, graph: &mut Graph, conv: &Node, relevance: ValueId, needs: &[bool]) -> Result<Shares> {
        let (x, weight) = (conv.inputs[0], conv.inputs[1]);
        let positive = graph.apply(Relu, &[weight])?[0];
        let negative = difference(graph, weight, positive)?;
        let [lowest, highest] = self.pixel_range;
        let parts = [(lowest, positive), (highest, negative)].map(|(bound, weight)| {
            let distance = difference(graph, x, bound)?;
            applied(graph, conv, vec![distance, weight])
        });
        self.share(graph, &parts.into_iter().collect::<Result<Vec<Node>>>()?, relevance, needs)
    }

    /// Shares out the relevance of the summed outputs of `parts`, which apply one operation, among its inputs in proportion to what
    /// each contributes. With a single part, this is the epsilon rule.
    fn share(&self, graph: &mut Graph, parts: &[Node], relevance: ValueId, needs: &[bool]) -> Result<Shares> {
        let Some(z) = sum(graph, parts.iter().map(|part| part.outputs[0]))? else { return Ok(Vec::new()) };
        let ratio = graph.apply(StabilizedDiv { eps: self.rules.epsilon }, &[relevance, z])?[0];
        let mut shares: Vec<Vec<ValueId>> = vec![Vec::new(); needs.len()];
        for part in parts {
            let gradients = graph.grad_inputs(part, vec![Some(ratio)], needs.to_vec())?;
            // Folding adds a bias to a convolution that has none, and the z^B rule ignores biases.
            for (i, (needed, gradient)) in needs.iter().zip(gradients).enumerate() {
                if let (true, Some(gradient)) = (*needed, gradient) {
                    shares[i].extend(graph.apply(Mul, &[part.inputs[i], gradient])?);
                }
            }
        }
        shares.into_iter().map(|parts| sum(graph, parts)).collect()
    }
}

/// Whether an operation's output cannot be negative, given whether all of its inputs are so.
fn cannot_be_negative(op: &Op, inputs: impl Fn() -> bool) -> bool {
    match op {
        Op::Relu(_) => true,
        Op::Add(_)
        | Op::AvgPool(_)
        | Op::ChannelPad(_)
        | Op::ChannelSlice(_)
        | Op::Concat(_)
        | Op::LocalResponseNorm(_)
        | Op::MaxPool(_)
        | Op::Reshape(_) => inputs(),
        _ => false,
    }
}

/// The convolution with the weighted sum of each parameter and its positive part in place of the parameter.
fn favored(graph: &mut Graph, conv: &Node, weights: WeightedSum) -> Result<Node> {
    let mut inputs = vec![conv.inputs[0]];
    for parameter in &conv.inputs[1..] {
        let positive = graph.apply(Relu, &[*parameter])?[0];
        inputs.extend(graph.apply(weights, &[*parameter, positive])?);
    }
    applied(graph, conv, inputs)
}

/// The node's operation, applied to other inputs.
fn applied(graph: &mut Graph, node: &Node, inputs: Vec<ValueId>) -> Result<Node> {
    let outputs = graph.apply(node.op.clone(), &inputs)?;
    Ok(Node { inputs, outputs, ..node.clone() })
}

fn difference(graph: &mut Graph, a: ValueId, b: ValueId) -> Result<ValueId> {
    Ok(graph.apply(WeightedSum { alpha: 1.0, beta: -1.0 }, &[a, b])?[0])
}

fn sum(graph: &mut Graph, values: impl IntoIterator<Item = ValueId>) -> Result<Option<ValueId>> {
    let mut values = values.into_iter();
    let Some(first) = values.next() else { return Ok(None) };
    values.try_fold(first, |sum, value| Ok(graph.apply(Add, &[sum, value])?[0])).map(Some)
}
